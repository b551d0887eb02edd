"""What a trace says of a call, against what the wire saw."""

from __future__ import annotations

from collections import Counter

from pbxd.trace import Note, Recording, SipMessage
from pbxd.trace.ladder import title
from pbxd.trace.masking import masked
from pbxd.trace.recorder import call_id_of
from tests.calls.house import House
from tests.wire import START


def ladder(recording: Recording) -> list[str]:
    """A line each: `0.0 alice INVITE 1002 +SDP`, `0.0 decision ...`; the other side by the last part of its address."""
    return [_line(entry) for entry in recording.entries]


def _line(entry: SipMessage | Note) -> str:
    if isinstance(entry, Note):
        return f"{entry.topic.word}: {entry.text}"
    arrow, host = (">" if entry.outward else "<"), entry.remote[0].rpartition(".")[2]
    return f"{arrow} {host} {title(entry.data)}"


def at(recording: Recording) -> float:
    """When the call began, in seconds since the start of the wire."""
    return recording.started_at - 1_790_000_000.0 - START


def traces_tell_the_truth(house: House) -> None:
    """The messages of every trace are those that the wire saw of its dialogs: none more, none less, none altered."""
    for record in house.records:
        track = house.trace.find(record.id)
        assert track is not None, f"{record.id} left no trace"
        recording = Recording.of(track, lambda _: house.address[0])
        if recording.first:
            continue  # some had to make way
        names = set(recording.names)
        told = Counter((entry.outward, entry.data) for entry in recording.entries if isinstance(entry, SipMessage))
        seen: Counter[tuple[bool, bytes]] = Counter()
        for rung in house.wire.rungs:
            if call_id_of(rung.data) not in names:
                continue
            if rung.sender is house:
                seen[True, masked(rung.data)] += 1
            elif rung.receiver is house and rung.arrived:
                seen[False, masked(rung.data)] += rung.arrived
        assert told == seen, f"{record.id}: {house.wire.ladder}"
        notes = [entry.text for entry in recording.entries if isinstance(entry, Note)]
        assert any(text.startswith("ended by the ") for text in notes), notes
