"""Pictures of calls: the story that a trace tells, and that its drawing shows all of it and nothing that is secret."""

from __future__ import annotations

from datetime import UTC
from xml.etree import ElementTree

import pytest

from media.history import Sample
from media.waveform import Point, Waveform
from pbxd.trace import Recorder, Recording, Topic, score
from pbxd.trace.picture import WIDTH, picture
from pbxd.trace.story import CALLEE, CALLER, Mark, Story, Track, story_of

WALL = 1_790_000_000.0
SVG = "{http://www.w3.org/2000/svg}"


def samples(until: float, *, bad: int = -1, silent: int = -1) -> list[Sample]:
    """Every 5 s from second 9 on."""
    made = []
    for number in range(int((until - 9) // 5)):
        loss, mos = (0.1, 2.5) if number == bad else (0.0, 4.39)
        heard = None if number == silent else mos
        made.append(Sample(14.0 + 5 * number, heard, 4.2, loss, int(20 * loss), 1.5, 0, 60, 250))
    return made


def recorded(*, over: bool = True) -> Recording:
    """A call of 100 s that is answered after 9, held from 40 to 50; the callee is not heard from 60 to 72."""
    recorder = Recorder(lambda now: WALL + now)
    recorder.began("call_1", "a@phone", "acc_1", 0.0)
    recorder.joined("call_1", "b@house")
    notes = [
        (0.0, "call_1", Topic.STATE, "started"),
        (0.1, "a@phone", Topic.MEDIA, "caller agreed: PCMU, 20 ms, with 192.0.2.7 port 4002; we send and receive"),
        (1.0, "call_1", Topic.STATE, "ringing"),
        (8.9, "b@house", Topic.MEDIA, "callee agreed: opus, 20 ms, with 192.0.2.8 port 4004; we send and receive"),
        (9.0, "call_1", Topic.STATE, "answered"),
        *((20.0 + at, "a@phone", Topic.MEDIA, "caller dials a digit, 100 ms") for at in (0, 1, 2)),
        (40.0, "call_1", Topic.STATE, "held"),
        (50.0, "call_1", Topic.STATE, "resumed"),
        (65.0, "b@house", Topic.MEDIA, f"callee {score.ONE_WAY} came for 5 s, while packets go to it"),
        (72.0, "b@house", Topic.MEDIA, f"callee {score.HEARD_AGAIN} after 12 s"),
    ]
    if over:
        notes += [
            (100.0, "a@phone", Topic.QUALITY, score.told("caller", samples(100), 100.0, 0)),
            (100.0, "b@house", Topic.QUALITY, score.told("callee", samples(100, bad=4, silent=10), 100.0, 3)),
            (100.0, "call_1", Topic.STATE, "ended by the caller: the caller hung up (200, Q.850 16)"),
        ]
    for at, name, topic, text in notes:
        recorder.note(name, topic, text, at)
    if over:
        recorder.ended("call_1", 100.0)
    track = recorder.find("call_1")
    assert track is not None
    return Recording.of(track, lambda peer: peer)


def drawn(story: Story) -> ElementTree.Element:
    return ElementTree.fromstring(picture(story, UTC))


def texts(drawing: ElementTree.Element) -> list[str]:
    return [part.text or "" for part in drawing.iter(f"{SVG}text")]


def test_the_story_of_a_trace() -> None:
    story = story_of(recorded(), WALL + 500, {})
    assert (story.began, story.ended, story.over) == (WALL, WALL + 100, True)
    assert [(at - WALL, mark) for at, mark in story.marks] == [
        (0, Mark.STARTED),
        (1, Mark.RINGING),
        (9, Mark.ANSWERED),
        (40, Mark.HELD),
        (50, Mark.RESUMED),
        (100, Mark.ENDED),
    ]
    caller, callee = story.sides[CALLER], story.sides[CALLEE]
    assert [at - WALL for at in caller.digits] == [20, 21, 22]
    assert [(begin - WALL, end - WALL) for begin, end in callee.missed] == [(60, 72)]
    assert (caller.label, callee.label) == (
        "PCMU, 20 ms, with 192.0.2.7 port 4002",
        "opus, 20 ms, with 192.0.2.8 port 4004",
    )
    assert [round(sample.at - WALL) for sample in caller.samples] == [round(one.at) for one in samples(100)]


def test_the_picture_shows_it() -> None:
    drawing = drawn(story_of(recorded(), WALL + 500, {}))
    said = texts(drawing)
    assert {"ringing", "answered", "held", "resumed", "ended", "nothing came for 12 s"} <= set(said)
    assert {"What the caller said", "What the callee said", "0:00", "1:40"} <= set(said)
    assert any("the caller hung up" in text for text in said)
    assert any(text.startswith("MOS 4.39 on average") and text.endswith("3 digits") for text in said)
    assert [title.text for title in drawing.iter(f"{SVG}title")][1:] == ["10.0 % lost"]
    solid = [line for line in drawing.iter(f"{SVG}polyline") if "stroke-dasharray" not in line.attrib]
    assert len(solid) == 1 + 2 + 1  # the caller's, the callee's around its silence, and the legend's


def test_a_call_that_is_up() -> None:
    story = story_of(recorded(over=False), WALL + 80, {"caller": samples(80)})
    assert (story.ended, story.over) == (WALL + 80, False)
    assert len(story.sides[CALLER].samples) == len(samples(80))
    assert any("still up" in text for text in texts(drawn(story)))


@pytest.mark.parametrize("channels", [1, 2])
def test_its_sound(channels: int) -> None:
    story = story_of(recorded(), WALL + 500, {})
    wave = Waveform(80.0, ((Point(-0.5, 0.5, 0.2),) * 800,) * channels)
    story.tracks = [Track(WALL + 10, wave)]
    drawing = drawn(story)
    shapes = list(drawing.iter(f"{SVG}polygon"))
    assert len(shapes) == 2 * channels
    xs = [float(point.split(",")[0]) for point in shapes[0].attrib["points"].split()]
    assert min(xs) == pytest.approx(64 + (WIDTH - 104) * 0.1, abs=2)
    assert max(xs) == pytest.approx(64 + (WIDTH - 104) * 0.9, abs=2)
    assert ("both sides, mixed" in texts(drawing)) is (channels == 1)


def test_a_side_that_was_not_there_has_no_lane() -> None:
    recorder = Recorder(lambda now: WALL + now)
    recorder.began("call_1", "a@phone", "acc_1", 0.0)
    recorder.note("a@phone", Topic.MEDIA, "caller agreed: PCMU, 20 ms, with 192.0.2.7 port 4002; we send", 0.0)
    track = recorder.find("call_1")
    assert track is not None
    story = story_of(Recording.of(track, lambda peer: peer), WALL, {})
    said = texts(drawn(story))
    assert "too short to be judged" in said
    assert "What the callee said" not in said


def test_names_are_text_and_nothing_else() -> None:
    story = story_of(recorded(), WALL + 500, {})
    story.title = "<script>alert(1)</script>\x00\x1b & \u202e"
    drawing = drawn(story)
    assert list(drawing.iter(f"{SVG}script")) == []
    assert "<script>alert(1)</script> & " in texts(drawing)


@pytest.mark.parametrize("seconds", [1.0, 59.0, 3600.0, 14400.0, 90000.0])
def test_the_axis_is_readable_however_long_it_was(seconds: float) -> None:
    story = Story("call_1", "x", WALL, WALL + seconds, True, sides=story_of(recorded(), WALL, {}).sides)
    clocks = [text for text in texts(drawn(story)) if text.replace(":", "").isdigit() and ":" in text]
    assert 1 < len(clocks) <= 26
    assert len(set(clocks)) == len(clocks)
