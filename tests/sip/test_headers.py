"""Header values and the multimap that holds them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxd.sip.errors import ParseError
from pbxd.sip.headers import CSeq, Headers, NameAddr, Via, header_key, parse_number
from pbxd.sip.uri import Uri
from tests.sip.test_uri import HOSTS, PARAM_NAMES, PORTS, URIS

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
TOKENS = st.from_regex(r"[A-Za-z0-9\-.!%*_+`'~]{1,12}", fullmatch=True)
HEADER_PARAMS = st.dictionaries(PARAM_NAMES, st.one_of(st.none(), LINE), max_size=4)


@settings(deadline=None)
@given(st.builds(NameAddr, st.one_of(st.none(), LINE), URIS, HEADER_PARAMS))
def test_name_addr_round_trip(value: NameAddr) -> None:
    again = NameAddr.parse(str(value))
    assert again == value
    assert str(again) == str(value)
    assert NameAddr.parse(str(again.with_tag("t"))) == value.with_tag("t")


@settings(deadline=None)
@given(st.builds(Via, TOKENS.map(str.upper), HOSTS, PORTS, HEADER_PARAMS))
def test_via_round_trip(via: Via) -> None:
    assert Via.parse(str(via)) == via


@settings(deadline=None)
@given(st.builds(CSeq, st.integers(0, 2**32 - 1), TOKENS))
def test_cseq_round_trip(cseq: CSeq) -> None:
    assert CSeq.parse(str(cseq)) == cseq


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, LINE.map(str.strip))))
def test_headers_round_trip(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    assert len(headers) == len(pairs)
    assert Headers(list(headers)) == headers
    again = Headers()
    assert again.read([f"{name}: {value}" for name, value in headers]) is None
    assert again == headers
    assert list(again) == list(headers)
    for name, _ in pairs:
        assert headers.all(name.swapcase()) == [value for own, value in pairs if header_key(own) == header_key(name)]


class TestHeaders:
    def headers(self) -> Headers:
        return Headers([("v", "a"), ("X-Own", "1"), ("VIA", "b, c"), ("x-own", "2"), ("cseq", "1 BYE")])

    def test_names(self) -> None:
        assert list(self.headers()) == [
            ("Via", "a"),
            ("Via", "b, c"),
            ("X-Own", "1"),
            ("X-Own", "2"),
            ("CSeq", "1 BYE"),
        ]

    @pytest.mark.parametrize("name", ["i", "I", "Call-ID", "call-id", "CALL-ID", "Call-Id", " call-id\t"])
    def test_one_key_for_every_spelling(self, name: str) -> None:
        assert header_key(name) == "call-id"

    @pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "a\r\nb", "ä", 'a"'])
    def test_bad_names(self, name: str) -> None:
        with pytest.raises(ParseError, match="Bad header name"):
            header_key(name)
        with pytest.raises(ParseError, match="Bad header name"):
            Headers().add(name, "x")

    def test_lookup(self) -> None:
        headers = self.headers()
        assert (headers.get("Via"), headers.get("x-OWN"), headers.get("Nope")) == ("a", "1", None)
        assert (headers.all("via"), headers.all("Nope")) == (["a", "b, c"], [])
        assert headers.values("Via") == ["a", "b", "c"]
        assert "V" in headers
        assert "Nope" not in headers

    def test_insert(self) -> None:
        headers = self.headers()
        headers.insert("Via", "0")
        headers.insert("Route", "r")
        assert headers.all("Via") == ["0", "a", "b, c"]
        assert next(iter(headers)) == ("Route", "r")

    def test_set_and_remove(self) -> None:
        headers = self.headers()
        headers.set("v", "only")
        headers.remove("X-OWN")
        headers.remove("Nope")
        assert list(headers) == [("Via", "only"), ("CSeq", "1 BYE")]

    def test_replace_first_value(self) -> None:
        headers = Headers([("Via", '"x,y", b'), ("Via", "c")])
        headers.replace_first("Via", "new")
        assert headers.all("Via") == ["new, b", "c"]
        headers.replace_first("Route", "r")
        assert headers.all("Route") == ["r"]

    def test_changing_forgets_what_was_read(self) -> None:
        headers = self.headers()
        changes = (headers.add, headers.insert, headers.set, headers.replace_first)
        for change in changes:
            headers.parsed["via"] = object()
            change("Via", "x")
            assert "via" not in headers.parsed
        headers.parsed["via"] = object()
        headers.remove("Via")
        assert "via" not in headers.parsed

    def test_copy(self) -> None:
        headers = self.headers()
        twin = headers.copy()
        twin.add("Via", "d")
        twin.add("X-Own", "3")
        assert list(headers) == list(self.headers())
        assert twin.all("X-Own") == ["1", "2", "3"]

    def test_looks(self) -> None:
        assert repr(Headers([("t", "x")])) == "Headers([('To', 'x')])"
        assert Headers([("t", "x")]) != [("To", "x")]


class TestNameAddr:
    @pytest.mark.parametrize(
        ("text", "display", "uri", "params"),
        [
            ("<sip:a@b>", None, "sip:a@b", {}),
            ("sip:a@b", None, "sip:a@b", {}),
            ("sip:a@b;tag=x;Y", None, "sip:a@b", {"tag": "x", "y": None}),
            ('"A \\"B\\" \\\\" <sip:a@b> ; TAG = x', 'A "B" \\', "sip:a@b", {"tag": "x"}),
            ('""<sip:a@b>', "", "sip:a@b", {}),
            ("A  B\t<sip:a@b;lr?x=y>;q=0.5", "A  B", "sip:a@b;lr?x=y", {"q": "0.5"}),
            ('<sip:a@b>;text="a;b,c\\"d"', None, "sip:a@b", {"text": 'a;b,c"d'}),
            ("<sip:a@b>;tag=1;tag=2", None, "sip:a@b", {"tag": "1"}),
            ('sip:a@b;x="<urn:y:1>";z', None, "sip:a@b", {"x": "<urn:y:1>", "z": None}),
            ("tel:+1234;tag=z", None, "tel:+1234", {"tag": "z"}),
            ("<tel:+1234;ext=5>", None, "tel:+1234;ext=5", {}),
        ],
    )
    def test_reading(self, text: str, display: str | None, uri: str, params: dict[str, str | None]) -> None:
        value = NameAddr.parse(text)
        assert (value.display, str(value.uri), dict(value.params)) == (display, uri, params)
        assert str(value) == text

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "Bad URI"),
            ('"x', "Unbalanced quotes"),
            ('"x\\"', "Unbalanced quotes"),
            ('"x"', "Bad name-addr"),
            ('"x" y <sip:a@b>', "Bad name-addr"),
            ('"x" sip:a@b', "Bad name-addr"),
            ("<sip:a@b", "Unbalanced angle brackets"),
            ("<>", "Bad URI"),
            ('a "b" <sip:a@b>', "Bad URI"),
            ("a<b <sip:a@b>", "Bad URI"),
            ("<sip:a@b>x", "Text where parameters should begin"),
            ("<sip:a@b>;;x", "Bad parameter name"),
            ("<sip:a@b>;=x", "Bad parameter name"),
            ("<sip:a@b>;a b=x", "Bad parameter name"),
            ("<sip:a@b>;a=x y", "Bad parameter value"),
            ('<sip:a@b>;a="x', "Unbalanced quotes"),
            ('<sip:a@b>;a="x"y', "Unbalanced quotes"),
            ("sip:a@b?x=y", "URI needs angle brackets"),
            ("sip:a@b,c", "URI needs angle brackets"),
        ],
    )
    def test_refused(self, text: str, reason: str) -> None:
        with pytest.raises(ParseError) as caught:
            NameAddr.parse(text)
        assert caught.value.reason == reason

    def test_tags(self) -> None:
        value = NameAddr.parse('"A" <sip:a@b>;x=1;tag=old')
        assert value.tag == "old"
        assert str(value.with_tag("new")) == '"A" <sip:a@b>;x=1;tag=new'
        assert str(value.with_tag(None)) == '"A" <sip:a@b>;x=1'
        assert NameAddr.parse("<sip:a@b>;tag").tag is None

    def test_hashable(self) -> None:
        assert len({NameAddr(None, Uri.sip("a", "b")), NameAddr.parse("<sip:a@b>")}) == 1


class TestVia:
    @pytest.mark.parametrize(
        ("text", "transport", "host", "port", "params"),
        [
            ("SIP/2.0/UDP h", "UDP", "h", None, {}),
            ("sip/2.0/tcp H.Example:5070;Branch=Z9;rport", "TCP", "h.example", 5070, {"branch": "Z9", "rport": None}),
            ("SIP / 2.0 / UDP  h : 5060 ; received = 1.2.3.4", "UDP", "h", 5060, {"received": "1.2.3.4"}),
            ("SIP/2.0/TLS [::1]:5061;received=[::2]", "TLS", "::1", 5061, {"received": "[::2]"}),
            ("SIP/2.0/UDP [::1] : 99", "UDP", "::1", 99, {}),
            ("SIP/7.0/WSS h", "WSS", "h", None, {}),
            ("SIP/2.0/UDP\th;branch=x", "UDP", "h", None, {"branch": "x"}),
        ],
    )
    def test_reading(
        self, text: str, transport: str, host: str, port: int | None, params: dict[str, str | None]
    ) -> None:
        via = Via.parse(text)
        assert (via.transport, via.host, via.port, dict(via.params)) == (transport, host, port, params)

    @pytest.mark.parametrize(
        "text",
        ["", "SIP", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0 h", "HTTP/1.1/TCP h", "SIP/2.0/U,P h", "SIP/2.0/UDP h h",
         "SIP/2.0/UDP h:0", "SIP/2.0/UDP h;;x", "SIP/2.0/UDP h;branch=a b", "SIP//UDP h", "SIP/2.0/UDP [::1"],
    )  # fmt: skip
    def test_refused(self, text: str) -> None:
        with pytest.raises(ParseError):
            Via.parse(text)

    def test_where_it_came_from(self) -> None:
        via = Via.parse("SIP/2.0/UDP h;rport;branch=z9hG4bK1")
        assert (via.wants_rport, via.rport, via.received) == (True, None, None)
        stamped = via.with_params(received="2001:db8::1", rport="5062")
        assert str(stamped) == "SIP/2.0/UDP h;rport=5062;branch=z9hG4bK1;received=2001:db8::1"
        assert (stamped.rport, stamped.received, stamped.branch) == (5062, "2001:db8::1", "z9hG4bK1")
        assert Via.parse("SIP/2.0/UDP h;received=[::1]").received == "::1"
        assert Via.parse("SIP/2.0/UDP h;rport=x;received=;branch").branch is None


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "1INVITE", "-1 BYE", "4294967296 BYE", "1 B Y", "1 B\0", "٣ BYE", "1e3 BYE", "1" * 5000]
)
def test_cseq_refused(text: str) -> None:
    with pytest.raises(ParseError, match="Bad CSeq"):
        CSeq.parse(text)


def test_numbers() -> None:
    assert parse_number("000042", "no") == 42
    assert parse_number("0" * 100, "no") == 0
    with pytest.raises(ParseError, match="no"):
        parse_number("256", "no", 255)
