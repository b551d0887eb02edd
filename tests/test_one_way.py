"""One-way sound in a running house: who is not heard is named in the trace, the metrics and the log, once."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from pbxd.app import App
from pbxd.calls import watch
from pbxd.sip.flow import Transport
from pbxd.trace import Note
from pbxd.trace.picture import picture
from pbxd.trace.story import CALLER, story_of
from tests.clients.hand import calling
from tests.test_app import _config

NEWS_S = 20.0
RTP = bytes.fromhex("80000001000000a0cafecafe") + b"\x11" * 160


async def news(app: App, wanted: str) -> Note:
    """The note with these words, as soon as it is there."""
    after = 0
    async with asyncio.timeout(NEWS_S):
        while True:
            await asyncio.sleep(0)
            await app.traces.news("by-hand", after, NEWS_S)
            recording = await app.traces.find("by-hand")
            assert recording is not None
            for entry in recording.entries:
                if isinstance(entry, Note) and wanted in entry.text:
                    return entry
            after = recording.first + len(recording.entries)


async def test_a_caller_who_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The house speaks to a phone whose firewall lets nothing out; then it does."""
    monkeypatch.setattr(watch, "ONE_WAY_S", 0.5)
    app = App(_config(tmp_path, 'extensions={"600": {play: demo}}'))
    await app.start()
    try:
        with caplog.at_level(logging.WARNING, "pbxd.calls.leg"):
            async with calling(app.telephony.transports.bound[Transport.UDP][0]):
                missed = await news(app, "caller is not heard: no packet ever came for ")
                (call,) = app.telephony.switch.calls.values()
                assert call.caller is not None
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                    phone.sendto(RTP, call.caller.media.local)
                again = await news(app, "caller is heard again: packets come after ")
        assert again.at > missed.at
        assert [record.getMessage() for record in caplog.records].count("the caller is not heard") == 1
        assert b"pbxd_one_way_audio_total 1.0" in app.metrics.render()
        recording = await app.traces.find("by-hand")
        assert recording is not None
        story = story_of(recording, app.telephony.wall(app.telephony.now()), {})
        ((begin, end),) = story.sides[CALLER].missed[:1]
        assert end - begin == pytest.approx(again.at - missed.at, abs=1.5)
        assert "nothing came for" in picture(story)
    finally:
        await app.stop()
