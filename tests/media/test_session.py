"""Media sessions on real loopback sockets: what a phone says is what the other one hears."""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Callable

import numpy as np
import pytest

from media.plan import Codec
from media.session import Latch, Media, MediaEventKind, MediaSession, OutOfFiles, OutOfPorts
from media.wire import Leg, Mode, Wire, WireError
from tests.clients.block import Block
from tests.media.conftest import next_events
from tests.media.speaker import Packet, Speaker, payload_type_of

RATE = 8000
Speakers = Callable[[], Speaker]


def connect(media: Media, speaker: Speaker, codec: Codec = Codec.PCMU, **changes: object) -> MediaSession:
    session = media.open(speaker.ip)
    session.apply(speaker.plan(codec, **changes))
    return session


def follows(before: Packet, after: Packet, samples: int) -> bool:
    """Whether `after` is the next packet of the same line."""
    same = after.ssrc == before.ssrc and after.seq == (before.seq + 1) & 0xFFFF
    return same and (after.timestamp - before.timestamp) & 0xFFFFFFFF == samples


def decoded(codec: Codec, payload: bytes) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """G.711 by its formulas, as samples of -1 to 1."""
    codes = np.frombuffer(payload, np.uint8).astype(np.int64)
    if codec is Codec.PCMU:
        bits = 255 - codes
        magnitude = ((2 * (bits & 15) + 33) << (bits >> 4 & 7)) - 33
        return np.where(bits & 128, -magnitude, magnitude) / 8192.0
    bits = codes ^ 0x55
    exponent = bits >> 4 & 7
    magnitude = np.where(exponent, (2 * (bits & 15) + 33) << np.maximum(exponent - 1, 0), 2 * (bits & 15) + 1)
    return np.where(bits & 128, magnitude, -magnitude) / 4096.0


def tone(codec: Codec, hertz: float, seconds: float) -> bytes:
    """A sine of half the full scale, each sample the nearest code."""
    values = decoded(codec, bytes(range(256)))
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)
    return bytes(np.abs(values[None, :] - wave[:, None]).argmin(axis=1).astype(np.uint8))


def test_echo_in_ipv4_and_ipv6(media: Media, speakers: Callable[[str], Speaker]) -> None:
    for ip in ("127.0.0.1", "::1"):
        phone = speakers(ip)
        session = connect(media, phone)
        session.echo()
        phone.say(session, b"\x11" * 160)
        first = phone.hear()
        phone.say(session, b"\x22" * 160)
        second = phone.hear()
        assert first.marker
        assert not second.marker
        assert follows(first, second, 160)
        assert second.payload == b"\x22" * 160
        assert session.statistics().numbers.ssrc == first.ssrc != phone.ssrc
        session.close()
    assert len(media) == 0
    assert media.ports.in_use == 0


def test_relay_both_ways_and_switch(media: Media, speakers: Speakers) -> None:
    alice, bob, carol = speakers(), speakers(), speakers()
    a, b, c = connect(media, alice), connect(media, bob), connect(media, carol)
    a.relay(b)
    alice.say(a, b"\x01" * 160)
    assert bob.hear().payload == b"\x01" * 160
    bob.say(b, b"\x02" * 160)
    before = alice.hear()
    b.idle()
    a.relay(c)
    carol.say(c, b"\x03" * 160)
    after = alice.hear()
    assert (after.ssrc, after.seq) == (before.ssrc, (before.seq + 1) & 0xFFFF)
    assert 160 <= (after.timestamp - before.timestamp) & 0xFFFFFFFF < RATE
    assert after.marker
    assert after.payload == b"\x03" * 160
    alice.say(a, b"\x04" * 160)
    assert carol.hear().payload == b"\x04" * 160
    assert bob.hears_nothing()


@pytest.mark.parametrize(("said", "heard"), [(Codec.PCMU, Codec.PCMA), (Codec.PCMA, Codec.PCMU)])
def test_a_tone_survives_conversion(media: Media, speakers: Speakers, said: Codec, heard: Codec) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice, said), connect(media, bob, heard)
    a.relay(b)
    sound = tone(said, 1004.0, 1.0)
    received = b""
    for start in range(0, len(sound), 160):
        alice.say(a, sound[start : start + 160], payload_type_of(said))
        packet = bob.hear()
        assert packet.payload_type == payload_type_of(heard)
        received += packet.payload
    spectrum = np.abs(np.fft.rfft(decoded(heard, received) * np.hanning(RATE)))
    assert spectrum.argmax() == 1004
    power = spectrum**2
    signal = power[1000:1009].sum()
    assert 10 * np.log10(signal / (power.sum() - signal)) > 30  # a single G.711 coding has 38 dB
    assert np.abs(decoded(heard, received)).max() == pytest.approx(0.5, abs=0.02)


def test_the_other_law_may_come_too(media: Media, speakers: Speakers) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob)
    a.apply(alice.plan(other_payload_type=8))
    a.relay(b)
    loud_pcma, loud_pcmu = b"\xaa" * 160, b"\x80" * 160
    alice.say(a, loud_pcma, 8)
    assert decoded(Codec.PCMU, bob.hear().payload)[0] == pytest.approx(decoded(Codec.PCMA, loud_pcma)[0], abs=0.02)
    alice.say(a, loud_pcmu, 0)
    assert bob.hear().payload == loud_pcmu
    a.apply(alice.plan())
    alice.say(a, loud_pcma, 8)
    alice.say(a, loud_pcmu, 0)
    assert bob.hear().payload == loud_pcmu


@pytest.mark.parametrize("codec", [Codec.G722, Codec.OPUS, Codec.L16, Codec.L16_WIDE])
def test_one_codec_on_both_legs_is_passed_untouched(media: Media, speakers: Speakers, codec: Codec) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice, codec, payload_type=111), connect(media, bob, codec, receive_payload_type=97)
    a.relay(b)
    sound = bytes([0x4B, *range(159)])
    alice.say(a, sound, payload_type_of(codec))
    first = bob.hear()
    assert (first.payload_type, first.payload) == (payload_type_of(codec), sound)
    bob.say(b, sound[::-1], 97)
    second = alice.hear()
    assert (second.payload_type, second.payload) == (111, sound[::-1])


def test_what_only_a_room_could_join_is_dropped_by_name(media: Media, speakers: Speakers) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob, Codec.G722)
    a.relay(b)
    alice.say(a, b"\x01" * 160)
    while not a.statistics().drops:
        pass
    assert a.statistics().drops == {"other_codec": 1}
    assert bob.hears_nothing()
    with pytest.raises(WireError):
        b.apply(bob.plan(Codec.G722, other_payload_type=8))


@pytest.mark.parametrize(("said", "heard"), list(itertools.product((10, 20, 30, 60), repeat=2)))
def test_packet_times_are_matched(media: Media, speakers: Speakers, said: int, heard: int) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice, ptime_ms=said), connect(media, bob, ptime_ms=heard)
    a.relay(b)
    sound = bytes(range(240)) * 4  # 120 ms
    for start in range(0, len(sound), said * 8):
        alice.say(a, sound[start : start + said * 8])
    packets = [bob.hear() for _ in range(120 // heard)]
    assert b"".join(packet.payload for packet in packets) == sound
    for before, after in itertools.pairwise(packets):
        assert follows(before, after, heard * 8)


def test_telephone_events_are_translated_and_reported(media: Media, speakers: Speakers) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice, dtmf_receive=101), connect(media, bob, dtmf_send=96)
    a.relay(b)
    for duration, end in [(160, 0), (320, 0), (480, 0x80), (480, 0x80), (480, 0x80)]:
        alice.say(a, struct.pack("!BBH", 11, end | 10, duration), 101, marker=duration == 160)
    heard = [bob.hear() for _ in range(5)]
    assert {packet.payload_type for packet in heard} == {96}
    assert len({packet.timestamp for packet in heard}) == 1
    assert [packet.marker for packet in heard] == [True, False, False, False, False]
    events = [event for event in media.events() if event.kind is MediaEventKind.DTMF]
    assert [(event.session, event.digit, event.duration_ms) for event in events] == [(a, "#", 60)]


def test_a_stranger_cannot_steal_a_leg(media: Media, speakers: Speakers) -> None:
    phone, thief = speakers(), speakers("127.0.0.2")  # type: ignore[call-arg]
    session = connect(media, phone)
    session.echo()
    thief.say(session, b"\x66" * 160)
    phone.say(session, b"\x11" * 160)
    assert phone.hear().payload == b"\x11" * 160
    thief.say(session, b"\x66" * 160)
    phone.say(session, b"\x22" * 160)
    assert phone.hear().payload == b"\x22" * 160
    assert thief.hears_nothing()
    statistics = session.statistics()
    assert statistics.drops == {"elsewhere": 2}
    assert statistics.numbers.source == phone.address
    assert statistics.numbers.latch is Latch.EXACT
    assert media.wire.drops()["elsewhere"] == 2


def test_what_is_thrown_at_a_port_does_not_hide_what_belongs_there(block: Block) -> None:
    wire = Wire(legs=4, sip_ring=1 << 12)
    phone, thief = Speaker(), Speaker("127.0.0.2")
    try:
        session = connect(Media(wire, block.rtp_pool()), phone)
        session.echo()
        for _ in range(150):  # more than one turn takes off a socket
            thief.say(session, b"\x66" * 160)
        phone.say(session, b"\x11" * 160)
        wire.start()
        assert phone.hear().payload == b"\x11" * 160
        assert session.statistics().drops == {"elsewhere": 150}
    finally:
        wire.close()
        phone.close()
        thief.close()


def test_a_far_end_that_is_gone_does_not_hold_up_a_leg(media: Media, speakers: Speakers) -> None:
    """ICMP says that nobody is there, packet by packet (RFC 1122 §4.1.3.3); only signalling ends a call."""
    alice, bob, gone = speakers(), speakers(), Speaker()
    plan = gone.plan()
    gone.close()
    a, b = connect(media, alice), media.open("127.0.0.1")
    b.apply(plan)
    a.relay(b)
    for _ in range(20):
        alice.say(a, b"\x11" * 160)
        alice.rtp.sendto(b"\xff" * 20, a.local)
    b.apply(bob.plan())
    alice.say(a, b"\x22" * 160)
    bob.say(b, b"\x33" * 160)
    assert alice.hear().payload == b"\x33" * 160
    while bob.hear().payload != b"\x22" * 160:
        pass  # what waited in the socket of `a` when `b` was told of him
    assert a.statistics().numbers.received == 21
    assert b.statistics().numbers.sent == 21
    drops = media.wire.drops()
    assert (drops["send_failed"], drops["send_blocked"], drops["not_rtp"]) == (0, 0, 20)


def test_events_tell_where_a_leg_is_latched(media: Media, speakers: Speakers) -> None:
    phone, moved = speakers(), speakers()
    session = connect(media, phone)
    moved.say(session, b"\x11" * 160)  # its NAT changed the port
    told = next_events(media)
    assert [(event.kind, event.address) for event in told] == [
        (MediaEventKind.LATCHED, moved.address),
        (MediaEventKind.FIRST_PACKET, moved.address),
    ]
    assert told[0].session is session
    phone.say(session, b"\x11" * 160)
    assert [(event.kind, event.address) for event in next_events(media)] == [(MediaEventKind.RELATCHED, phone.address)]


def test_silence_is_reported(media: Media, speakers: Speakers) -> None:
    session = connect(media, speakers(), silence_s=0.05)
    (event,) = next_events(media)
    assert (event.session, event.kind) == (session, MediaEventKind.SILENT)


def test_hold_is_kept(media: Media, speakers: Speakers) -> None:
    alice, bob = speakers(), speakers()
    a, b = connect(media, alice), connect(media, bob)
    a.relay(b)
    b.apply(bob.plan(sends=False))
    a.apply(alice.plan(receives=False))
    alice.say(a, b"\x11" * 160)
    bob.say(b, b"\x12" * 160)
    assert alice.hear().payload == b"\x12" * 160
    a.apply(alice.plan())
    alice.say(a, b"\x13" * 160)
    b.apply(bob.plan())
    alice.say(a, b"\x14" * 160)
    assert bob.hear().payload == b"\x14" * 160
    assert a.statistics().drops == {"not_receiving": 1, "not_sending": 1}


def test_reports_and_goodbye(media: Media, speakers: Speakers) -> None:
    phone = speakers()
    session = connect(media, phone)
    session.echo()
    for seq in (1, 2, 5):  # two are lost on the way
        phone.seq = seq
        phone.say(session, b"\x11" * 160)
        ssrc = phone.hear().ssrc
    block = struct.pack("!IIIIII", ssrc, 128 << 24 | 2, 5, 80, 0, 0)
    phone.rtcp.sendto(struct.pack("!BBHI", 0x81, 201, 7, phone.ssrc) + block, (phone.ip, session.rtcp_port))
    phone.say(session, b"\x11" * 160)
    phone.hear()
    session.close()
    goodbye = phone.rtcp.recv(500)
    assert goodbye[:2] == b"\x81\xc8"  # a sender report with one block
    sent, octets, source, lost, highest = struct.unpack_from("!IIIII", goodbye, 20)
    assert (sent, octets, source) == (4, 640, phone.ssrc)
    assert (lost & 0xFFFFFF, highest) == (2, 6)
    assert goodbye[-8:-4] == b"\x81\xcb\x00\x01"
    assert struct.unpack("!I", goodbye[-4:])[0] == ssrc
    numbers = session.statistics().numbers
    assert (numbers.received, numbers.expected, numbers.lost) == (4, 6, 2)
    assert (numbers.remote_lost, numbers.remote_loss, numbers.remote_jitter_ms) == (2, 0.5, 10.0)
    mos = session.statistics().mos
    assert mos is not None
    assert 1.0 <= mos < 3.0  # a third of the packets was lost


def test_statistics_of_a_silent_leg(media: Media) -> None:
    session = media.open("127.0.0.1")
    statistics = session.statistics()
    assert (statistics.mos, statistics.remote_mos, statistics.loss) == (None, None, 0.0)
    assert statistics.numbers.source is None
    session.close()
    session.close()
    session.echo()
    assert session.statistics() is session.statistics()


def test_plans_that_make_no_sense(media: Media, speakers: Speakers) -> None:
    phone = speakers()
    session = media.open("127.0.0.1")
    for wrong in ({"remote": ("example.org", 4000)}, {"payload_type": 200}, {"ptime_ms": 500}):
        with pytest.raises(WireError) as refused:
            session.apply(phone.plan(**wrong))
        assert refused.value.errno == errno.EINVAL
    with pytest.raises(ValueError, match="4 addresses"):
        session.apply(phone.plan(latch_from=frozenset(f"192.0.2.{host}" for host in range(5))))


def test_a_mode_without_an_implementation_is_refused(media: Media) -> None:
    leg = media.wire.leg_open("127.0.0.1", 0, 0)
    for mode in (Mode.RING, Mode.MIX, Mode.MODEM, Mode.T38):
        with pytest.raises(WireError, match=f"mode {mode.name.lower()}"):
            media.wire.leg_mode(leg, mode)


def test_slots_run_out_and_come_back(media: Media, speakers: Speakers) -> None:
    sessions = [media.open("127.0.0.1") for _ in range(63)]
    phone = speakers()
    last = connect(media, phone)
    with pytest.raises(WireError) as refused:
        media.open("127.0.0.1")
    assert refused.value.errno == errno.ENOSPC
    assert media.ports.in_use == 64
    last.echo()
    phone.say(last, b"\x11" * 160)
    phone.hear()
    media.close()
    phone.rtcp.recv(500)  # its goodbye: the others were closed before it
    assert all(each.closed for each in sessions)
    assert (len(media), media.ports.in_use) == (0, 0)
    assert not media.open("127.0.0.1").closed


def test_a_port_somebody_else_has_is_passed_over(media: Media) -> None:
    first = media.open("127.0.0.1")
    taken = first.local[1] + 2
    leg = media.wire.leg_open("127.0.0.1", taken + 1, 0)  # the RTCP port of the next pair
    assert media.open("127.0.0.1").local[1] != taken
    media.wire.leg_close(leg)


def test_out_of_files_is_not_out_of_ports(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_ip: str, _rtp: int, _rtcp: int) -> Leg:
        raise WireError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(media.wire, "leg_open", refuse)
    with pytest.raises(OutOfFiles, match="Too many open files"):
        media.open("127.0.0.1")
    assert media.ports.in_use == 0


def test_out_of_ports(media: Media) -> None:
    pool = media.ports
    taken = [pool.take(media.wire.now()) for _ in range(pool.size)]
    with pytest.raises(OutOfPorts, match="90 of 90"):
        media.open("127.0.0.1")
    for port in taken:
        pool.give_back(port, media.wire.now())
