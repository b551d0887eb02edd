"""UDPTL: vectors good and bad, loss that redundancy and parity undo, and octets that mean nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.udptl import (
    DATAGRAM_MAX,
    PARTS_MAX,
    ErrorCorrection,
    Parity,
    UdptlDrop,
    UdptlError,
    UdptlPacket,
    UdptlReceiver,
    UdptlSender,
    UdptlTerms,
    decode,
    ifp_end,
)

VECTORS = Path(__file__).parent.parent / "vectors" / "udptl"
GOOD = sorted(VECTORS.glob("good-*.hex"))
BAD = sorted(VECTORS.glob("bad-*.hex"))


def vector(path: Path) -> tuple[str, bytes]:
    remark, octets = path.read_text().split("\n", 1)
    return remark.removeprefix("# "), bytes.fromhex(octets)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_datagrams_are_read_and_written_as_they_were(path: Path) -> None:
    _, octets = vector(path)
    assert decode(octets).encode() == octets


def test_parts_are_where_they_belong() -> None:
    packet = decode(vector(VECTORS / "good-redundancy-2.hex")[1])
    assert packet == UdptlPacket(7, bytes.fromhex("c001800000ff"), (b"\x06", b"\x00"))
    packet = decode(vector(VECTORS / "good-fec-3x3.hex")[1])
    assert packet == UdptlPacket(16, b"\x06", parity=Parity(3, (b"\xc0\x01", b"\x06", b"\x00")))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_datagrams_are_refused_with_a_reason(path: Path) -> None:
    reason, octets = vector(path)
    with pytest.raises(UdptlError) as refused:
        decode(octets)
    assert refused.value.drop is UdptlDrop(reason)


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets: bytes) -> None:
    try:
        packet = decode(octets)
    except UdptlError:
        return
    assert len(packet.older) <= PARTS_MAX
    assert decode(packet.encode()) == packet


@given(st.lists(st.binary(max_size=200), max_size=40))
def test_a_receiver_survives_any_datagrams_and_keeps_little(datagrams: list[bytes]) -> None:
    receiver = UdptlReceiver()
    for datagram in datagrams:
        for number, packet in receiver.receive(datagram):
            assert 0 <= number < 65536
            assert len(packet) <= len(datagram)
    assert receiver.received + receiver.drops.total() == len(datagrams)


@given(
    st.integers(0, 65535),
    st.binary(max_size=200),
    st.lists(st.binary(max_size=60), max_size=5),
)
def test_what_is_written_is_read(sequence: int, primary: bytes, older: list[bytes]) -> None:
    packet = UdptlPacket(sequence, primary, tuple(older))
    assert decode(packet.encode()) == packet


def packets(count: int, seed: int = 7) -> list[bytes]:
    """IFP packets: indicators, and data of one field."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        length = chance.choice((0, 1, 30, 40))
        head = bytes.fromhex("c401e0") + (length - 1).to_bytes(2, "big") if length else b"\x06"
        made.append(head + chance.randbytes(length))
    return made


@pytest.mark.parametrize("correction", [ErrorCorrection.REDUNDANCY, ErrorCorrection.FEC])
@pytest.mark.parametrize("first", [0, 65000])
def test_five_per_cent_of_loss_is_undone(correction: ErrorCorrection, first: int) -> None:
    chance = random.Random(3)
    sender, receiver = UdptlSender(UdptlTerms(correction)), UdptlReceiver()
    for _ in range(first):
        sender.send(b"\x00", 0.0)
    receiver.receive(sender.send(b"\x00", 0.0))
    wanted = packets(3000)
    got = []
    for packet in wanted:
        datagram = sender.send(packet, 0.0)
        if chance.random() > 0.05:
            got += [found for _, found in receiver.receive(datagram)]
    assert got == wanted[: len(got)]
    assert len(got) >= 2997
    assert receiver.recovered > 100
    assert receiver.lost == 0


def test_without_correction_loss_is_counted() -> None:
    sender, receiver = UdptlSender(UdptlTerms(ErrorCorrection.NONE)), UdptlReceiver()
    sent = [sender.send(packet, 0.0) for packet in packets(10)]
    for place in (0, 1, 4, 5):
        receiver.receive(sent[place])
    assert (receiver.received, receiver.lost, receiver.recovered) == (4, 2, 0)
    assert sender.again(10.0) is None


def test_late_and_double_datagrams_are_told_apart_from_a_far_end_that_counts_anew() -> None:
    sender, receiver = UdptlSender(), UdptlReceiver()
    sent = [sender.send(b"\x06", 0.0) for _ in range(30)]
    for datagram in sent:
        assert len(receiver.receive(datagram)) == 1
    for _ in range(20):
        assert receiver.receive(sent[29]) == []
    assert receiver.drops == {UdptlDrop.OLD: 20}
    anew = UdptlSender()
    found = [receiver.receive(anew.send(b"\x00", 0.0)) for _ in range(10)]
    assert found[:7] == [[]] * 7
    assert found[7:] == [[(7, b"\x00")], [(8, b"\x00")], [(9, b"\x00")]]


def test_a_packet_without_a_follower_goes_out_again_but_not_for_ever() -> None:
    sender = UdptlSender(UdptlTerms(depth=3))
    datagram = sender.send(b"\x06", 1.0)
    repeats = [sender.again(1.0 + 0.02 * step) for step in range(1, 50)]
    assert [again for again in repeats if again is not None] == [datagram] * 3
    assert repeats[0] is None
    sender.send(b"\x00", 3.0)
    assert sender.again(3.01) is None


def test_redundancy_fits_into_the_datagram_that_the_far_end_takes() -> None:
    sender = UdptlSender(UdptlTerms(depth=5, max_datagram=112))
    for _ in range(6):
        datagram = sender.send(bytes(40), 0.0)
    assert len(datagram) <= 112
    assert len(decode(datagram).older) == 1


def test_redundancy_brings_back_what_came_before_the_first_that_was_heard() -> None:
    sender, receiver = UdptlSender(), UdptlReceiver()
    wanted = packets(3)
    sent = [sender.send(packet, 0.0) for packet in wanted]
    assert receiver.receive(sent[2]) == list(enumerate(wanted))


@pytest.mark.parametrize("packet", packets(12), ids=lambda packet: packet.hex()[:12])
def test_zeros_behind_a_mended_packet_are_cut(packet: bytes) -> None:
    assert ifp_end(packet + bytes(9)) == len(packet)


@given(st.binary(max_size=60))
def test_the_end_of_an_ifp_packet_is_within_it(packet: bytes) -> None:
    assert 0 <= ifp_end(packet) <= len(packet)


def test_a_part_too_long_to_write_is_refused() -> None:
    with pytest.raises(ValueError, match="16384 is too long"):
        UdptlPacket(0, bytes(16384)).encode()
    with pytest.raises(UdptlError):
        decode(UdptlPacket(0, bytes(DATAGRAM_MAX)).encode())
