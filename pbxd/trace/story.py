"""What a picture of a call shows, read out of its trace: what happened when, and how each side sounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from media.history import Sample
from media.waveform import Waveform
from pbxd.trace import score
from pbxd.trace.entries import Note, SipMessage, Topic
from pbxd.trace.recording import Recording

CALLER, CALLEE = "caller", "callee"
SIDES = (CALLER, CALLEE)
_SAID = re.compile(rf"({CALLER}|{CALLEE}) (.*)", re.DOTALL)
_SECONDS = re.compile(r" (\d+) s\b")


class Mark(Enum):
    """An event; its word is what the picture says. Those of a trace begin with it."""

    STARTED = "started"
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Track:
    """A recording of the call that began at `at`."""

    at: float
    wave: Waveform


@dataclass(slots=True)
class Side:
    """One side: `samples` of how it was heard, times `digits` were dialled, stretches in which it was `missed`."""

    role: str
    label: str = ""
    samples: list[Sample] = field(default_factory=list)
    digits: list[float] = field(default_factory=list)
    missed: list[tuple[float, float]] = field(default_factory=list)

    @property
    def there(self) -> bool:
        """Whether it ever had a sound."""
        return bool(self.label or self.samples)


@dataclass(slots=True)
class Story:
    """All times are seconds since the epoch. `over` is False while the call is up."""

    call_id: str
    title: str
    began: float
    ended: float
    over: bool
    marks: list[tuple[float, Mark]] = field(default_factory=list)
    sides: dict[str, Side] = field(default_factory=dict)
    tracks: Sequence[Track] = ()
    ending: str = ""


def story_of(recording: Recording, now: float, live: Mapping[str, Iterable[Sample]]) -> Story:
    """The trace as a story. `live` holds the samples, by role and in monotonic time, of legs that are up at `now`."""
    ended = recording.ended_at
    story = Story(recording.id, recording.id, recording.started_at, now if ended is None else ended, ended is not None)
    for role in SIDES:
        story.sides[role] = Side(role)
    for entry in recording.entries:
        if not isinstance(entry, SipMessage):
            _take(story, entry)
    for role, samples in live.items():
        side = story.sides[role]
        side.samples = side.samples or [sample._replace(at=sample.at + recording.offset) for sample in samples]
    for side in story.sides.values():
        side.missed = [(begin, min(end, story.ended)) for begin, end in side.missed]
    story.ended = max(story.ended, story.began + 1.0)
    return story


def _take(story: Story, note: Note) -> None:
    if note.topic is Topic.STATE:
        word = note.text.partition(" ")[0]
        for mark in Mark:
            if mark.value == word:
                story.marks.append((note.at, mark))
                story.ending = note.text.partition(": ")[2] or story.ending
    elif note.topic is Topic.QUALITY:
        role, samples = score.read(note.text, note.at)
        if role in story.sides:
            story.sides[role].samples += samples
    elif note.topic is Topic.MEDIA and (said := _SAID.match(note.text)):
        _heard(story.sides[said[1]], said[2], note.at)


def _heard(side: Side, what: str, at: float) -> None:
    seconds = _SECONDS.search(what)
    if what.startswith(score.DIALS):
        side.digits.append(at)
    elif what.startswith(score.ONE_WAY):
        side.missed.append((at - (float(seconds[1]) if seconds else 0.0), float("inf")))
    elif what.startswith(score.HEARD_AGAIN) and side.missed:
        side.missed[-1] = (side.missed[-1][0], at)
    elif what.startswith("agreed: "):
        agreed = what.removeprefix("agreed: ").partition("; ")[0]
        side.label = agreed
