"""Rooms on real loopback sockets: what is said, played and copied, and who is told."""

from __future__ import annotations

import errno
import gc
import select
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from media.plan import Codec
from media.rooms import FOREVER, Clip, Membership, Play, Playback, Played, Room, Stream, TapFrame, TapKind
from media.session import Media, MediaEvent, MediaEventKind, MediaSession
from media.wire import WireError
from tests.clients.until import until
from tests.media.speaker import Speaker
from tests.media.test_session import decoded, tone

RATE = 8000
Speakers = Callable[[], Speaker]
Samples = np.ndarray[tuple[int], np.dtype[np.float64]]


def connect(media: Media, speaker: Speaker, codec: Codec = Codec.PCMU, **changes: object) -> MediaSession:
    session = media.open(speaker.ip)
    session.apply(speaker.plan(codec, **changes))
    return session


def sine(hertz: float, seconds: float, rate: int = RATE, amplitude: int = 8000) -> bytes:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return bytes(wave.astype(np.int16).tobytes())


def amplitude(samples: Samples, hertz: float, rate: int = RATE) -> float:
    turns = np.exp(2j * np.pi * hertz * np.arange(len(samples)) / rate)
    return float(2 * np.abs((samples * turns).sum()) / len(samples))


def listen(speaker: Speaker, packets: int, codec: Codec = Codec.PCMU) -> Samples:
    """The next packets as sound, in the units of 16-bit samples."""
    payload = b"".join(speaker.hear().payload for _ in range(packets))
    return decoded(codec, payload) * 32768.0


def sing(speaker: Speaker, session: MediaSession, hertz: float, seconds: float, codec: Codec = Codec.PCMU) -> None:
    """In real time, for wire to hear it as it would a phone."""
    sound = tone(codec, hertz, seconds)
    begun = time.monotonic()
    for number, start in enumerate(range(0, len(sound), 160)):
        select.select([], [], [], max(0.0, begun + number * 0.02 - time.monotonic()))
        speaker.say(session, sound[start : start + 160], codec.static_payload_type or 0)


def collect(media: Media, done: Callable[[], bool]) -> list[MediaEvent]:
    """Takes events until `done`."""
    told: list[MediaEvent] = []

    def looked() -> bool:
        told.extend(media.events())
        return done()

    until(looked, "what should have been told")
    return told


@pytest.fixture
def room(media: Media) -> Iterator[Room]:
    room = media.open_room()
    yield room
    room.close()


def test_who_is_in_a_room_hears_the_others(media: Media, speakers: Speakers, room: Room) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob, Codec.PCMA)
    room.join(a)
    room.join(b)
    sing(alice, a, 1004, 0.6)
    heard = listen(bob, 25, Codec.PCMA)
    assert amplitude(heard[-2400:], 1004) == pytest.approx(0.5 * 32768, rel=0.05)
    own = listen(alice, 25)
    assert np.abs(own).max() < 50
    assert (a.room, b.room, room.members) == (room, room, [a, b])
    room.leave(a)
    assert (a.room, room.members) == (None, [b])
    numbers = a.statistics().numbers
    assert numbers.received == 30


def test_a_clip_is_played_to_one_or_to_all(media: Media, speakers: Speakers, room: Room) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob)
    ended: list[Playback] = []
    room.join(a)
    room.join(b)
    to_one = room.play([Clip(sine(500, 0.2), RATE)] * 2, a, done=ended.append)
    to_all = room.play([Clip(sine(900, 0.4), RATE)], done=ended.append)
    alices, bobs = listen(alice, 25), listen(bob, 25)
    assert amplitude(alices[800:2400], 500) == pytest.approx(8000, rel=0.2)
    assert amplitude(bobs[800:2400], 900) == pytest.approx(8000, rel=0.2)
    assert amplitude(alices[800:2400], 900) == pytest.approx(8000, rel=0.2)
    assert amplitude(bobs[800:2400], 500) < 100
    collect(media, lambda: len(ended) == 2)
    assert set(ended) == {to_one, to_all}
    assert [(each.ended, each.played_ms) for each in ended] == [(Played.WHOLE, 400)] * 2


def test_what_is_played_for_ever_can_be_stopped(media: Media, speakers: Speakers, room: Room) -> None:
    alice = speakers()
    a = connect(media, alice)
    room.join(a)
    ended: list[Playback] = []
    playback = room.play([Clip(sine(500, 0.05), RATE)], a, how=Play(repeats=FOREVER), done=ended.append)
    assert amplitude(listen(alice, 25)[800:], 500) > 4000
    playback.set_gain(-20.0, fade_ms=40)
    listen(alice, 5)
    assert amplitude(listen(alice, 10), 500) == pytest.approx(800, rel=0.1)
    playback.stop()
    collect(media, lambda: ended == [playback])
    assert playback.ended is Played.STOPPED
    assert playback.played_ms > 500
    listen(alice, 3)
    assert np.abs(listen(alice, 5)).max() < 10
    playback.stop()


def test_a_stream_asks_for_more_and_ends_when_finished(media: Media, speakers: Speakers, room: Room) -> None:
    alice = speakers()
    a = connect(media, alice)
    room.join(a)
    asked: list[Stream] = []
    ended: list[Playback] = []
    sound = sine(600, 0.5, 16000)
    stream = room.stream(16000, a, first=sound, low_ms=200, done=ended.append, low=asked.append)
    collect(media, lambda: asked == [stream])
    assert stream.ring.fill_ms < 200
    assert stream.write(sound) == len(sound)
    collect(media, lambda: asked == [stream, stream])
    stream.finish()
    collect(media, lambda: ended == [stream])
    assert (stream.ended, stream.played_ms, stream.ring.underruns) == (Played.WHOLE, 1000, 0)
    assert amplitude(listen(alice, 40)[1600:], 600) == pytest.approx(8000, rel=0.1)


def test_taps_copy_what_is_heard_and_said(media: Media, speakers: Speakers, room: Room) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob)
    room.join(a)
    room.join(b)
    heard, said, mix = room.tap(a), room.tap(b, TapKind.SAID), room.tap()
    sing(alice, a, 700, 0.5)
    copies: list[list[TapFrame]] = [[], [], []]
    for copy, tap in zip(copies, (heard, said, mix), strict=True):
        copy.extend(tap.read())
        assert tap.overruns == 0
    sounds = [{frame.tick: frame.pcm for frame in copy} for copy in copies]
    common = sorted(set.intersection(*(set(sound) for sound in sounds)))
    assert len(common) >= 20
    for tick in common:
        assert sounds[0][tick] == sounds[1][tick] == sounds[2][tick]
    samples = np.frombuffer(b"".join(sounds[0][tick] for tick in common[-10:]), np.int16).astype(np.float64)
    assert amplitude(samples, 700) == pytest.approx(0.5 * 32768, rel=0.05)
    b.close()
    until(lambda: said.closed, "the tap of a leg that is gone to end")
    assert not heard.closed
    heard.close()
    until(lambda: heard.closed, "the tap to end")


def test_a_room_that_is_closed_ends_what_is_in_it(media: Media, speakers: Speakers) -> None:
    room = media.open_room()
    alice = speakers()
    a = connect(media, alice)
    room.join(a)
    ended: list[Playback] = []
    to_one = room.play([Clip(sine(500, 9.0), RATE)], a, done=ended.append)
    to_all = room.play([Clip(sine(500, 9.0), RATE)], done=ended.append)
    tap = room.tap()
    room.close()
    room.close()
    assert (a.room, media.rooms) == (None, [])
    collect(media, lambda: len(ended) == 2)
    assert (to_one.ended, to_all.ended) == (Played.LEG_GONE, Played.ROOM_GONE)
    until(lambda: tap.closed, "the tap to end")
    until(lambda: media.events() == [] and media.wire.rooms.count == 0, "the room to be given back")
    room.join(a)
    assert a.room is None


def test_what_is_gone_does_no_harm(media: Media, speakers: Speakers) -> None:
    """Orders that wire gets too late are passed over, and what they carry comes back."""
    alice = speakers()
    room, a = media.open_room(), connect(media, alice)
    wire = media.wire
    ended: list[Playback] = []
    room.join(a)
    leg, handle = a.leg.handle, room.handle
    a.close()
    room.play([Clip(sine(500, 1.0), RATE)], a, done=ended.append)
    wire.rooms.tap(handle, leg, TapKind.HEARD, RATE, 1)
    wire.rooms.join(handle, leg, Membership())
    wire.rooms.set(leg, Membership())
    wire.rooms.digit(leg, "5", 100)
    collect(media, lambda: len(ended) == 1)
    assert ended[0].ended is Played.LEG_GONE
    room.close()
    wire.rooms.stop(handle, 1, 0)
    tap = wire.rooms.tap(handle, None, TapKind.MIX, RATE, 1)
    until(lambda: tap.closed, "the tap of a room that is gone to end")
    until(lambda: wire.drops()["stale_command"] == 4, "the orders to be counted")


def test_wire_that_stops_gives_everything_back(media: Media, speakers: Speakers) -> None:
    alice = speakers()
    room, a = media.open_room(), connect(media, alice)
    room.join(a)
    clip = Clip(sine(500, 9.0), RATE)
    room.play([clip], a)
    stream = room.stream(RATE, first=sine(500, 1.0))
    tap = room.tap()
    media.wire.close()
    assert tap.closed
    assert tap.read() == []
    assert stream.write(b"\0\0") == 2
    assert clip.duration_ms == 9000
    del room, clip, stream, tap
    gc.collect()


def test_what_makes_no_sense_is_refused(media: Media, room: Room) -> None:
    with pytest.raises(ValueError, match="at 44100 a second"):
        Clip(b"\0\0", 44100)
    with pytest.raises(ValueError, match="at 44100 samples"):
        room.stream(44100)
    for clips in ([], [Clip(b"\0\0", 8000), Clip(b"\0\0", 16000)]):
        with pytest.raises(WireError) as refused:
            room.play(clips)
        assert refused.value.errno == errno.EINVAL
    with pytest.raises(WireError):
        room.play([Clip(b"\0\0", 8000)], how=Play(gain_db=60.0))
    with pytest.raises(WireError):
        room.tap(rate=44100)
    session = media.open("127.0.0.1")
    with pytest.raises(WireError):
        room.join(session, Membership(gain_db=60.0))
    room.join(session)
    with pytest.raises(ValueError, match="substring"):
        room.digit(session, "x")


def test_rooms_run_out_and_come_back(media: Media) -> None:
    rooms = [media.open_room() for _ in range(64)]
    with pytest.raises(WireError) as refused:
        media.open_room()
    assert refused.value.errno == errno.ENOSPC
    for room in rooms:
        room.close()
    until(lambda: media.events() == [] and media.wire.rooms.count == 0, "the rooms to be given back")
    media.open_room().close()


def test_a_digit_is_said_as_was_negotiated(media: Media, speakers: Speakers, room: Room) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice, dtmf_send=101, dtmf_receive=101), connect(media, bob)
    room.join(a)
    room.join(b)
    room.digit(a, "5")
    room.digit(b, "5")
    events = [packet for packet in (alice.hear() for _ in range(15)) if packet.payload_type == 101]
    assert [packet.payload[0] for packet in events] == [5] * 7
    assert [packet.payload[1] >> 7 for packet in events] == [0, 0, 0, 0, 1, 1, 1]
    assert [int.from_bytes(packet.payload[2:], "big") for packet in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [packet.marker for packet in events] == [True] + [False] * 6
    assert len({packet.timestamp for packet in events}) == 1
    sound = listen(bob, 15)
    loud = np.flatnonzero(np.abs(sound) > 2000)
    digit = sound[loud[0] : loud[-1]]
    assert 760 <= len(digit) <= 800
    assert amplitude(digit, 770) > 5000
    assert amplitude(digit, 1336) > 6000


def test_talking_is_told(media: Media, speakers: Speakers, room: Room) -> None:
    alice = speakers()
    a = connect(media, alice)
    room.join(a)
    sing(alice, a, 500, 0.4)
    told = [event for event in media.events() if event.kind is MediaEventKind.TALKING]
    assert [(event.session, event.talking) for event in told] == [(a, True)]


def test_a_bridge_is_a_relay_or_a_room_by_what_the_plans_need(media: Media, speakers: Speakers) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob, Codec.PCMA)
    a.bridge(b)
    assert (a.room, media.rooms) == (None, [])
    b.apply(bob.plan(Codec.L16, payload_type=112, receive_payload_type=112))
    room = a.room
    assert room is not None
    assert room is b.room
    assert room.passes_digits
    sing(alice, a, 1004, 0.5)
    packets = [packet for packet in (bob.hear() for _ in range(20)) if packet.payload_type == 112]
    sound = np.frombuffer(b"".join(packet.payload for packet in packets), ">i2").astype(np.float64)
    assert amplitude(sound[-800:], 1004) == pytest.approx(0.5 * 32768, rel=0.05)
    b.apply(bob.plan(dtmf_send=101, dtmf_receive=101))
    assert a.room is room  # the same codec now, but only one of them takes events
    a.apply(alice.plan(dtmf_send=96, dtmf_receive=96))
    assert room.closed
    assert media.rooms == []
    assert {a.room, b.room} == {None}
    a.bridge(b, in_room=True)
    assert a.room is not None
    a.close()
    assert (b.room is not None, len(media.rooms)) == (True, 1)
    b.idle()
    assert media.rooms == []


def test_what_a_session_does_next_ends_its_bridge(media: Media, speakers: Speakers, room: Room) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob)
    a.bridge(b, in_room=True)
    room.join(a)
    b.apply(bob.plan(Codec.L16, payload_type=112, receive_payload_type=112))
    assert a.room is room
    assert b.room is not room
