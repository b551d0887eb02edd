"""A call as text: who said what to whom, and why, in the order it happened.

                     10.0.0.1:5060        pbxd         10.0.0.2:5060
12:00:00.000              |---- INVITE ---->|                |
12:00:00.001              |        decision: routed to user 1002
12:00:00.002              |                 |---- INVITE --->|
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from pbxd.trace.entries import Entry, SipMessage
from pbxd.trace.score import for_people

HOUSE = "pbxd"
MAX_REMOTES = 6
_COLUMN = 34
_TIME = 14


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a ladder. `remote` is `udp:10.0.0.1:5060` for a message, empty for a note."""

    at: float
    text: str
    remote: str = ""
    outward: bool = False


def step_of(entry: Entry) -> Step:
    """The line for an entry."""
    if isinstance(entry, SipMessage):
        host, port = entry.remote
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return Step(entry.at, title(entry.data), f"{entry.transport}:{where}", entry.outward)
    return Step(entry.at, f"{entry.topic.word}: {for_people(entry.text)}")


def title(data: bytes) -> str:
    """A message in few words: `INVITE 1002`, `401 Unauthorized (REGISTER)`; with `+SDP` where it carries one."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    first = lines[0].split(" ", 2)
    sdp = " +SDP" if body.startswith(b"v=0") else ""
    if len(first) < 2:
        return "noise"
    if not first[0].upper().startswith("SIP/"):
        user = first[1].partition(":")[2].partition("@")[0] if "@" in first[1] else ""
        return f"{first[0]} {user}".strip() + sdp
    method = next((line.rpartition(" ")[2] for line in lines if line[:5].lower() == "cseq:"), "?")
    return f"{first[1]} {first[2] if len(first) > 2 else ''} ({method})" + sdp


class Ladder:
    """Draws step by step; a remote gets its column when it is first heard of. `zone` None is the local time."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        self._zone = zone
        self._remotes: list[str] = []

    def draw(self, steps: Sequence[Step]) -> Iterable[str]:
        """The lines for more steps; a heading first, and again when somebody new is there."""
        known = len(self._remotes)
        for step in steps:
            if step.remote and step.remote not in self._remotes:
                self._remotes.append(step.remote)
        if len(self._remotes) > known:
            yield self._heading()
        for step in steps:
            yield self._line(step)

    def _columns(self) -> list[str]:
        return [*self._remotes[:1], HOUSE, *self._remotes[1:MAX_REMOTES]]

    def _heading(self) -> str:
        return " " * _TIME + "".join(f"{name:^{_COLUMN}}" for name in self._columns()).rstrip()

    def _line(self, step: Step) -> str:
        clock = datetime.fromtimestamp(step.at, self._zone).strftime("%H:%M:%S.%f")[:12]
        columns = self._columns()
        middle = _COLUMN // 2
        canvas = list(" " * (_COLUMN * len(columns)))
        for index in range(len(columns)):
            canvas[index * _COLUMN + middle] = "|"
        house = columns.index(HOUSE) * _COLUMN + middle
        if not step.remote:
            start = house + 2
            canvas[start : start + len(step.text)] = step.text
        else:
            self._arrow(canvas, step, house, columns)
        return f"{clock:<{_TIME}}" + "".join(canvas).rstrip()

    def _arrow(self, canvas: list[str], step: Step, house: int, columns: list[str]) -> None:
        shown = step.remote in columns
        there = (columns.index(step.remote) if shown else len(columns) - 1) * _COLUMN + _COLUMN // 2
        left, right = sorted((house, there))
        text = step.text if shown else f"{step.text} {step.remote}"
        room = right - left - 5
        text = f" {text[: room - 2]} "
        shaft = list(f"{text:-^{right - left - 1}}")
        points_right = (there > house) is step.outward
        shaft[-1 if points_right else 0] = ">" if points_right else "<"
        canvas[left + 1 : right] = shaft
