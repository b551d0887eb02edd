"""Dialogs (RFC 3261 §12): what is remembered, and where requests go."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxd.sip.dialog import Dialog, DialogState, Role, address_of
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, Response, parse_message
from pbxd.sip.uri import Uri

HERE = Uri.parse("sip:pbx@10.0.0.1:5060")
UDP_FLOW = Flow(Transport.UDP, ("10.0.0.1", 5060), ("203.0.113.5", 40001), socket=1)
TCP_FLOW = Flow(Transport.TCP, ("10.0.0.1", 5060), ("203.0.113.5", 40002), connection=7)
TLS_FLOW = Flow(Transport.TLS, ("10.0.0.1", 5061), ("203.0.113.5", 40003), connection=8)


def request(
    *lines: str, method: str = "INVITE", number: int = 5, contact: str | None = "<sip:phone@192.168.1.9:5062>"
) -> Request:
    text = [
        f"{method} sip:bob@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.168.1.9:5062;branch=z9hG4bK1",
        'From: "A. Lice" <sip:alice@example.com>;tag=her',
        "To: <sip:bob@example.com>",
        "Call-ID: call@example.com",
        f"CSeq: {number} {method}",
        *([f"Contact: {contact}"] if contact else []),
        *lines,
        "",
        "",
    ]
    message = parse_message("\r\n".join(text).encode())
    assert isinstance(message, Request)
    return message


def response(*lines: str, status: int = 200, contact: str | None = "<sip:phone@192.168.1.9:5062>") -> Response:
    text = [
        f"SIP/2.0 {status} Fine",
        "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1",
        "From: <sip:alice@example.com>;tag=ours",
        "To: <sip:bob@example.com>;tag=theirs",
        "Call-ID: call@example.com",
        "CSeq: 5 INVITE",
        *([f"Contact: {contact}"] if contact else []),
        *lines,
        "",
        "",
    ]
    message = parse_message("\r\n".join(text).encode())
    assert isinstance(message, Response)
    return message


def uas(*lines: str, flow: Flow = UDP_FLOW, contact: str | None = "<sip:phone@192.168.1.9:5062>") -> Dialog:
    return Dialog.uas(request(*lines, contact=contact), "ours", HERE, flow, local_seq=100)


def uac(*lines: str, contact: str | None = "<sip:phone@192.168.1.9:5062>", peer: Destination | None = None) -> Dialog:
    return Dialog.uac(request(contact="<sip:pbx@10.0.0.1:5060>"), response(*lines, contact=contact), HERE, peer)


# ---- creation


def test_uas() -> None:
    """§12.1.1."""
    dialog = uas("Record-Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>")
    assert dialog.id == ("call@example.com", "ours", "her")
    assert (dialog.role, dialog.state) == (Role.UAS, DialogState.EARLY)
    assert (dialog.local_seq, dialog.remote_seq) == (100, 5)
    assert str(dialog.remote_target) == "sip:phone@192.168.1.9:5062"
    assert dialog.route_set == ("<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>")
    assert "tag=ours" in str(dialog.local)
    assert str(dialog.remote) == '"A. Lice" <sip:alice@example.com>;tag=her'
    assert not dialog.secure


def test_uac() -> None:
    """§12.1.2: the route set is that of the response in reverse."""
    dialog = uac("Record-Route: <sip:p1.example.com;lr>", "Record-Route: <sip:p2.example.com;lr>")
    assert dialog.id == ("call@example.com", "her", "theirs")
    assert (dialog.role, dialog.local_seq, dialog.remote_seq) == (Role.UAC, 5, None)
    assert dialog.route_set == ("<sip:p2.example.com;lr>", "<sip:p1.example.com;lr>")


def test_without_contact() -> None:
    assert str(uas(contact=None).remote_target) == "sip:alice@example.com"
    assert str(uac(contact=None).remote_target) == "sip:bob@example.com"
    assert str(uac(contact="<not a uri>").remote_target) == "sip:bob@example.com"
    too_many = [f"Contact: <sip:a@b{number}>, <sip:c@d{number}>, <sip:e@f{number}>" for number in range(100)]
    assert str(uac(*too_many).remote_target) == "sip:bob@example.com"


# ---- requests


def test_request() -> None:
    """§12.2.1.1."""
    dialog = uas()
    bye = dialog.request("BYE")
    assert list(bye.headers) == [
        ("From", "<sip:bob@example.com>;tag=ours"),
        ("To", '"A. Lice" <sip:alice@example.com>;tag=her'),
        ("Call-ID", "call@example.com"),
        ("CSeq", "101 BYE"),
    ]
    assert str(bye.uri) == "sip:phone@192.168.1.9:5062"
    assert dialog.request("INFO").cseq.number == 102
    assert dialog.request("ACK", seq=7).cseq.number == 7
    assert dialog.request("UPDATE").headers.get("Contact") == f"<{HERE}>"
    assert dialog.local_seq == 103


def test_loose_routing() -> None:
    dialog = uac("Record-Route: <sip:p1.example.com;lr>, <sip:10.1.1.1:5080;transport=tcp;lr>")
    bye = dialog.request("BYE")
    assert str(bye.uri) == "sip:phone@192.168.1.9:5062"
    assert bye.headers.all("Route") == ["<sip:10.1.1.1:5080;transport=tcp;lr>", "<sip:p1.example.com;lr>"]
    assert dialog.destinations(symmetric=False) == [Destination(Transport.TCP, "10.1.1.1", 5080)]


def test_strict_routing() -> None:
    """§12.2.1.1: the first route becomes the Request-URI, the target the last route."""
    dialog = uac("Record-Route: <sip:p1.example.com;lr>, <sip:10.1.1.1:5080;method=INVITE;user=phone?Subject=x>")
    bye = dialog.request("BYE")
    assert str(bye.uri) == "sip:10.1.1.1:5080;user=phone"
    assert bye.headers.all("Route") == ["<sip:p1.example.com;lr>", "<sip:phone@192.168.1.9:5062>"]
    assert dialog.destinations(symmetric=False) == [Destination(Transport.UDP, "10.1.1.1", 5080)]


def test_the_peers_bytes_come_back() -> None:
    """A name in Latin-1 is written as it came, or the peer would not know its own From."""
    data = b"\r\n".join(
        [
            b"INVITE sip:bob@example.com SIP/2.0",
            b"Via: SIP/2.0/UDP 192.168.1.9:5062;branch=z9hG4bK1",
            b'From: "J\xf8rgen" <sip:alice@example.com>;tag=her',
            b"To: <sip:bob@example.com>",
            b"Call-ID: call@example.com",
            b"CSeq: 5 INVITE",
            b"Contact: <sip:phone@192.168.1.9:5062>",
            b"",
            b"",
        ]
    )
    message = parse_message(data)
    assert isinstance(message, Request)
    dialog = Dialog.uas(message, "ours", HERE, UDP_FLOW, local_seq=1)
    for each in (dialog, Dialog.from_plain(dialog.to_plain())):
        assert b'To: "J\xf8rgen" <sip:alice@example.com>;tag=her\r\n' in each.request("BYE").to_bytes()


# ---- order and target


def test_order() -> None:
    """§12.2.2: lower is out of order, a gap is not."""
    dialog = uas()
    assert dialog.accepts(request(method="INFO", number=9)) is None
    assert dialog.accepts(request(method="INFO", number=8)) == 500
    assert dialog.accepts(request(method="ACK", number=5)) is None
    assert dialog.remote_seq == 9
    fresh = uac()
    assert fresh.accepts(request(method="BYE", number=1)) is None
    assert fresh.remote_seq == 1


def test_target_refresh() -> None:
    dialog = uas()
    dialog.resolved = tuple(uas().destinations(symmetric=True))
    assert not dialog.refresh_target(request(contact=None))
    assert not dialog.refresh_target(request())
    assert dialog.resolved
    assert dialog.refresh_target(request(contact="<sip:phone@phones.example.com>"))
    assert dialog.next_hop.host == "phones.example.com"
    assert len(dialog.resolved) == 0
    routed = uas("Record-Route: <sip:10.1.1.1;lr>")
    assert not routed.refresh_target(request(contact="<sip:phone@phones.example.com>"))
    assert routed.remote_target.host == "phones.example.com"


# ---- where requests go


@pytest.mark.parametrize(
    ("contact", "flow", "symmetric", "expected"),
    [
        # behind NAT: where it came from, not where it says
        ("<sip:p@192.168.1.9:5062>", UDP_FLOW, True, [("UDP", "203.0.113.5", 40001, True)]),
        ("<sip:p@192.168.1.9:5062>", UDP_FLOW, False, [("UDP", "192.168.1.9", 5062, True)]),
        # same host, other port: a NAT that keeps addresses, or a phone that sends from an ephemeral port
        ("<sip:p@203.0.113.5:5060>", UDP_FLOW, True, [("UDP", "203.0.113.5", 40001, True)]),
        ("<sip:p@203.0.113.5:5060>", UDP_FLOW, False, [("UDP", "203.0.113.5", 5060, True)]),
        ("<sip:p@203.0.113.5:40001>", UDP_FLOW, True, [("UDP", "203.0.113.5", 40001, True)]),
        # the Contact asks for another transport
        ("<sip:p@203.0.113.5;transport=tcp>", UDP_FLOW, False, [("TCP", "203.0.113.5", 5060, False)]),
        ("<sips:p@203.0.113.5>", UDP_FLOW, False, [("TLS", "203.0.113.5", 5061, False)]),
        # a connection is used again, its address is what is left when it is gone
        (
            "<sip:p@203.0.113.5;transport=tcp>",
            TCP_FLOW,
            True,
            [("TCP", "203.0.113.5", 40002, True), ("TCP", "203.0.113.5", 5060, False)],
        ),
        ("<sip:p@192.168.1.9;transport=tcp>", TCP_FLOW, True, [("TCP", "203.0.113.5", 40002, True)]),
        ("<sip:p@192.168.1.9;transport=tcp>", TCP_FLOW, False, [("TCP", "192.168.1.9", 5060, False)]),
        # never from TLS to plain text
        ("<sip:p@203.0.113.5:5060>", TLS_FLOW, True, [("TLS", "203.0.113.5", 40003, True)]),
        # a name that nobody resolved
        ("<sip:p@phone.example.com>", UDP_FLOW, False, [("UDP", "203.0.113.5", 40001, True)]),
        ("<sip:p@example.com;maddr=192.168.1.9>", UDP_FLOW, False, [("UDP", "192.168.1.9", 5060, True)]),
        ("<sip:p@[2001:db8::1]:5070>", UDP_FLOW, False, [("UDP", "2001:db8::1", 5070, True)]),
    ],
)
def test_destinations(contact: str, flow: Flow, symmetric: bool, expected: list[tuple[str, str, int, bool]]) -> None:
    dialog = uas(flow=flow, contact=contact)
    found = dialog.destinations(symmetric=symmetric)
    assert [(each.transport.value, each.host, each.port, each.flow is not None) for each in found] == expected


def test_destinations_by_way_of_a_proxy() -> None:
    """A route set is followed, but for a proxy that records the private address it knows itself by."""
    public = uas("Record-Route: <sip:198.51.100.7;lr>")
    assert [each.host for each in public.destinations(symmetric=True)] == ["198.51.100.7"]
    private = uas("Record-Route: <sip:192.168.7.7;lr>")
    assert [each.host for each in private.destinations(symmetric=True)] == ["203.0.113.5"]
    assert [each.host for each in private.destinations(symmetric=False)] == ["192.168.7.7"]


def test_destinations_of_what_was_resolved() -> None:
    dialog = uas(contact="<sip:p@phone.example.com>")
    places = (Destination(Transport.UDP, "198.51.100.1", 5060), Destination(Transport.TCP, "198.51.100.2", 5060))
    dialog.resolved = places
    assert dialog.destinations(symmetric=True) == list(places)


def test_destinations_before_anything_came() -> None:
    assert uac(contact="<sip:p@phone.example.com>").destinations(symmetric=True) == []
    assert uac().destinations(symmetric=True) == [Destination(Transport.UDP, "192.168.1.9", 5062)]


def test_the_peer_moves() -> None:
    dialog = uas()
    dialog.came_by(UDP_FLOW)
    before = dialog.peer
    moved = Flow(Transport.UDP, ("10.0.0.1", 5060), ("203.0.113.5", 50000), socket=1)
    dialog.came_by(moved)
    assert dialog.peer != before
    assert [each.port for each in dialog.destinations(symmetric=True)] == [50000]


def test_address_of() -> None:
    assert address_of(Uri.parse("tel:+15551234")) is None
    assert address_of(Uri.parse("sip:example.com")) is None
    assert address_of(Uri.parse("sip:192.0.2.1;transport=sctp")) == Destination(Transport.UDP, "192.0.2.1", 5060)


# ---- plain data

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._~ÄÖé", min_size=1, max_size=12)
tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=12)
hosts = st.sampled_from(["example.com", "192.0.2.7", "2001:db8::7", "10.0.0.9"])
ports = st.none() | st.integers(1, 65535)
uris = st.builds(
    lambda user, host, port, lr: Uri.sip(user, host, port, **({"lr": None} if lr else {})),
    st.none() | words,
    hosts,
    ports,
    st.booleans(),
)
transports = st.sampled_from(list(Transport))
places = st.tuples(st.sampled_from(["192.0.2.7", "2001:db8::7"]), st.integers(1, 65535))
flows = st.builds(Flow, transports, places, places, st.integers(0, 3), st.integers(0, 10**6))
destinations = st.builds(
    lambda transport, place, flow, name: Destination(transport, place[0], place[1], flow, name),
    transports,
    places,
    st.none() | flows,
    st.none() | tokens,
)
parties = st.builds(lambda name, uri, tag: NameAddr(name, uri).with_tag(tag), st.none() | words, uris, tokens)
dialogs = st.builds(
    Dialog,
    role=st.sampled_from(Role),
    call_id=tokens,
    local=parties,
    remote=parties,
    local_seq=st.integers(0, 2**31 - 1),
    remote_seq=st.none() | st.integers(0, 2**32 - 1),
    remote_target=uris,
    route_set=st.lists(uris.map("<{}>".format), max_size=3).map(tuple),
    contact=uris,
    peer=st.none() | destinations,
    secure=st.booleans(),
    state=st.sampled_from(DialogState),
    charset=st.sampled_from(["utf-8", "latin-1"]),
)


@given(dialogs)
def test_round_trip(dialog: Dialog) -> None:
    plain = json.loads(json.dumps(dialog.to_plain()))
    again = Dialog.from_plain(plain)
    for name in Dialog.__slots__:
        assert getattr(again, name) == getattr(dialog, name), name
    assert again.request("BYE").to_bytes() == dialog.request("BYE").to_bytes()
    assert again.destinations(symmetric=True) == dialog.destinations(symmetric=True)
    assert again.to_plain() == dialog.to_plain()
    assert dialog.call_id in repr(again)


@pytest.mark.parametrize("missing", ["role", "call_id", "peer", "route_set"])
def test_broken_plain_data(missing: str) -> None:
    plain = uas().to_plain()
    del plain[missing]
    with pytest.raises(KeyError, match=missing):
        Dialog.from_plain(plain)
