"""SIP sockets of wire: datagrams to Python, the guard before it, and a bounded way between."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from media.wire import Datagram, Wire, WireError

MakeSocket = Callable[[str], socket.socket]


@pytest.fixture
def sender() -> Iterator[MakeSocket]:
    made: list[socket.socket] = []

    def make(ip: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        made.append(socket.socket(family, socket.SOCK_DGRAM))
        made[-1].bind((ip, 0))
        made[-1].settimeout(5)
        return made[-1]

    yield make
    for each in made:
        each.close()


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def collect(wire: Wire, count: int) -> list[Datagram]:
    """Waits for `count` datagrams."""
    received: list[Datagram] = []
    while len(received) < count:
        readable, _, _ = select.select([wire.event_fd], [], [], 5)
        assert readable, f"only {len(received)} datagrams came"
        received += wire.sip_receive()
    return received


def test_both_families_and_the_way_back(wire: Wire, sender: MakeSocket) -> None:
    for ip in ("127.0.0.1", "::1"):
        index = wire.sip_open(ip, 0)
        phone = sender(ip)
        phone.sendto(b"OPTIONS", wire.sip_address(index))
        (datagram,) = collect(wire, 1)
        assert datagram.data == b"OPTIONS"
        assert datagram.socket == index >= 1
        assert datagram.remote == phone.getsockname()[:2]
        assert 0 <= wire.now() - datagram.arrival < 5
        assert wire.sip_send(index, b"200", *datagram.remote) == 0
        assert phone.recvfrom(100)[0] == b"200"
        assert phone.getsockname()[:2] == datagram.remote


@pytest.mark.parametrize(
    ("bound", "asked", "asker"),
    [("0.0.0.0", "127.0.0.5", "127.0.0.9"), ("0.0.0.0", "127.0.0.1", "127.0.0.5"), ("::", "::1", "::1")],
)
def test_a_wildcard_socket_answers_as_it_was_asked(
    wire: Wire, sender: MakeSocket, bound: str, asked: str, asker: str
) -> None:
    index = wire.sip_open(bound, 0)
    port, phone = wire.sip_address(index)[1], sender(asker)
    phone.sendto(b"OPTIONS", (asked, port))
    (datagram,) = collect(wire, 1)
    assert datagram.local_ip == asked
    assert wire.sip_send(index, b"200", *datagram.remote, datagram.local_ip) == 0
    data, source = phone.recvfrom(100)
    assert (data, source[:2]) == (b"200", (asked, port))


def test_a_bound_socket_does_not_tell_what_everybody_knows(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.5", 0)
    sender("127.0.0.9").sendto(b"x", wire.sip_address(index))
    assert collect(wire, 1)[0].local_ip == ""


def test_an_address_that_is_not_ours_is_not_sent_from(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("0.0.0.0", 0)
    _, port = sender("127.0.0.9").getsockname()
    assert wire.sip_send(index, b"x", "127.0.0.9", port, "192.0.2.77") in (errno.EINVAL, errno.ENETUNREACH)
    assert wire.sip_send(index, b"x", "127.0.0.9", port, "::1") == errno.EINVAL
    assert wire.sip_send(index, b"x", "127.0.0.9", port, "phone") == errno.EINVAL


def test_ipv6_does_not_take_ipv4s_port(wire: Wire) -> None:
    six = wire.sip_open("::", 0)
    port = wire.sip_address(six)[1]
    assert wire.sip_address(wire.sip_open("0.0.0.0", port)) == ("0.0.0.0", port)


def test_refusals_are_told(wire: Wire) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    with pytest.raises(WireError, match="Address already in use") as taken:
        wire.sip_open(*wire.sip_address(index))
    assert taken.value.errno == errno.EADDRINUSE
    with pytest.raises(WireError) as nonsense:
        wire.sip_open("localhost", 0)
    assert nonsense.value.errno == errno.EINVAL
    assert wire.sip_send(index, b"x" * 65508, "127.0.0.1", 5060) == errno.EMSGSIZE
    assert wire.sip_send(index, b"x", "::1", 5060) in (errno.EAFNOSUPPORT, errno.EINVAL)
    assert wire.sip_send(index, b"x", "example.org", 5060) == errno.EINVAL
    wire.sip_close(index)
    assert wire.sip_send(index, b"x", "127.0.0.1", 5060) == errno.EBADF
    with pytest.raises(WireError):
        wire.sip_close(index)


def test_a_closed_index_is_used_again(wire: Wire, sender: MakeSocket) -> None:
    first = wire.sip_open("127.0.0.1", 0)
    wire.sip_close(first)
    second = wire.sip_open("127.0.0.1", 0)
    sender("127.0.0.1").sendto(b"hello", wire.sip_address(second))
    (datagram,) = collect(wire, 1)
    assert datagram.socket == second == first


def test_order_limit_and_signal(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    phone = sender("127.0.0.1")
    for number in range(100):
        phone.sendto(b"%d" % number * 3, wire.sip_address(index))
    phone.sendto(b"", wire.sip_address(index))
    phone.sendto(b"last", wire.sip_address(index))
    received: list[bytes] = []
    while received[-1:] != [b"last"]:
        readable, _, _ = select.select([wire.event_fd], [], [], 5)
        assert readable  # again and again while datagrams are left
        taken = wire.sip_receive(7)
        assert len(taken) <= 7
        received += [datagram.data for datagram in taken]
    assert received == [b"%d" % number * 3 for number in range(100)] + [b"last"]
    assert wire.drops()["sip_empty"] == 1
    wire.sip_receive()
    assert select.select([wire.event_fd], [], [], 0)[0] == []


def test_large_datagrams(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    body = bytes(range(256)) * 200
    for _ in range(5):  # of a ring that holds little more than one
        sender("127.0.0.1").sendto(body, wire.sip_address(index))
        (datagram,) = collect(wire, 1)
        assert datagram.data == body


def test_overflow_is_bounded_and_counted(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    other = wire.sip_open("127.0.0.1", 0)
    phone = sender("127.0.0.1")
    for _ in range(100):
        phone.sendto(b"x" * 1000, wire.sip_address(index))
    held = collect(wire, 1)
    while len(held) + wire.drops()["sip_overflow"] < 100:
        held += wire.sip_receive()
    assert {len(datagram.data) for datagram in held} == {1000}
    phone.sendto(b"after", wire.sip_address(other))
    assert collect(wire, 1)[-1].data == b"after"


def passing(wire: Wire, index: int, phone: socket.socket, marker: socket.socket, count: int) -> int:
    """How many of `count` datagrams of `phone` pass the guard; `marker` is exempt and ends the count."""
    for _ in range(count):
        phone.sendto(b"x", wire.sip_address(index))
    marker.sendto(b"end", wire.sip_address(index))
    received: list[bytes] = []
    while received[-1:] != [b"end"]:
        received += [datagram.data for datagram in collect(wire, 1)]
    return received.count(b"x")


def test_the_guard(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    phone, marker = sender("127.0.0.9"), sender("127.0.0.1")
    assert passing(wire, index, phone, marker, 60) == 60  # loopback is exempt at first
    wire.exempt_loopback(False)
    wire.trust("127.0.0.1")
    wire.set_bucket(0.001, 10)
    assert passing(wire, index, phone, marker, 60) == 10
    assert wire.drops()["sip_rate"] == 50
    wire.set_bucket(0, 0)
    wire.ban("127.0.0.9")
    assert passing(wire, index, phone, marker, 60) == 0
    assert wire.drops()["sip_banned"] == 60
    wire.unban("127.0.0.9")
    assert passing(wire, index, phone, marker, 60) == 60
    wire.ban("127.0.0.9")
    wire.trust("127.0.0.0/28")  # trust is above a ban
    assert passing(wire, index, phone, marker, 60) == 60
    wire.distrust_all()
    wire.trust("127.0.0.1/32")
    assert passing(wire, index, phone, marker, 60) == 0


def test_the_guard_refuses_nonsense(wire: Wire) -> None:
    for text in ("300.1.1.1", "host", "192.0.2.0/40", "::ffff:1.2.3.4/128"):
        with pytest.raises(ValueError, match=r"host|300|40|IPv4"):
            wire.trust(text)
        with pytest.raises(ValueError, match=r"host|300|40|IPv4"):
            wire.ban(text)
    with pytest.raises(WireError):
        wire.ban("::/0")


def test_networks_are_banned_and_their_hits_counted(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    phone, neighbour, marker = sender("127.0.0.9"), sender("127.0.0.17"), sender("127.0.0.1")
    wire.exempt_loopback(False)
    wire.trust("127.0.0.1", limited=True)
    wire.ban("127.0.0.0/28")
    assert passing(wire, index, phone, marker, 30) == 0
    assert passing(wire, index, neighbour, marker, 30) == 30
    assert (wire.ban_hits("127.0.0.0/28"), wire.ban_hits("127.0.0.0/29")) == (30, 0)
    wire.ban("127.0.0.17")
    assert passing(wire, index, neighbour, marker, 5) == 0
    assert (wire.ban_hits("127.0.0.0/28"), wire.ban_hits("127.0.0.17")) == (30, 5)
    wire.unban("127.0.0.0/28")
    assert passing(wire, index, phone, marker, 30) == 30
    assert wire.ban_hits("127.0.0.0/28") == 0


def test_a_slow_road_is_narrower(wire: Wire, sender: MakeSocket) -> None:
    index = wire.sip_open("127.0.0.1", 0)
    phone, marker = sender("127.0.0.9"), sender("127.0.0.1")
    wire.exempt_loopback(False)
    wire.trust("127.0.0.1")
    wire.set_slow_bucket(0.001, 5)
    wire.slow("127.0.0.9")
    assert passing(wire, index, phone, marker, 30) == 5
    wire.unslow("127.0.0.9")
    assert passing(wire, index, phone, marker, 30) == 30
    assert wire.drops()["sip_rate"] == 25


def test_stopping_twice_and_starting_never() -> None:
    before = descriptors()
    wire = Wire(legs=4, sip_ring=1 << 12)
    index = wire.sip_open("127.0.0.1", 0)
    assert wire.sip_address(index)[0] == "127.0.0.1"
    wire.leg_open("127.0.0.1", 0, 0)
    assert descriptors() == before + 8  # epoll, three bells, a SIP socket for each thread, RTP and RTCP
    wire.stop()
    wire.leg_open("127.0.0.1", 0, 0)  # too late, but not lost
    wire.close()
    wire.close()
    assert descriptors() == before
    with pytest.raises(TypeError):
        wire.drops()


def test_a_wire_that_nobody_closes_leaves_nothing_open() -> None:
    before = descriptors()
    wire = Wire(legs=4, sip_ring=1 << 12)
    wire.leg_open("127.0.0.1", 0, 0)
    wire.sip_open("127.0.0.1", 0)
    assert descriptors() > before
    del wire
    assert descriptors() == before


def test_bans_are_bounded_and_say_so(wire: Wire) -> None:
    for number in range(8192):
        wire.ban(f"10.1.{number >> 8}.{number & 255}")
    wire.ban("10.1.0.0")  # again
    with pytest.raises(WireError) as refused:
        wire.ban("10.2.0.0")
    assert refused.value.errno == errno.ENOSPC
    wire.unban("10.1.0.0")
    wire.ban("10.2.0.0")


def test_a_leg_table_in_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("legs") / "legs"
    wire = Wire(legs=4, legs_path=str(path))
    try:
        content = path.read_bytes()
        assert content.startswith(b"pbxlegs\0")
        assert path.stat().st_mode & 0o777 == 0o600
        assert (len(content) - 4096) // 4 <= 2048
        with pytest.raises(WireError) as taken:
            Wire(legs=4, legs_path=str(path))
        assert taken.value.errno == errno.EWOULDBLOCK  # to empty it would pull it from under the other
    finally:
        wire.close()
    Wire(legs=4, legs_path=str(path)).close()
    with pytest.raises(WireError) as refused:
        Wire(legs_path="/nowhere/legs")
    assert refused.value.errno == errno.ENOENT
