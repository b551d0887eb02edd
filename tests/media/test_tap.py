"""Listening in: every packet of a leg, both ways, whole, as it came and as it went."""

from __future__ import annotations

from collections.abc import Callable

from media.session import Media
from tests.media.speaker import Speaker
from tests.media.test_session import connect


def test_packets_are_copied_while_somebody_listens(media: Media, speakers: Callable[[], Speaker]) -> None:
    phone, other = speakers(), speakers()
    session, apart = connect(media, phone), connect(media, other)
    session.echo()
    apart.echo()
    session.tap("one")
    for size in (160, 80):
        phone.say(session, bytes([size]) * size)
        phone.hear()
        other.say(apart, b"\x22" * 160)
        other.hear()
    packets = [packet for heard, packet in media.tapped() if heard is session]
    assert [(packet.outward, len(packet.data) - 12) for packet in packets] == [
        (False, 160),
        (True, 160),
        (False, 80),
        (True, 80),
    ]
    assert {packet.leg for packet in packets} == {session.key}
    assert [packet.data[12:] for packet in packets if packet.outward] == [b"\xa0" * 160, b"\x50" * 80]
    times = [packet.at for packet in packets]
    assert times == sorted(times)
    assert times[-1] <= media.wire.now()
    session.tap(None)
    phone.say(session, b"\x33" * 160)
    phone.hear()
    assert media.tapped() == []
    assert not media.listening


def test_who_listens_too_slowly_misses_packets_and_the_call_does_not(
    media: Media, speakers: Callable[[], Speaker]
) -> None:
    phone = speakers()
    session = connect(media, phone)
    session.echo()
    session.tap("one")
    rounds = (4 << 20) // (2 * 1400) + 10
    for _ in range(rounds):
        phone.say(session, b"\x11" * 1400)
        phone.hear()
    missed = media.wire.drops()["tap_overflow"]
    assert 0 < missed < 2 * rounds
    assert session.statistics().numbers.sent == rounds
    assert len(media.wire.tapped(1 << 20)) == 2 * rounds - missed


def test_a_closed_session_is_listened_in_on_no_more(media: Media, speakers: Callable[[], Speaker]) -> None:
    phone = speakers()
    session = connect(media, phone)
    session.echo()
    session.tap("one")
    phone.say(session, b"\x11" * 160)
    phone.hear()
    key = session.key
    session.close()
    session.tap("one")
    assert [(heard, packet.leg) for heard, packet in media.tapped()] == [(session, key)] * 2
    again = connect(media, phone)
    again.echo()
    phone.say(again, b"\x11" * 160)
    phone.hear()
    assert media.tapped() == []
