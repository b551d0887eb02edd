"""The headers wire keeps of a leg's last packets: both ways, whole, in order, in a bounded place."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from media.headers import TICK_NS, rtp_headers
from media.session import Media
from tests.media.speaker import Speaker
from tests.media.test_session import connect

KEPT = 1024


def test_both_directions_are_kept_with_times_and_lengths(media: Media, speakers: Callable[[], Speaker]) -> None:
    phone = speakers()
    session = connect(media, phone)
    session.echo()
    before = media.wire.now()
    for size in (160, 80, 1400):
        phone.say(session, b"\x11" * size)
        phone.hear()
    headers = rtp_headers(session.headers())
    assert [(each.outward, each.payload) for each in headers] == [
        (False, 160),
        (True, 160),
        (False, 80),
        (True, 80),
        (False, 1400),
        (True, 1400),
    ]
    assert {each.header[0] for each in headers} == {0x80}
    assert len({each.header[8:] for each in headers if each.outward}) == 1
    times = [each.at for each in headers]
    assert times == sorted(times)
    assert before - 2 * TICK_NS * 1e-9 <= times[0] <= times[-1] <= media.wire.now()
    kept = session.headers()
    session.close()
    assert session.headers() == kept


def test_the_newest_ones_stay(media: Media, speakers: Callable[[], Speaker]) -> None:
    phone = speakers()
    session = connect(media, phone)
    session.echo()
    for _ in range(600):
        phone.say(session, b"\x11" * 160)
        phone.hear()
    headers = rtp_headers(session.headers())
    assert len(headers) == KEPT - 1  # the oldest one may be about to be written over
    assert len(session.headers().records) <= 16384
    numbers = [int.from_bytes(each.header[2:4]) for each in headers if each.outward]
    assert all((after - one) & 0xFFFF == 1 for one, after in itertools.pairwise(numbers))
    assert not headers[-2].outward
    assert headers[-1].outward


def test_a_slot_that_is_used_again_knows_nothing_of_the_call_before(
    media: Media, speakers: Callable[[], Speaker]
) -> None:
    for _ in range(70):  # more than there are slots
        phone = speakers()
        session = connect(media, phone)
        session.echo()
        assert session.headers().records == b""
        phone.say(session, b"\x11" * 160)
        phone.hear()
        assert len(rtp_headers(session.headers())) == 2
        session.close()
