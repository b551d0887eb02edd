"""The torture messages of RFC 4475 and RFC 5118: what the parser alone must make of each.

The files under vectors/sip/rfc4475 and rfc5118 are the messages of the RFCs; the manifests say in our words what each
is about and what must come of it. Those marked `upper` are refused by the layers above and tested there as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pbxd.sip.errors import ParseError
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.sdp import SessionDescription
from pbxd.sip.stream import StreamParser

VECTORS = Path(__file__).parent.parent / "vectors" / "sip"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case | {"path": VECTORS / folder / case["file"]}
    for folder in ("rfc4475", "rfc5118")
    for case in json.loads((VECTORS / folder / "manifest.json").read_text())["messages"]
}
ECHOES_THE_FAULT = ("insuf", "scalar02", "quotbal", "ipv6-bug-abnf-3-colons")  # in From, To, Call-ID or CSeq
VIEWS = (
    "via vias from_ to call_id cseq contacts routes record_routes max_forwards expires require proxy_require supported "
    "allow content_type"
).split()


def ids(*outcomes: str) -> list[str]:
    return [name for name, case in CASES.items() if case["outcome"] in outcomes]


def read(name: str) -> Request:
    message = parse_message(CASES[name]["path"].read_bytes())
    assert isinstance(message, Request)
    return message


def refused(name: str) -> ParseError:
    with pytest.raises(ParseError) as caught:
        parse_message(CASES[name]["path"].read_bytes())
    return caught.value


def test_all_are_here() -> None:
    assert len(list((VECTORS / "rfc4475").glob("*.dat"))) == 50
    assert len(list((VECTORS / "rfc5118").glob("*.dat"))) == 12
    assert len(CASES) == 62


@pytest.mark.parametrize("name", ids("accept", "upper"))
def test_accepted(name: str) -> None:
    message = read(name)
    for view in VIEWS:
        getattr(message, view)
    again = parse_message(message.to_bytes())
    message.headers.remove("Content-Length")
    again.headers.remove("Content-Length")
    assert again.headers == message.headers


@pytest.mark.parametrize("name", ids("reject"))
def test_rejected(name: str) -> None:
    error = refused(name)
    case = CASES[name]
    assert error.status == case["codes"][0]
    if not case.get("answerable", True):
        assert error.request is None
        return
    response = response_to(error.request, error.status, error.reason, to_tag="ours")
    assert f"SIP/2.0 {error.status} {error.reason}\r\nVia: SIP/2.0/".encode() in response.to_bytes()
    if name not in ECHOES_THE_FAULT:
        assert isinstance(parse_message(response.to_bytes()), Response)


@pytest.mark.parametrize("name", ids("reject"))
def test_rejected_on_a_stream(name: str) -> None:
    parser = StreamParser()
    results = parser.feed(CASES[name]["path"].read_bytes())
    if name == "clerr":
        assert results == []  # the rest may still come
        assert parser.pending > 0
        return
    assert isinstance(results[0], ParseError)
    assert results[0].status == CASES[name]["codes"][0]
    assert parser.needs_close == (name in ("ncl", "mcl01"))


@pytest.mark.parametrize("name", ids("ignore"))
def test_ignored(name: str) -> None:
    if CASES[name]["parses"]:
        assert isinstance(parse_message(CASES[name]["path"].read_bytes()), Response)
    else:
        assert refused(name).request is None


class TestRfc4475:
    def test_wsinv(self) -> None:
        message = read("wsinv")
        assert message.to.tag == "1918181833n"
        assert message.from_.display == 'J Rosenberg \\"'
        assert message.from_.tag == "98asjd8"
        assert message.max_forwards == 68
        assert str(message.cseq) == "9 INVITE"
        assert [(via.transport, via.host, via.branch) for via in message.vias] == [
            ("UDP", "192.0.2.2", "390skdjuw"),
            ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111", "z9hG4bK30239"),
        ]
        assert message.headers.get("Subject") == ""
        assert message.headers.get("newfangledheader") == "newfangled value continued newfangled value"
        contact = message.contacts[0]
        assert contact.display == 'Quoted string ""'
        assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
        assert message.routes[0].uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}

    def test_intmeth(self) -> None:
        message = read("intmeth")
        assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
        assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
        assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
        assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
        assert message.from_.tag == "_token~1'+`*%!-."
        assert message.from_.params["fromparam''~+*_!.-%"] == "работающий"

    def test_esc01(self) -> None:
        message = read("esc01")
        assert message.uri.user == "sips:user@example.com"
        assert message.to.uri.user == "user"
        assert message.from_.uri.user == "I have spaces"
        contact = message.contacts[0].uri
        assert contact.user == "caller"
        assert contact.params == {"lr": None, "name": "value%41"}

    def test_escnull(self) -> None:
        message = read("escnull")
        assert message.to.uri.user == "null-\0-null"
        assert [contact.uri.user for contact in message.contacts] == ["\0", "\0\0"]

    def test_esc02(self) -> None:
        message = read("esc02")
        assert message.method == "RE%47IST%45R"
        assert message.to.display == "%Z%45"
        assert len(message.contacts) == 2

    def test_lwsdisp(self) -> None:
        assert read("lwsdisp").from_.display == "caller"

    def test_longreq(self) -> None:
        message = read("longreq")
        assert len(message.vias) == 34
        assert message.vias[-1].received == "192.0.2.5"
        assert message.to.uri.port == 6000

    def test_dblreq(self) -> None:
        message = read("dblreq")
        assert (message.method, message.body) == ("REGISTER", b"")
        results = StreamParser().feed(CASES["dblreq"]["path"].read_bytes())
        assert [result.method for result in results if isinstance(result, Request)] == ["REGISTER", "INVITE"]

    def test_semiuri(self) -> None:
        assert read("semiuri").uri.user == "user;par=u@example.net"

    def test_transports(self) -> None:
        assert [via.transport for via in read("transports").vias] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]

    def test_mpart01(self) -> None:
        message = read("mpart01")
        assert message.part("text/plain") == b"Hello"
        assert len(message.part("application/octet-stream") or b"") > 300

    def test_unreason(self) -> None:
        message = parse_message(CASES["unreason"]["path"].read_bytes())
        assert isinstance(message, Response)
        assert message.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"

    def test_escruri(self) -> None:
        message = read("escruri")
        assert message.routes == []
        assert message.uri.headers == "Route=%3Csip:example.com%3E"

    def test_badbranch(self) -> None:
        assert read("badbranch").via.branch == "z9hG4bK"

    @pytest.mark.parametrize(("name", "scheme"), [("unkscm", "nobodyknowsthisscheme"), ("novelsc", "soap.beep")])
    def test_unknown_schemes(self, name: str, scheme: str) -> None:
        uri = read(name).uri
        assert (uri.scheme, uri.is_sip) == (scheme, False)

    def test_unksm2(self) -> None:
        message = read("unksm2")
        assert (message.to.uri.scheme, message.from_.uri.scheme) == ("isbn", "http")

    def test_bext01(self) -> None:
        message = read("bext01")
        assert message.require == {"nothingsupportsthis", "nothingsupportsthiseither"}
        assert message.proxy_require == {"noproxiessupportthis", "nordoanyproxiessupportthis"}

    def test_cparam(self) -> None:
        header = read("cparam01").contacts[0]
        assert (dict(header.params), dict(header.uri.params)) == ({"unknownparam": None}, {})
        inside = read("cparam02").contacts[0]
        assert (dict(inside.params), dict(inside.uri.params)) == ({}, {"unknownparam": None})

    def test_insuf_is_answered_with_what_there_is(self) -> None:
        error = refused("insuf")
        headers = response_to(error.request, error.status, to_tag="ours").headers
        assert [name for name, _ in headers] == ["Via", "CSeq"]

    def test_badinv01_goes_back_to_its_sender(self) -> None:
        request = refused("badinv01").request
        assert [(via.host, via.params) for via in request.vias] == [("192.0.2.15", {})]

    def test_multi01_is_answered_once(self) -> None:
        error = refused("multi01")
        assert response_to(error.request, 400).headers.all("Call-ID") == ["multi01.98asdh@192.0.2.1"]

    def test_inv2543(self) -> None:
        message = read("inv2543")
        assert (message.via.branch, message.from_.tag, message.max_forwards) == (None, None, None)
        sdp = SessionDescription.parse(message.part("application/sdp") or b"")
        assert [(line.kind, line.port, line.address) for line in sdp.media] == [("audio", 49217, "192.0.2.5")]


class TestRfc5118:
    def test_port_in_and_out_of_brackets(self) -> None:
        inside, outside = read("port-ambiguous").uri, read("port-unambiguous").uri
        assert (inside.host, inside.port) == ("2001:db8::10:5070", None)
        assert (outside.host, outside.port) == ("2001:db8::10", 5070)

    @pytest.mark.parametrize("name", ["via-received-param-with-delim", "via-received-param-no-delim"])
    def test_received(self, name: str) -> None:
        assert read(name).via.received == "2001:db8::9:255"

    def test_both_families_in_via(self) -> None:
        vias = read("mult-ip-in-header").vias
        assert [via.host for via in vias] == ["2001:db8::9:1", "192.0.2.1", "2001:db8::9:255"]
        assert (vias[0].port, vias[2].received) == (6050, "192.0.2.200")

    @pytest.mark.parametrize(
        ("name", "addresses"),
        [
            ("ipv6-in-sdp", ["2001:db8::20", "2001:db8::20"]),
            ("mult-ip-in-sdp", ["192.0.2.1", "2001:db8::1"]),
            ("ipv4-mapped-ipv6", ["::ffff:192.0.2.2", "::ffff:192.0.2.2"]),
        ],
    )
    def test_session_descriptions(self, name: str, addresses: list[str]) -> None:
        sdp = SessionDescription.parse(read(name).part("application/sdp") or b"")
        assert [line.address for line in sdp.media] == addresses

    def test_mapped_addresses(self) -> None:
        message = read("ipv4-mapped-ipv6")
        assert message.via.host == "::ffff:192.0.2.10"
        assert message.contacts[0].uri.host == "::ffff:192.0.2.2"
