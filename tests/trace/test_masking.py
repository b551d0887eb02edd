"""What is secret never reaches whoever reads a trace, and every length stays as it was."""

from __future__ import annotations

import pytest

from pbxd.trace.masking import masked

HEAD = b"INVITE sip:1@b SIP/2.0\r\nCall-ID: 1\r\n"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (b'Authorization: Digest username="1001", nonce="n", response="d41d8cd98f00"', b"d41d8cd98f00"),
        (b'PROXY-AUTHORIZATION : digest response=d41d8cd98f00, username="x"', b"d41d8cd98f00"),
        (b'Authorization: Digest username="1001",\r\n  cnonce="c0ffee42", response="d41d8cd98f00"', b"d41d8cd98f00"),
        (b'Authorization: Digest username="1001",\r\n\tcnonce="c0ffee42", response="00"', b"c0ffee42"),
        (b"Authorization: Basic MTAwMTpwYXNz", b"MTAwMTpwYXNz"),
        (b"Authorization: Bearer eyJhbGciOi.J9", b"eyJhbGciOi.J9"),
        (b'Proxy-Authentication-Info: rspauth="6629fae4"', b"6629fae4"),
        (b"Contact: <sip:1001:hunter2@10.0.0.1>", b"hunter2"),
    ],
)
def test_headers(line: bytes, secret: bytes) -> None:
    data = HEAD + line + b"\r\nCSeq: 1 INVITE\r\n\r\n"
    blind = masked(data)
    assert secret not in blind
    assert blind == data.replace(secret, b"*" * len(secret)) or len(blind) == len(data)
    assert blind.endswith(b"\r\nCSeq: 1 INVITE\r\n\r\n")


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4", b"WVNfX19z"),
        (b"k=base64:c2VjcmV0", b"c2VjcmV0"),
        (b"a=key-mgmt:mikey AQAFgM0XflABAAAA", b"AQAFgM0X"),
    ],
)
def test_keys_in_descriptions(line: bytes, secret: bytes) -> None:
    data = HEAD + b"\r\nv=0\r\nm=audio 4000 RTP/SAVP 0\r\n" + line + b"\r\na=sendrecv\r\n"
    blind = masked(data)
    assert secret not in blind
    assert len(blind) == len(data)
    assert blind.endswith(b"\r\na=sendrecv\r\n")


def test_every_key_of_a_line_is_masked() -> None:
    line = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:Rmlyc3RLZXk|2^20;inline:U2Vjb25k|2^20"
    blind = masked(HEAD + b"\r\n" + line + b"\r\n")
    assert b"Rmlyc3RLZXk" not in blind
    assert b"U2Vjb25k" not in blind


def test_dialled_digits_are_not_told() -> None:
    blind = masked(HEAD + b"\r\nSignal=7\r\nDuration=160\r\n")
    assert blind == HEAD + b"\r\nSignal=*\r\nDuration=160\r\n"


def test_the_rest_stays_as_it_is() -> None:
    data = (
        HEAD + b'WWW-Authenticate: Digest realm="lab", nonce="abc", qop="auth"\r\n'
        b"From: <sip:1001@lab.test>;tag=response=5\r\n\r\nv=0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
    assert masked(data) == data
