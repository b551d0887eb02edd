"""The operation that draws a call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from media.convert import convert
from media.sound import NARROW_HZ
from media.waveform import Waveform, outline
from pbxd.api.contract import Attachment, Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.tenancy import AccountQuery, account_seen
from pbxd.api.house.tracing import HOUSE, TracePath, trace_of
from pbxd.calls.record import CallRecord
from pbxd.errors import NotFound
from pbxd.trace.picture import POINTS, picture
from pbxd.trace.story import Story, Track, story_of

log = logging.getLogger(__name__)

SVG = "image/svg+xml"
MAX_SECONDS = 14400.0


@HOUSE.operation("GET", "/calls/{id}/picture", tag="tracing", scope="trace:read", errors=(NotFound,))
async def get_picture(house: House, path: TracePath, query: AccountQuery, identity: Identity) -> Attachment:
    """Get a picture of a call.

    SVG: what happened when, the waveform of its recording if there is one, and how well each side was heard over time.
    By the same names as its trace, while the call is up and after.
    """
    recording = await trace_of(house, path.id, account_seen(house, identity, query.account))
    live = house.calls.get(recording.id)
    record = live or await house.records.find(recording.id)
    legs = live.legs if live is not None else ()
    histories = {leg.role.value: leg.history.samples() for leg in legs if leg.history is not None}
    story = story_of(recording, house.wall(), histories)
    files = await house.tracing.recordings(recording.id)
    data = await asyncio.to_thread(drawn, story, record, files)
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in recording.id)[:64]
    return Attachment(data=data, name=f"{name}.svg", media_type=SVG)


def drawn(story: Story, record: CallRecord | None, files: Sequence[tuple[float, Path]]) -> bytes:
    """A recording that cannot be read is left out."""
    if record is not None:
        story.title = f"{record.caller or 'anonymous'} → {record.called}"
    tracks = []
    for at, file in files:
        try:
            tracks.append(Track(at, _outline(file)))
        except (OSError, ValueError) as error:
            log.warning("a recording is left out of the picture of a call: %s", error, extra={"call": story.call_id})
    story.tracks = tracks
    return picture(story).encode()


def _outline(file: Path) -> Waveform:
    """Raises BadWav, BadAudio, OSError. What is no WAV file is decoded first, in a process of its own; its channels are
    one then."""
    if file.suffix.lower() == ".wav":
        return outline(file, POINTS)
    with TemporaryDirectory(prefix="pbxd-picture-") as folder:
        decoded = Path(folder) / "sound.wav"
        convert(file, decoded, NARROW_HZ, MAX_SECONDS)
        return outline(decoded, POINTS)
