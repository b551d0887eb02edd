"""The rings: what a call keeps, what makes way, and what is forgotten. Time is an argument throughout."""

from __future__ import annotations

import logging

import pytest

from media.headers import LegHeaders
from pbxd.errors import Denied
from pbxd.trace import Note, Recorder, Recording, SipMessage, Sound, Topic, TraceLimits, read_target
from pbxd.trace.debug import TargetKind
from pbxd.trace.packing import pack, unpack
from pbxd.trace.recorder import (
    LAST_WORDS_S,
    LINGER_S,
    MAX_STRANGERS,
    MAX_SWITCHES,
    MAX_TAPES,
    SOUND_S,
    STRANGER_S,
    call_id_of,
)
from pbxd.trace.segment import compress, part_of
from pbxd.trace.tape import Packet

HOUSE, PHONE = ("10.0.0.1", 5060), ("10.0.0.2", 5062)


def message(call_id: str, method: str = "INVITE", user: str = "1002", size: int = 0) -> bytes:
    head = (
        f"{method} sip:{user}@lab SIP/2.0\r\nFrom: <sip:1001@lab>;tag=1\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n"
    )
    return (head + "\r\n").encode() + b"x" * size


def hear(recorder: Recorder, data: bytes, now: float, remote: tuple[str, int] = PHONE) -> None:
    recorder.sip(False, data, "UDP", HOUSE, remote, now)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(lambda now: 1e9 + now)


def texts(recorder: Recorder, name: str) -> list[str]:
    track = recorder.find(name)
    assert track is not None
    return [entry.text if isinstance(entry, Note) else entry.data.decode().split(" ")[0] for entry in track.entries]


def test_what_came_before_the_call_is_the_calls(recorder: Recorder) -> None:
    hear(recorder, message("a"), 1.0)
    recorder.note("a", Topic.DECISION, "challenged", 1.0)
    hear(recorder, message("a", "ACK"), 1.1)
    recorder.began("call_1", "a", "acc_1", 2.0)
    hear(recorder, message("b"), 2.1)
    recorder.joined("call_1", "b")
    assert texts(recorder, "call_1") == ["INVITE", "challenged", "ACK", "INVITE"]
    assert recorder.find("b") is recorder.find("a") is recorder.find("call_1")
    assert len(recorder) == 1


def test_what_is_no_call_leaves_nothing(recorder: Recorder) -> None:
    for method in ("REGISTER", "OPTIONS", "SIP/2.0"):
        hear(recorder, message("r", method), 1.0)
    hear(recorder, b"\r\n\r\n", 1.0)
    hear(recorder, b"noise", 1.0)
    assert (len(recorder), recorder.size, recorder.messages) == (0, 0, 0)


def test_a_stranger_is_forgotten_in_time(recorder: Recorder) -> None:
    hear(recorder, message("a"), 1.0)
    assert recorder.sweep(1.0 + STRANGER_S - 0.1) == []
    assert recorder.find("a") is not None
    assert recorder.sweep(1.0 + STRANGER_S) == []
    assert (recorder.find("a"), recorder.size) == (None, 0)


def test_strangers_are_few(recorder: Recorder) -> None:
    for number in range(MAX_STRANGERS + 5):
        hear(recorder, message(f"flood-{number}"), 1.0)
    assert len(recorder) == MAX_STRANGERS
    assert recorder.find("flood-4") is None
    assert recorder.find("flood-5") is not None


def test_an_ended_call_waits_for_its_last_messages(recorder: Recorder) -> None:
    hear(recorder, message("a"), 1.0)
    recorder.began("call_1", "a", "acc_1", 1.0)
    recorder.ended("call_1", 5.0)
    hear(recorder, message("a", "BYE"), 6.0)
    assert recorder.sweep(5.0 + LINGER_S - 0.1) == []
    (track,) = recorder.sweep(5.0 + LINGER_S)
    assert [len(track.entries), track.ended_at, track.names] == [2, 5.0, ["call_1", "a"]]
    assert (recorder.find("call_1"), recorder.find("a"), recorder.size, len(recorder)) == (None, None, 0, 0)


def test_a_call_keeps_its_newest_entries() -> None:
    recorder = Recorder(lambda now: now, TraceLimits(call=4000))
    recorder.began("call_1", "a", "acc_1", 0.0)
    for number in range(20):
        hear(recorder, message("a", "INFO", size=400), float(number))
    track = recorder.find("call_1")
    assert track is not None
    assert track.size <= 4000
    assert track.next == 20
    assert track.first == 20 - len(track.entries) > 0
    assert [entry.at for entry in track.entries] == [float(number) for number in range(track.first, 20)]
    assert recorder.size == track.size


def test_a_long_message_is_cut_and_says_how_long_it_was() -> None:
    recorder = Recorder(lambda now: now, TraceLimits(message=100))
    hear(recorder, message("a", size=900), 0.0)
    track = recorder.find("a")
    assert track is not None
    (entry,) = track.entries
    assert isinstance(entry, SipMessage)
    assert (len(entry.data), entry.length) == (100, len(message("a", size=900)))


def test_memory_is_bounded_strangers_go_first_then_ended_calls_then_nothing_more_is_kept() -> None:
    recorder = Recorder(lambda now: now, TraceLimits(memory=20_000, call=1 << 20))
    hear(recorder, message("stranger", size=5000), 0.0)
    for name in ("over", "up"):
        recorder.began(f"call_{name}", name, "acc_1", 0.0)
    recorder.ended("call_over", 1.0)
    hear(recorder, message("over", "BYE", size=9000), 1.0)
    hear(recorder, message("up", "INFO", size=9000), 2.0)
    hear(recorder, message("up", "INFO", size=9000), 3.0)
    assert recorder.find("stranger") is None
    hear(recorder, message("up", "INFO", size=9000), 4.0)
    assert len(recorder) == 1
    hear(recorder, message("up", "INFO", size=9000), 5.0)
    assert recorder.unkept == 1
    assert recorder.size < 20_000 + 10_000
    assert [track.id for track in recorder.sweep(5.0)] == ["call_over"]


def test_switched_off_it_keeps_nothing_of_calls() -> None:
    recorder = Recorder(lambda now: now, TraceLimits(enabled=False))
    hear(recorder, message("a"), 0.0)
    recorder.began("call_1", "a", "acc_1", 0.0)
    recorder.note("call_1", Topic.STATE, "started", 0.0)
    assert (len(recorder), recorder.find("call_1")) == (0, None)


def test_a_daemon_that_stops_gives_up_all_calls(recorder: Recorder) -> None:
    hear(recorder, message("stranger"), 0.0)
    for number in (1, 2):
        recorder.began(f"call_{number}", f"dialog-{number}", "acc_1", 0.0)
    recorder.ended("call_1", 1.0)
    assert {track.id for track in recorder.finish_all(2.0)} == {"call_1", "call_2"}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("192.0.2.7", TargetKind.ADDRESS),
        ("[2001:db8::1]", TargetKind.ADDRESS),
        ("call_01abc", TargetKind.CALL),
        ("x@phone", TargetKind.CALL),
        ("1001", TargetKind.PHONE),
    ],
)
def test_targets(text: str, kind: TargetKind) -> None:
    assert read_target(text).kind is kind


@pytest.mark.parametrize("text", ["", "two words", "a" * 129, '"'])
def test_no_targets(text: str) -> None:
    with pytest.raises(ValueError, match="a target is"):
        read_target(text)


@pytest.mark.parametrize("target", ["10.0.0.2", "1001", "reg-1"])
def test_a_failed_registration_is_traced_while_it_is_watched(
    recorder: Recorder, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.switch_on(read_target(target), 60.0, 0.0)
    with caplog.at_level(logging.DEBUG, "pbxd.trace.debug"):
        hear(recorder, message("reg-1", "REGISTER"), 1.0)
        recorder.note("reg-1", Topic.DECISION, "not registered (401): wrong password or unknown user", 1.0)
        hear(recorder, message("other", "REGISTER").replace(b"1001", b"1003"), 1.0, ("10.0.0.3", 5060))
    assert texts(recorder, target) == ["REGISTER", "not registered (401): wrong password or unknown user"]
    assert [record.getMessage() for record in caplog.records] == [
        "SIP from UDP:10.0.0.2:5062",
        "decision: not registered (401): wrong password or unknown user",
    ]
    assert recorder.sweep(59.9) == []
    (track,) = recorder.sweep(60.0)
    assert (track.id, len(track.entries), recorder.switches) == (target, 2, {})


def test_a_call_is_watched_by_its_id_with_what_was_decided(recorder: Recorder) -> None:
    recorder.began("call_1", "a", "acc_1", 0.0)
    recorder.switch_on(read_target("call_1"), 60.0, 0.0)
    hear(recorder, message("a", "INFO"), 1.0)
    recorder.note("a", Topic.MEDIA, "caller latched", 1.0)
    hear(recorder, message("b"), 1.0)
    assert [len(switch.track.entries) for switch in recorder.switches.values()] == [2]
    assert recorder.switch_off("call_1", 2.0)
    assert not recorder.switch_off("call_1", 2.0)
    assert texts(recorder, "call_1") == ["INFO", "caller latched"]


def test_switches_are_few_and_can_be_prolonged(recorder: Recorder) -> None:
    for number in range(MAX_SWITCHES):
        recorder.switch_on(read_target(str(1000 + number)), 60.0, 0.0)
    recorder.switch_on(read_target("1000"), 120.0, 0.0)
    assert recorder.switches["1000"].expires_at == 120.0
    with pytest.raises(ValueError, match="switch one off"):
        recorder.switch_on(read_target("2000"), 60.0, 0.0)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"X\r\nCall-ID: abc\r\n\r\n", "abc"),
        (b"X\r\ni:abc\r\n\r\n", "abc"),
        (b"X\r\nCALL-id  :\t abc \r\n\r\n", "abc"),
        (b"X\ncall-id: abc\n\n", "abc"),
        (b"X\r\nCall-ID: abc", "abc"),
        (b"X\r\nFrom: x\r\n\r\n", None),
    ],
)
def test_the_call_id_is_found_without_parsing(data: bytes, name: str | None) -> None:
    assert call_id_of(data) == name


def test_a_recording_comes_back_from_the_store_as_it_went(recorder: Recorder) -> None:
    odd = message("a") + bytes(range(256))
    recorder.sip(True, odd, "TCP", ("0.0.0.0", 5060), ("2001:db8::2", 5062), 1.25)
    recorder.began("call_1", "a", "acc_1", 1.0)
    recorder.note("call_1", Topic.STATE, "ringing", 1.5)
    recorder.sounded("a", Sound(("0.0.0.0", 4000), PHONE, LegHeaders(b"0123456789abcdef", 2_000_000_000)))
    recorder.ended("call_1", 2.0)
    (track,) = recorder.sweep(2.0 + LINGER_S)
    recording = Recording.of(track, lambda _: "192.0.2.1")
    packed = pack(track, lambda _: "192.0.2.1")
    assert unpack(packed) == recording
    first = recording.entries[0]
    assert isinstance(first, SipMessage)
    assert (first.local, first.data, first.at) == (("192.0.2.1", 5060), odd, 1e9 + 1.25)
    assert recording.sounds[0].local == ("192.0.2.1", 4000)
    for junk in (b"", b"junk", packed[:-9], packed[:20], packed[:8] + b"{" + packed[9:]):
        with pytest.raises(ValueError):
            unpack(junk)


def packet(size: int = 172) -> Packet:
    return Packet(1.0, True, HOUSE, PHONE, b"\x80" * size)


def test_sound_is_kept_of_what_is_watched_with_it(recorder: Recorder) -> None:
    asked: list[bool] = []
    recorder.limits = TraceLimits(sound=10_000)
    recorder.on_listen = lambda: asked.append(recorder.listening)
    recorder.switch_on(read_target("1001"), 60.0, 0.0, sound=True)
    recorder.switch_on(read_target("10.0.0.9"), 60.0, 0.0)
    assert (recorder.listens("a"), asked) == (False, [True])
    hear(recorder, message("a"), 1.0)
    assert (recorder.listens("a"), recorder.listens("b"), asked) == (True, False, [True, True])
    recorder.heard("a", packet())
    recorder.heard("b", packet())
    tape = recorder.tape("1001")
    assert tape is not None
    assert (tape.packets, tape.offset) == ([packet()], 1e9)
    assert recorder.tape("10.0.0.9") is None
    recorder.sweep(60.0)
    assert (recorder.listens("a"), recorder.listening, asked) == (False, False, [True, True, False])
    recorder.sweep(60.0 + SOUND_S - 1)
    assert recorder.tape("1001") is tape
    recorder.sweep(60.0 + SOUND_S)
    assert recorder.tape("1001") is None


def test_a_call_that_is_up_is_listened_to_on_all_its_legs_until_it_ends(recorder: Recorder) -> None:
    recorder.limits = TraceLimits(sound=10_000)
    recorder.began("call_1", "a", "acc_1", 0.0)
    recorder.joined("call_1", "b")
    recorder.switch_on(read_target("call_1"), 600.0, 1.0, sound=True)
    assert recorder.listens("a")
    assert recorder.listens("b")
    recorder.ended("call_1", 2.0)
    recorder.sweep(2.0 + LAST_WORDS_S - 0.1)
    assert recorder.listening
    recorder.sweep(2.0 + LAST_WORDS_S)
    assert not recorder.listening


def test_sound_is_bounded_and_what_is_missing_is_counted(recorder: Recorder) -> None:
    recorder.limits = TraceLimits(sound=1000)
    recorder.switch_on(read_target("a@x"), 60.0, 0.0, sound=True)
    recorder.began("call_1", "a@x", "acc_1", 0.0)
    hear(recorder, message("a@x", "INFO"), 0.5)
    for _ in range(5):
        recorder.heard("a@x", packet())
    tape = recorder.tape("a@x")
    assert tape is not None
    assert (len(tape.packets), tape.missed) == (3, 2)
    assert tape.size <= 1000


def test_captures_with_sound_are_few_and_the_oldest_that_ended_makes_way(recorder: Recorder) -> None:
    recorder.limits = TraceLimits(sound=1000)
    for number in range(MAX_TAPES):
        recorder.switch_on(read_target(str(1000 + number)), 60.0, 0.0, sound=True)
    with pytest.raises(ValueError, match="captures with sound are on already"):
        recorder.switch_on(read_target("2000"), 60.0, 0.0, sound=True)
    assert "2000" not in recorder.switches
    recorder.switch_off("1001", 1.0)
    recorder.switch_on(read_target("2000"), 60.0, 2.0, sound=True)
    assert recorder.tape("1001") is None
    assert recorder.tape("1000") is not None


def test_policy_forbids_sound_from_the_start_and_later(recorder: Recorder) -> None:
    with pytest.raises(Denied, match=r"trace\.audio"):
        recorder.switch_on(read_target("1001"), 60.0, 0.0, sound=True)
    assert recorder.switches == {}
    recorder.limits = TraceLimits(sound=1000)
    recorder.switch_on(read_target("1001"), 60.0, 0.0, sound=True)
    recorder.forget_sound()
    assert (recorder.listening, recorder.tape("1001"), list(recorder.switches)) == (False, None, ["1001"])


def test_a_call_id_of_any_length_and_letters_is_the_calls(recorder: Recorder) -> None:
    for name in ("x" * 400, "caf\u00e9@phone", "with space"):
        hear(recorder, message(name), 0.0)
        recorder.began(f"call_{name}", name, "acc_1", 0.0)
        hear(recorder, message(name, "BYE"), 0.1)
        assert texts(recorder, f"call_{name}") == ["INVITE", "BYE"]
        assert recorder.find(name) is recorder.find(f"call_{name}")


def test_a_cut_message_of_a_dialog_that_joins_still_says_how_long_it_was() -> None:
    recorder = Recorder(lambda now: now, TraceLimits(message=100))
    recorder.began("call_1", "a", "acc_1", 0.0)
    hear(recorder, message("b", size=900), 0.0)
    recorder.joined("call_1", "b")
    track = recorder.find("call_1")
    assert track is not None
    (entry,) = unpack(pack(track, lambda _: "192.0.2.1")).entries
    assert isinstance(entry, SipMessage)
    assert (len(entry.data), entry.length) == (100, len(message("b", size=900)))


def test_headers_of_sound_come_back_as_they_went(recorder: Recorder) -> None:
    records = bytes(range(256)) * 3 + b"0123456789abcdef"
    recorder.began("call_1", "a", "acc_1", 0.0)
    for number in range(2):
        recorder.sounded("a", Sound(HOUSE, ("10.0.0.2", 4000 + number), LegHeaders(records, 5_000_000_000)))
    track = recorder.find("call_1")
    assert track is not None
    assert unpack(pack(track, lambda _: "192.0.2.1")).sounds == tuple(track.sounds)
    assert part_of(compress([pack(track, lambda _: "192.0.2.1")]), "b") is None
    for junk in (b"", b"junk", compress([])[:-3]):
        with pytest.raises(ValueError, match="not a segment"):
            part_of(junk, "a")
