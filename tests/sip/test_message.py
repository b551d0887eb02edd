"""Messages: our own vectors good and bad, views, writing, and the responses made from requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import MAX_HEADERS, MAX_LINE, MAX_MESSAGE
from pbxd.sip.headers import Headers, NameAddr
from pbxd.sip.message import REASON_PHRASES, STAR, Message, Request, Response, parse_message, response_to
from pbxd.sip.status import reason_phrase
from pbxd.sip.uri import Uri

VECTORS = Path(__file__).parent.parent / "vectors" / "sip" / "messages"
GOOD: dict[str, Any] = json.loads((VECTORS / "good" / "manifest.json").read_text())
BAD: dict[str, Any] = json.loads((VECTORS / "bad" / "manifest.json").read_text())

VIEWS: dict[str, Callable[[Any], object]] = {
    "method": lambda m: m.method,
    "status": lambda m: m.status,
    "reason": lambda m: m.reason,
    "call_id": lambda m: m.call_id,
    "cseq": lambda m: [m.cseq.number, m.cseq.method],
    "max_forwards": lambda m: m.max_forwards,
    "expires": lambda m: m.expires,
    "body_length": lambda m: len(m.body),
    "sdp_length": lambda m: len(m.part("application/sdp")),
    "content_type": lambda m: m.content_type,
    "supported": lambda m: sorted(m.supported),
    "star": lambda m: m.contacts is STAR,
    "contact_count": lambda m: len(m.contacts),
    "contact_users": lambda m: [contact.uri.user for contact in m.contacts],
    "contact_displays": lambda m: [contact.display for contact in m.contacts],
    "from_tag": lambda m: m.from_.tag,
    "from_display": lambda m: m.from_.display,
    "to_user": lambda m: m.to.uri.user,
    "route_hosts": lambda m: [route.uri.host for route in m.routes],
    "uri_scheme": lambda m: m.uri.scheme,
    "uri_user": lambda m: m.uri.user,
    "uri_host": lambda m: m.uri.host,
    "uri_port": lambda m: m.uri.port,
    "via_transport": lambda m: m.via.transport,
    "via_host": lambda m: m.via.host,
    "via_port": lambda m: m.via.port,
    "via_branch": lambda m: m.via.branch,
}


def invite(*extra: tuple[str, str], body: bytes = b"") -> Request:
    """A request as our own code builds one."""
    headers = Headers(
        [
            ("Via", "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1;rport"),
            ("From", '"Ada" <sip:1001@192.0.2.1>;tag=f1'),
            ("To", "<sip:600@192.0.2.1>"),
            ("Call-ID", "c1"),
            ("CSeq", "1 INVITE"),
            *extra,
        ]
    )
    return Request("INVITE", Uri.sip("600", "192.0.2.1"), headers, body)


def test_every_vector_has_its_file() -> None:
    for kind, manifest in (("good", GOOD), ("bad", BAD)):
        assert {path.stem for path in (VECTORS / kind).glob("*.sip")} == set(manifest)


@pytest.mark.parametrize("name", GOOD)
def test_good_vector(name: str) -> None:
    message = parse_message((VECTORS / "good" / f"{name}.sip").read_bytes())
    for view, expected in GOOD[name]["views"].items():
        if view == "headers":
            assert {key: message.headers.get(key) for key in expected} == expected
        else:
            assert VIEWS[view](message) == expected, view


@pytest.mark.parametrize("name", GOOD)
def test_good_vector_is_the_same_after_writing(name: str) -> None:
    message = parse_message((VECTORS / "good" / f"{name}.sip").read_bytes())
    again = parse_message(message.to_bytes())
    del message.headers.lines["content-length" if "content-length" in message.headers.lines else "cseq"]
    message.headers.lines.setdefault("cseq", again.headers.lines["cseq"])
    again.headers.remove("Content-Length")
    assert again.headers == message.headers
    assert again.body == message.body
    assert repr(again) == repr(message)


@pytest.mark.parametrize("name", BAD)
def test_bad_vector(name: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message((VECTORS / "bad" / f"{name}.sip").read_bytes())
    expected = BAD[name]
    assert (caught.value.status, caught.value.reason) == (expected["status"], expected["reason"])
    assert (caught.value.request is not None) == expected["answerable"]


@pytest.mark.parametrize("name", [name for name in BAD if BAD[name]["answerable"]])
def test_bad_vector_can_be_answered(name: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_message((VECTORS / "bad" / f"{name}.sip").read_bytes())
    error = caught.value
    assert error.request.via.host == "192.0.2.7"
    data = response_to(error.request, error.status, error.reason, to_tag="t1").to_bytes()
    assert data.startswith(f"SIP/2.0 {error.status} {error.reason}\r\nVia: SIP/2.0/UDP 192.0.2.7".encode())
    assert data.endswith(b"Content-Length: 0\r\n\r\n")


class TestBounds:
    def test_too_large(self) -> None:
        with pytest.raises(ParseError, match="513 Message Too Large"):
            parse_message(invite(body=b"x" * MAX_MESSAGE).to_bytes())

    def test_longest_line(self) -> None:
        fits = "x" * (MAX_LINE - len("Subject: "))
        assert parse_message(invite(("Subject", fits)).to_bytes()).headers.get("Subject") == fits

    def test_line_too_long(self) -> None:
        with pytest.raises(ParseError, match="513 Header line too long") as caught:
            parse_message(invite(("Subject", "x" * MAX_LINE)).to_bytes())
        assert caught.value.request.call_id == "c1"

    def test_uri_too_long(self) -> None:
        with pytest.raises(ParseError, match="414 Request-URI Too Long") as caught:
            parse_message(invite().to_bytes().replace(b"sip:600@", b"sip:" + b"6" * MAX_LINE + b"@", 1))
        assert caught.value.request.call_id == "c1"

    def test_folded_line_too_long(self) -> None:
        with pytest.raises(ParseError, match="513 Header line too long"):
            parse_message(
                invite().to_bytes().replace(b"Call-ID", b"Subject: x" + b"\r\n yyyyyyy" * 2000 + b"\r\nCall-ID")
            )

    def test_too_many_headers(self) -> None:
        extra = [("X", "1")] * MAX_HEADERS
        with pytest.raises(ParseError, match="513 Too many headers"):
            parse_message(invite(*extra).to_bytes())

    def test_too_many_values(self) -> None:
        with pytest.raises(ParseError, match="400 Too many values of Contact"):
            parse_message(invite(("Contact", ", ".join(["<sip:a@b>"] * 300))).to_bytes())


class TestViews:
    def test_missing_headers_raise_where_they_must_be_there(self) -> None:
        empty = Message()
        for view in ("via", "from_", "to", "call_id", "cseq"):
            with pytest.raises(ParseError, match="Missing"):
                getattr(empty, view)

    def test_missing_headers_that_may_be_missing(self) -> None:
        empty = Message()
        assert (empty.vias, empty.contacts, empty.routes, empty.record_routes) == ([], [], [], [])
        assert empty.contacts is not STAR
        assert (empty.max_forwards, empty.expires, empty.content_type, empty.part("application/sdp")) == (None,) * 4
        assert empty.require == empty.proxy_require == empty.supported == empty.allow == frozenset()

    def test_tags(self) -> None:
        request = invite(("Require", "Timer"), ("Require", "100REL , x"), ("Allow", "invite, ACK"), ("k", "path"))
        assert request.require == {"timer", "100rel", "x"}
        assert request.allow == {"INVITE", "ACK"}
        assert request.supported == {"path"}

    def test_a_view_is_read_once_until_the_header_changes(self) -> None:
        request = invite()
        first = request.via
        assert request.via is first
        request.headers.insert("Via", "SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK2")
        assert request.via.transport == "TCP"
        assert request.vias[1] == first
        request.headers.set("To", "<sip:x@y>;tag=t")
        assert request.to.tag == "t"
        request.headers.remove("From")
        with pytest.raises(ParseError, match="Missing From"):
            _ = request.from_

    def test_broken_header_of_our_own_raises(self) -> None:
        with pytest.raises(ParseError, match="Bad URI"):
            _ = invite(("Contact", "nonsense")).contacts


class TestWriting:
    def test_content_length_is_written_right(self) -> None:
        data = invite(("Content-Length", "99"), ("Content-Type", "text/plain"), body=b"hello").to_bytes()
        assert data.count(b"Content-Length") == 1
        assert data.endswith(b"\r\nContent-Length: 5\r\n\r\nhello")

    @pytest.mark.parametrize("evil", ["\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "a\0b", "\r\n\r\nBYE"])
    def test_no_value_starts_a_line(self, evil: str) -> None:
        request = invite(("Subject", "x" + evil))
        request.headers.insert("Via", "SIP/2.0/UDP h" + evil)
        request.headers.set("Call-ID", "c" + evil)
        request.method = "INVITE" + evil
        lines = len(invite(("Subject", "x")).to_bytes().split(b"\r\n")) + 1
        data = request.to_bytes()
        assert len(data.split(b"\r\n")) == data.count(b"\n") + 1 == lines
        assert b"\0" not in data
        response = Response(200, "OK" + evil, request.headers).to_bytes()
        assert len(response.split(b"\r\n")) == response.count(b"\n") + 1 == lines
        assert response.count(b"\r") == response.count(b"\n")

    def test_line_breaks_put_past_the_checks_are_still_caught(self) -> None:
        request = invite()
        request.headers.lines["subject"] = ["a\r\nX-Evil: 1"]
        assert b"\r\nSubject: a X-Evil: 1\r\n" in request.to_bytes()

    @pytest.mark.parametrize("evil", ["\r\nX: 1", "a b", "<x>", "h;lr", "h\0", ""])
    def test_a_host_of_ours_is_a_host(self, evil: str) -> None:
        with pytest.raises(ParseError):
            Uri.sip("600", evil)
        with pytest.raises(ParseError):
            Uri.sip("600", "h").with_(host=evil)

    def test_a_user_of_ours_is_escaped(self) -> None:
        uri = Uri.sip("a\r\n@b<>\0ü", "h", tag="x;y\n")
        assert str(uri) == "sip:a%0D%0A%40b%3C%3E%00%C3%BC@h;tag=x%3By%0A"
        assert Uri.parse(str(uri)) == uri

    def test_a_display_name_of_ours_is_quoted(self) -> None:
        text = str(NameAddr('a"b\\\r\nX: <1>', Uri.sip("u", "h"), {"p": 'v;"w'}))
        assert text == '"a\\"b\\\\X: <1>" <sip:u@h>;p="v;\\"w"'

    def test_latin1_is_echoed_byte_for_byte(self) -> None:
        data = invite(("Subject", "x")).to_bytes().replace(b"Ada", b"J\xf6rg")
        request = parse_message(data)
        assert isinstance(request, Request)
        assert b'"J\xf6rg" <sip:1001' in response_to(request, 200).to_bytes()

    def test_text_beyond_latin1_in_an_answer_to_latin1(self) -> None:
        request = parse_message(invite().to_bytes().replace(b"Ada", b"J\xf6rg"))
        assert isinstance(request, Request)
        response = response_to(request, 200)
        response.headers.add("Subject", "€")
        assert "Subject: €".encode() in response.to_bytes()

    def test_lone_surrogates_do_no_harm(self) -> None:
        assert b"Subject: ?\r\n" in invite(("Subject", "\ud800")).to_bytes()


class TestResponseTo:
    def test_copies_what_it_must(self) -> None:
        request = invite(
            ("Via", "SIP/2.0/TCP p.example.com;branch=z9hG4bK0"),
            ("Record-Route", "<sip:p1;lr>"),
            ("Record-Route", "<sip:p2;lr>"),
            ("Contact", "<sip:a@b>"),
            ("Timestamp", "54"),
        )
        response = response_to(request, 180, to_tag="t1")
        assert response.reason == "Ringing"
        assert list(response.headers) == [
            ("Via", "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK1;rport"),
            ("Via", "SIP/2.0/TCP p.example.com;branch=z9hG4bK0"),
            ("From", '"Ada" <sip:1001@192.0.2.1>;tag=f1'),
            ("To", "<sip:600@192.0.2.1>;tag=t1"),
            ("Call-ID", "c1"),
            ("CSeq", "1 INVITE"),
            ("Record-Route", "<sip:p1;lr>"),
            ("Record-Route", "<sip:p2;lr>"),
        ]
        assert response.to.tag == "t1"
        assert response.via == request.via

    @pytest.mark.parametrize(("status", "copied"), [(100, False), (183, True), (200, True), (302, False), (486, False)])
    def test_record_route_only_where_a_dialog_may_form(self, status: int, copied: bool) -> None:
        response = response_to(invite(("Record-Route", "<sip:p1;lr>")), status)
        assert ("Record-Route" in response.headers) is copied

    def test_timestamp_in_100(self) -> None:
        assert response_to(invite(("Timestamp", "54")), 100).headers.get("Timestamp") == "54"

    def test_a_tag_is_not_replaced(self) -> None:
        request = invite()
        request.headers.set("To", "<sip:600@h>;tag=theirs")
        assert response_to(request, 200, to_tag="ours").headers.all("To") == ["<sip:600@h>;tag=theirs"]

    def test_tag_on_an_addr_spec(self) -> None:
        request = invite()
        request.headers.set("To", "sip:600@h;x=y")
        assert response_to(request, 200, to_tag="ours").to == NameAddr(
            None, Uri.sip("600", "h"), {"x": "y", "tag": "ours"}
        )

    def test_tag_after_a_trailing_semicolon(self) -> None:
        request = invite()
        request.headers.set("To", "<sip:600@h>; ")
        assert response_to(request, 200, to_tag="ours").headers.get("To") == "<sip:600@h>;tag=ours"

    def test_changing_the_response_leaves_the_request_alone(self) -> None:
        request = invite()
        response = response_to(request, 200)
        response.headers.insert("Via", "SIP/2.0/UDP x;branch=1")
        response.headers.set("To", "<sip:a@b>")
        assert len(request.vias) == 1
        assert request.to.uri.user == "600"


class TestStatus:
    def test_phrases(self) -> None:
        assert REASON_PHRASES[200] == "OK"
        assert len(REASON_PHRASES) == 75
        assert all(100 <= status < 700 and phrase.isprintable() for status, phrase in REASON_PHRASES.items())

    @pytest.mark.parametrize(
        ("status", "phrase"), [(486, "Busy Here"), (499, "Bad Request"), (299, "OK"), (199 - 10, "Trying")]
    )
    def test_unknown_ones_get_that_of_their_class(self, status: int, phrase: str) -> None:
        assert Response(status).reason == reason_phrase(status) == phrase


def test_copy_is_independent() -> None:
    request = invite()
    twin = request.copy()
    twin.headers.set("To", "<sip:other@h>")
    assert request.to.uri.user == "600"
    assert twin.to.uri.user == "other"
    response = Response(200, headers=request.headers)
    assert response.copy().headers == request.headers
