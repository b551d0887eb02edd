"""Which of our addresses a peer sees: a table of hosts, no kernel asked."""

from __future__ import annotations

import pytest

from pbxd.sip.addresses import Addresses, Listener
from pbxd.sip.flow import Destination, Flow, Transport

UDP, TCP, TLS = Transport

ROUTES = {
    "192.0.2.50": "192.0.2.1",
    "198.51.100.9": "192.0.2.1",
    "10.0.0.50": "10.0.0.1",
    "127.0.0.1": "127.0.0.1",
    "127.0.0.11": "127.0.0.1",
    "2001:db8::50": "2001:db8::1",
}


class House:
    """Addresses with `ROUTES` for a kernel that counts how often it is asked."""

    def __init__(self, *listeners: tuple[Transport, str, int], external: tuple[str | None, ...] = ()) -> None:
        self.asked = 0
        self.addresses = Addresses(
            self.source, external=external, local_nets=("10.0.0.0/8", "127.0.0.0/8", "192.0.2.0/24", "fc00::/7")
        )
        for index, (transport, host, port) in enumerate(listeners, 1):
            self.addresses.add(Listener(transport, host, port, index if transport is UDP else 0))

    def source(self, peer: str) -> str | None:
        self.asked += 1
        return ROUTES.get(peer)

    def sent_by(self, transport: Transport, peer: str, flow: Flow | None = None) -> tuple[str, int]:
        return self.addresses.sent_by(Destination(transport, peer, 5060, flow))


def test_a_wildcard_socket_goes_by_the_address_the_kernel_would_use() -> None:
    house = House((UDP, "0.0.0.0", 5060), (UDP, "::", 5062))
    assert house.sent_by(UDP, "192.0.2.50") == ("192.0.2.1", 5060)
    assert house.sent_by(UDP, "10.0.0.50") == ("10.0.0.1", 5060)
    assert house.sent_by(UDP, "2001:db8::50") == ("2001:db8::1", 5062)


def test_a_bound_socket_goes_by_its_own_address_and_the_right_one_is_taken() -> None:
    house = House((UDP, "127.0.0.1", 5060), (UDP, "10.0.0.1", 5061), (UDP, "192.0.2.1", 5062))
    for peer, index in (("127.0.0.11", 1), ("10.0.0.50", 2), ("192.0.2.50", 3)):
        way = house.addresses.way(UDP, peer)
        assert way.listener is not None
        assert way.listener.index == index
        assert way.local == way.listener.host


@pytest.mark.parametrize(
    ("peer", "host"), [("203.0.113.1", "10.0.0.1"), ("127.9.9.9", "127.0.0.1"), ("198.51.100.9", "10.0.0.1")]
)
def test_without_an_exact_socket_loopback_stays_with_loopback(peer: str, host: str) -> None:
    house = House((UDP, "127.0.0.1", 5060), (UDP, "10.0.0.1", 5060))
    assert house.addresses.local_ip_for(peer) == host


def test_external_replaces_our_address_only_toward_the_world() -> None:
    house = House((UDP, "0.0.0.0", 5060), (TLS, "0.0.0.0", 5061), external=("203.0.113.80", None))
    assert house.addresses.advertised("198.51.100.9", UDP) == ("203.0.113.80", 5060)
    assert house.addresses.advertised("198.51.100.9", TLS) == ("203.0.113.80", 5061)
    assert house.addresses.advertised("192.0.2.50", UDP) == ("192.0.2.1", 5060)
    assert house.addresses.local_ip_for("198.51.100.9") == "192.0.2.1"
    assert house.sent_by(UDP, "198.51.100.9") == ("203.0.113.80", 5060)
    assert House((UDP, "::", 5060), external=("203.0.113.80", None)).sent_by(UDP, "2001:db8::50")[0] == "2001:db8::1"


def test_a_flow_decides_the_socket_or_the_address_of_its_connection() -> None:
    house = House((UDP, "10.0.0.1", 5060), (UDP, "192.0.2.1", 5080), (TCP, "0.0.0.0", 5070))
    flow = Flow(UDP, ("192.0.2.1", 5080), ("10.0.0.50", 5060), socket=2)
    assert house.sent_by(UDP, "10.0.0.50", flow) == ("192.0.2.1", 5080)
    stream = Flow(TCP, ("10.0.0.77", 40000), ("10.0.0.50", 5060), connection=3)
    assert house.sent_by(TCP, "10.0.0.50", stream) == ("10.0.0.77", 5070)
    abroad = House((TCP, "0.0.0.0", 5070), external=("203.0.113.80",))
    assert abroad.sent_by(TCP, "198.51.100.9", stream) == ("203.0.113.80", 5070)
    wild = House((UDP, "0.0.0.0", 5060), (UDP, "0.0.0.0", 5080))
    second = Flow(UDP, ("0.0.0.0", 5080), ("10.0.0.50", 5060), socket=2)
    assert wild.sent_by(UDP, "10.0.0.50", second) == ("10.0.0.1", 5080)


def test_a_flow_to_a_wildcard_socket_is_told_the_address_it_came_to() -> None:
    house = House((UDP, "0.0.0.0", 5060), (UDP, "10.0.0.1", 5080), (TCP, "0.0.0.0", 5070), external=("203.0.113.80",))
    flow = Flow(UDP, ("10.0.0.7", 5060), ("10.0.0.50", 5060), socket=1)
    assert house.sent_by(UDP, "10.0.0.50", flow) == ("10.0.0.7", 5060)
    assert house.addresses.advertised("10.0.0.50", UDP, flow) == ("10.0.0.7", 5060)
    assert house.addresses.advertised("10.0.0.50", TCP, flow) == ("10.0.0.1", 5070)  # it says nothing of TCP
    assert house.addresses.advertised("198.51.100.9", UDP, flow) == ("203.0.113.80", 5060)
    assert house.addresses.local_ip_for("10.0.0.50", flow) == "10.0.0.7"
    assert house.addresses.source_of(flow) == "10.0.0.7"
    for other in (
        Flow(UDP, ("0.0.0.0", 5060), ("10.0.0.50", 5060), socket=1),
        Flow(UDP, ("10.0.0.1", 5080), ("10.0.0.50", 5060), socket=2),
    ):
        assert house.addresses.source_of(other) == ""
        assert house.addresses.local_ip_for("10.0.0.50", other) == "10.0.0.1"


def test_a_zone_is_not_told() -> None:
    house = House((UDP, "::", 5060))
    flow = Flow(UDP, ("fe80::1%2", 5060), ("fe80::2%2", 5060), socket=1)
    assert house.sent_by(UDP, "fe80::2%2", flow) == ("fe80::1", 5060)
    assert house.addresses.source_of(flow) == "fe80::1%2"


def test_a_transport_we_only_go_out_by_has_its_default_port() -> None:
    house = House((UDP, "0.0.0.0", 5080))
    assert house.sent_by(TLS, "192.0.2.50") == ("192.0.2.1", 5061)
    assert house.addresses.way(TLS, "192.0.2.50").listener is None
    assert House((TCP, "0.0.0.0", 5070)).addresses.local_ip_for("10.0.0.50") == "10.0.0.1"


def test_no_way_to_a_peer_is_still_an_answer() -> None:
    house = House((UDP, "0.0.0.0", 5060), (UDP, "::", 5060))
    assert house.sent_by(UDP, "203.0.113.99") == ("127.0.0.1", 5060)
    assert house.sent_by(UDP, "2001:db8:ffff::1") == ("::1", 5060)
    assert House().addresses.local_ip_for("10.0.0.50") == "10.0.0.1"


def test_the_kernel_is_asked_once_until_told_to_forget_and_never_about_a_name() -> None:
    house = House((UDP, "0.0.0.0", 5060))
    for _ in range(3):
        house.sent_by(UDP, "192.0.2.50")
    assert house.asked == 1
    house.addresses.forget()
    house.sent_by(UDP, "192.0.2.50")
    assert house.asked == 2
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        house.sent_by(UDP, "phone.example")
    assert house.asked == 2


def test_what_is_remembered_is_bounded() -> None:
    house = House((UDP, "0.0.0.0", 5060))
    for number in range(20_000):
        house.sent_by(UDP, f"10.1.{number >> 8}.{number & 255}")
    house.sent_by(UDP, "10.1.0.1")
    assert house.asked == 20_001  # the oldest had been forgotten


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="has host bits set"):
        Addresses(lambda peer: None, local_nets=("10.0.0.1/8",))
