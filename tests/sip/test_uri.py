"""URIs: reading, writing, comparing; round trips for any parts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pbxd.sip.errors import ParseError
from pbxd.sip.uri import Uri

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9\-]{0,10}[a-z0-9])?(\.[a-z][a-z0-9]{0,5}){0,3}", fullmatch=True),
    st.ip_addresses().map(str),
)
PORTS = st.one_of(st.none(), st.integers(1, 65535))
PARAM_NAMES = st.from_regex(r"[a-z][a-z0-9\-.]{0,8}", fullmatch=True)
PARAMS = st.dictionaries(PARAM_NAMES, st.one_of(st.none(), TEXT), max_size=4)
URIS = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.one_of(st.none(), TEXT),
    HOSTS,
    PORTS,
    PARAMS,
    headers=st.sampled_from(["", "Subject=hello", "a=b&c=%20d"]),
)


@settings(deadline=None)
@given(URIS)
def test_round_trip(uri: Uri) -> None:
    text = str(uri)
    assert text.isascii()
    assert not set(text) & set(' \r\n\0<>"')
    again = Uri.parse(text)
    assert again == uri
    assert hash(again) == hash(uri)
    assert str(again) == text
    assert uri.same_as(again)


@settings(deadline=None)
@given(URIS, TEXT)
def test_password_survives(uri: Uri, password: str) -> None:
    changed = uri.with_(user="u", password=password)
    assert Uri.parse(str(changed)) == changed


@pytest.mark.parametrize(
    ("text", "scheme", "user", "host", "port", "params"),
    [
        ("sip:example.com", "sip", None, "example.com", None, {}),
        ("SIPS:Bob@EXAMPLE.com:5061", "sips", "Bob", "example.com", 5061, {}),
        (" sip:b@h;Transport=TCP;lr ", "sip", "b", "h", None, {"transport": "TCP", "lr": None}),
        ("sip:@h", "sip", None, "h", None, {}),
        ("sip:b@[2001:DB8::1]:5060;x", "sip", "b", "2001:db8::1", 5060, {"x": None}),
        ("sip:b@[::ffff:192.0.2.1]", "sip", "b", "::ffff:192.0.2.1", None, {}),
        ("sip:%C3%BC%00%zz@h", "sip", "ü\0%zz", "h", None, {}),
        ("sip:%FF@h", "sip", "%FF", "h", None, {}),
        ("sip:ü@h", "sip", "ü", "h", None, {}),
        ("sip:b@h;;a=1;;a=2;", "sip", "b", "h", None, {"a": "1"}),
        ("sip:b@h;m=a=b", "sip", "b", "h", None, {"m": "a=b"}),
        ("tel:+1(201)555-0123;ext=9", "tel", "+12015550123", "", None, {"ext": "9"}),
        ("tel:*#06#", "tel", "*#06#", "", None, {}),
        ("urn:service:sos", "urn", None, "", None, {}),
        ("mailto:a@b?c", "mailto", None, "", None, {}),
    ],
)
def test_reading(
    text: str, scheme: str, user: str | None, host: str, port: int | None, params: dict[str, str | None]
) -> None:
    uri = Uri.parse(text)
    assert (uri.scheme, uri.user, uri.host, uri.port, dict(uri.params)) == (scheme, user, host, port, params)
    assert str(uri) == text.strip()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Bad URI"),
        ("sip", "Bad URI"),
        ("sip:", "Bad URI"),
        (":b@h", "Bad URI"),
        ("1sip:b@h", "Bad URI"),
        ("<sip:b@h>", "Bad URI"),
        ("sip:b c@h", "Bad URI"),
        ("sip:b\r\n@h", "Bad URI"),
        ("sip:b\0@h", "Bad URI"),
        ("sip:a@b@h", "Bad URI"),
        ("sip:b@", "Bad host"),
        ("sip:b@;lr", "Bad host"),
        ("sip:b@h_ä", "Bad host"),
        ("sip:b@h/x", "Bad host"),
        ("sip:b@h:", "Bad port"),
        ("sip:b@h:0", "Bad port"),
        ("sip:b@h:99999", "Bad port"),
        ("sip:b@h:٣", "Bad port"),
        ("sip:2001:db8::1", "Bad port"),
        ("sip:[2001:db8::1", "Bad IPv6 reference"),
        ("sip:[2001:db8::1]5060", "Bad IPv6 reference"),
        ("sip:[h]", "Bad IPv6 reference"),
        ("sip:[1::2::3]", "Bad IPv6 address"),
        ("sip:[" + "1:" * 500 + "]", "Bad IPv6 address"),
        ("tel:", "Bad URI"),
        ("tel:bob", "Bad telephone number"),
        ("tel:;ext=1", "Bad telephone number"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ParseError) as caught:
        Uri.parse(text)
    assert (caught.value.status, caught.value.reason) == (400, reason)


@pytest.mark.parametrize(
    ("one", "other"),
    [  # RFC 3261 §19.1.4 and RFC 5118 §4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
         "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
         "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
        ("sip:b@[2001:db8::10]", "sip:b@[2001:DB8:0::0010]"),
        ("tel:+1234", "TEL:+1234"),
    ],
)  # fmt: skip
def test_same(one: str, other: str) -> None:
    assert Uri.parse(one).same_as(Uri.parse(other))
    assert Uri.parse(other).same_as(Uri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob:a@h", "sip:bob:b@h"),
        ("sip:b@h;maddr=1.2.3.4", "sip:b@h"),
    ],
)
def test_not_same(one: str, other: str) -> None:
    assert not Uri.parse(one).same_as(Uri.parse(other))
    assert not Uri.parse(other).same_as(Uri.parse(one))


class TestChanging:
    def test_some_parts(self) -> None:
        uri = Uri.parse("sip:b@h:5062;lr;x=1?a=b")
        assert str(uri.with_(host="::1", port=None)) == "sip:b@[::1];lr;x=1?a=b"
        assert str(uri.with_(user="ü", params={}, headers="")) == "sip:%C3%BC@h:5062"
        assert str(uri) == "sip:b@h:5062;lr;x=1?a=b"

    def test_unknown_part(self) -> None:
        with pytest.raises(TypeError, match="a URI has no hots"):
            Uri.parse("sip:h").with_(hots="x")

    def test_opaque_keeps_its_text(self) -> None:
        uri = Uri.parse("urn:service:sos")
        assert uri.with_() == uri
        assert uri != Uri.parse("urn:service:sos.fire")

    def test_tel(self) -> None:
        assert str(Uri.parse("tel:+49-711-5").with_(params={"ext": "7"})) == "tel:+497115;ext=7"

    def test_params_by_name(self) -> None:
        uri = Uri.sip("b", "H", 5070, transport="tls", phone_context="x", ob=None)
        assert str(uri) == "sip:b@h:5070;transport=tls;phone-context=x;ob"
        assert (uri.transport, uri.secure, uri.is_sip) == ("tls", False, True)

    def test_raw_headers_cannot_break_out(self) -> None:
        assert str(Uri.parse("sip:h").with_(headers="a=b>\r\nX: 1")) == "sip:h?a=bX:1"


def test_long_uris_are_not_kept_but_read_the_same() -> None:
    long = "sip:" + "x" * 5000 + "@h"
    assert Uri.parse(long) is not Uri.parse(long)
    assert Uri.parse(long) == Uri.parse(long)


def test_not_equal_to_text() -> None:
    assert Uri.parse("sip:h") != "sip:h"
    assert repr(Uri.parse("sip:h")) == "Uri('sip:h')"
