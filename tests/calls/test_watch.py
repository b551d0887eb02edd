"""One-way sound is found, told once, and its end too; and what is written down of quality over time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from media.history import Sample
from media.plan import Codec, MediaPlan
from media.wire import LegStatistics
from pbxd.calls.watch import Scores, Watch, Watchers
from pbxd.trace import Note, Topic, score
from tests.calls.house import House
from tests.calls.test_call import phones, talk

PLAN = MediaPlan(("192.0.2.1", 4000), Codec.PCMU, 0, 0)
HELD = replace(PLAN, receives=False)
START = 1000.0


class Scene:
    """A leg whose packets come and go, looked at every second."""

    def __init__(self) -> None:
        self.watchers = Watchers()
        self.watch = Watch(self.watchers)
        self.now = START
        self.plan = PLAN
        self.answered = True
        self.heard_at: float | None = None
        self.received = self.sent = self.reads = 0

    def _read(self) -> LegStatistics:
        self.reads += 1
        since = None if self.heard_at is None else self.now - self.heard_at
        return LegStatistics(received=self.received, expected=self.received, sent=self.sent, since_heard_s=since)

    def run(self, seconds: int, *, hears: bool, sends: bool = True) -> list[tuple[float, str]]:
        """What is told, and when."""
        told = []
        for _ in range(seconds):
            self.now += 1
            self.sent += 50 * sends
            if hears:
                self.received += 50
                self.heard_at = self.now
            told += [
                (self.now - START, what)
                for what in self.watch.look(self._read, self.plan, self.now, answered=self.answered)
            ]
        return told


def test_a_side_that_stops_and_comes_back() -> None:
    scene = Scene()
    assert scene.run(13, hears=True) == []
    told = scene.run(20, hears=False)
    assert [what for _, what in told] == ["is not heard: no packet came for 5 s, while packets go to it"]
    assert told[0][0] == 18
    ((at, what),) = scene.run(10, hears=True)
    assert what == "is heard again: packets come after 21 s"
    assert at == 34
    assert scene.watchers.one_way == 1
    scene.watch.end(LegStatistics(), PLAN, scene.now)
    assert scene.watch.silent_s == pytest.approx(21)


def test_a_side_that_never_comes() -> None:
    scene = Scene()
    scene.answered = False
    assert scene.run(20, hears=False) == []
    scene.answered = True
    ((at, what),) = scene.run(30, hears=False)
    assert what == "is not heard: no packet ever came for 5 s, while packets go to it"
    assert at in {26, 27}
    scene.watch.end(LegStatistics(), PLAN, scene.now)
    assert scene.watch.silent_s == pytest.approx(29)


@pytest.mark.parametrize(("plan", "sends"), [(HELD, True), (PLAN, False)])
def test_nobody_misses_who_is_held_or_alone(plan: MediaPlan, sends: bool) -> None:
    scene = Scene()
    scene.run(10, hears=True)
    scene.plan = plan
    assert scene.run(30, hears=False, sends=sends) == []
    assert scene.watchers.one_way == 0


def test_a_hold_ends_what_was_missed_and_the_time_begins_anew() -> None:
    scene = Scene()
    scene.run(10, hears=True)
    assert len(scene.run(10, hears=False)) == 1
    scene.plan = HELD
    assert scene.run(10, hears=False) == []
    scene.plan = PLAN
    assert scene.run(4, hears=False) == []
    assert len(scene.run(4, hears=False)) == 1


def test_a_leg_that_is_heard_is_read_every_five_seconds_only() -> None:
    scene = Scene()
    scene.run(100, hears=True)
    assert scene.reads <= 21
    assert sum(scene.watchers.heard.reading().counts) == 19


def test_scores_are_counted_in_a_histogram() -> None:
    scores = Scores()
    for value in (1.0, 4.0, 4.1, 4.4, None):
        scores.count(value)
    reading = scores.reading()
    assert reading.counts == (1, 0, 0, 0, 0, 0, 1, 1, 1)
    assert reading.total == pytest.approx(13.5)


def test_quality_is_told_and_read_again() -> None:
    samples = [
        Sample(105.0, 4.4, None, 0.0, 0, 1.0, 0, 22, 250),
        Sample(110.0, 3.12, 4.25, 0.1, 3, 12.5, 60, 90, 225),
        Sample(113.0, None, 4.25, 0.0, 0, 12.5, 0, 90, 0),
    ]
    text = score.told("callee", samples, 113.0, 7)
    assert score.for_people(text) == (
        "callee over time: MOS 3.76; least 3.12, 3 s before the end; 3 bursts of loss, the longest of 7 packets; "
        "jitter up to 12.5 ms; 60 ms concealed"
    )
    assert score.read(text, 113.0) == ("callee", samples)
    assert score.read("callee over time: rubbish | 1,2;x;,,,,,,,,;", 0.0) == ("callee", [])


async def test_a_call_is_looked_at_and_its_trace_tells(house: House) -> None:
    """Real legs that nobody sends to: nothing is heard, and nobody is missed."""
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    for _ in range(12):
        house.wire.after(1)
        for hearer in house.facilities.hearers.values():
            hearer.look(house.wire.now)
    (call,) = house.switch.calls.values()
    histories = [leg.history for leg in call.record.legs]
    assert [history and len(history.samples()) for history in histories] == [2, 2]
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    track = house.trace.find(call.record.id)
    assert track is not None
    told = [entry for entry in track.entries if isinstance(entry, Note) and entry.topic is Topic.QUALITY]
    assert [score.for_people(note.text) for note in told] == [
        "caller over time: nothing was heard",
        "callee over time: nothing was heard",
    ]
    assert [len(score.read(note.text, note.at)[1]) for note in told] == [3, 3]
    for leg in house.record.legs:
        assert leg.quality is not None
        assert (leg.quality.least_mos, leg.quality.loss_bursts, leg.quality.silent_s) == (None, 0, 0)
