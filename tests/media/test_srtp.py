"""SRTP between real sockets: two sessions of the house that talk to each other across the loopback, under keys."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from media.keys import MasterKey, Srtp, SrtpSuite
from media.plan import Codec, MediaPlan
from media.session import Media, MediaEventKind, MediaSession

HEADER = b"\x80\x00"
PACKETS = 60


def plan_to(other: tuple[str, int], srtp: Srtp | None = None) -> MediaPlan:
    return MediaPlan(other, Codec.PCMU, 0, 0, latch_from=frozenset({"127.0.0.1"}), srtp=srtp)


class Loop:
    """A plain phone, a plain leg relayed to a secured one, and across the network a secured leg that echoes."""

    def __init__(self, media: Media) -> None:
        self.phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.phone.bind(("127.0.0.1", 0))
        self.phone.settimeout(0.3)
        self.plain, self.near, self.far = (media.open("127.0.0.1") for _ in range(3))
        self.plain.apply(plan_to(self.phone.getsockname()))
        self.plain.relay(self.near)
        self.far.echo()
        self.sequence = 0

    def secure(self, near: Srtp, far: Srtp) -> None:
        self.near.apply(plan_to(self.far.local, near))
        self.far.apply(plan_to(self.near.local, far))

    def come_back(self, count: int) -> int:
        """How many of so many packets come back as they were said."""
        heard = 0
        for _ in range(count):
            self.sequence += 1
            payload = bytes((self.sequence + i) & 0xFF for i in range(160))
            stamp = (self.sequence * 160).to_bytes(4, "big")
            self.phone.sendto(
                HEADER + self.sequence.to_bytes(2, "big") + stamp + b"\1\2\3\4" + payload, self.plain.local
            )
            try:
                heard += self.phone.recv(2000)[12:] == payload
            except TimeoutError:
                return heard
        return heard

    def close(self) -> None:
        self.phone.close()


@pytest.fixture
def loop(media: Media) -> Iterator[Loop]:
    made = Loop(media)
    yield made
    made.close()


def keys(suite: SrtpSuite) -> tuple[Srtp, Srtp]:
    one, other = MasterKey.fresh(suite), MasterKey.fresh(suite)
    return Srtp(suite, one, other), Srtp(suite, other, one)


@pytest.mark.parametrize("suite", SrtpSuite)
def test_what_is_said_comes_back_under_every_suite(loop: Loop, suite: SrtpSuite) -> None:
    loop.secure(*keys(suite))
    assert loop.come_back(PACKETS) == PACKETS
    assert loop.far.statistics().drops == {}
    assert loop.near.statistics().drops == {}


def test_new_keys_take_over_amid_the_sound(loop: Loop) -> None:
    for suite in (*SrtpSuite, *SrtpSuite):
        loop.secure(*keys(suite))
        assert loop.come_back(10) == 10


def test_one_way_may_change_and_the_other_stay(loop: Loop) -> None:
    near, far = keys(SrtpSuite.AEAD_AES_128_GCM)
    loop.secure(near, far)
    assert loop.come_back(10) == 10
    fresh = MasterKey.fresh(near.suite)
    loop.secure(replace(near, send=fresh), replace(far, receive=fresh))
    assert loop.come_back(10) == 10


def event_of(media: Media, session: MediaSession, kind: MediaEventKind) -> tuple[int, bool]:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for event in media.events():
            if event.session is session and event.kind is kind:
                return event.packets, event.plain
    raise AssertionError(f"no {kind}")


def test_the_wrong_key_is_silence_and_one_event(media: Media, loop: Loop) -> None:
    near, far = keys(SrtpSuite.AES_CM_128_HMAC_SHA1_80)
    loop.secure(replace(near, send=MasterKey.fresh(near.suite)), far)
    for _ in range(30):
        loop.phone.settimeout(0.01)
        assert loop.come_back(1) == 0
    assert event_of(media, loop.far, MediaEventKind.SRTP_FAILED) == (25, False)
    assert loop.far.statistics().drops["srtp_auth"] >= 25
    assert loop.far.statistics().numbers.received == 0


def test_plain_sound_is_told_from_the_wrong_key(media: Media, loop: Loop) -> None:
    _, far = keys(SrtpSuite.AES_CM_128_HMAC_SHA1_80)
    loop.near.apply(plan_to(loop.far.local))
    loop.far.apply(plan_to(loop.near.local, far))
    for _ in range(30):
        loop.phone.settimeout(0.01)
        assert loop.come_back(1) == 0
    assert event_of(media, loop.far, MediaEventKind.SRTP_FAILED) == (25, True)
    assert loop.far.statistics().drops["srtp_missing"] >= 25


def test_a_key_shows_itself_in_no_error(media: Media) -> None:
    near, _ = keys(SrtpSuite.AES_CM_128_HMAC_SHA1_80)
    session = media.open("127.0.0.1")
    with pytest.raises(OSError) as refusal:
        session.apply(replace(plan_to(("127.0.0.1", 4000), near), ptime_ms=1000))
    assert "MasterKey(...)" in str(refusal.value)
    assert repr(bytes(near.send.octets)) not in str(refusal.value)
