"""Bodies of several parts."""

from __future__ import annotations

import pytest

from pbxd.sip.multipart import MAX_PARTS, find_part

TYPE = "multipart/mixed;boundary=b"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"--b\r\nContent-Type: a/b\r\n\r\nyes\r\n--b--\r\n", b"yes"),
        (b"preamble\r\n--b\r\nContent-Type: a/b\r\n\r\nyes\r\n--b--\r\nepilogue", b"yes"),
        (b"--b\nc : A/B ; x=y\n\nyes\n--b--", b"yes"),
        (b"--b  \r\nContent-Type:\r\n a/b\r\n\r\nyes\r\n--b--", b"yes"),
        (b"--b\r\nContent-Type: a/b\r\n\r\nyes", b"yes"),
        (b"--b\r\nContent-Type: a/b\r\n\r\n\r\n--b--", b""),
        (b"--b\r\nContent-Type: x/y\r\n\r\nno\r\n--b\r\nContent-Type: a/b\r\n\r\nyes\r\n--b--", b"yes"),
        (b"--b\r\n\r\nno type\r\n--b\r\nContent-Type: a/b\r\n\r\nyes\r\n--b--", b"yes"),
        (b"--b\r\nContent-Type: a/b\r\n\r\n--bless\r\n--b--", b"--bless"),
        (b"--b--\r\n--b\r\nContent-Type: a/b\r\n\r\nafter the end", None),
        (b"--b\r\nContent-Type: a/b", None),
        (b"--b", None),
        (b"", None),
        (b"no delimiter at all", None),
    ],
)
def test_parts(body: bytes, found: bytes | None) -> None:
    assert find_part(TYPE, body, "a/b") == found


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("A / B;x=y", b"body"),
        ("a/b", b"body"),
        ("a/bc", None),
        ("multipart/mixed", None),
        ("multipart/mixed;boundary=", None),
        ('multipart/mixed;boundary="x', None),
        ("multipart/mixed;boundary=" + "x" * 71, None),
    ],
)
def test_content_types(content_type: str, found: bytes | None) -> None:
    assert find_part(content_type, b"body", "a/b") == found


def test_text_plain_is_the_default() -> None:
    assert find_part(TYPE, b"--b\r\n\r\nhello\r\n--b--", "text/plain") == b"hello"
    assert find_part(TYPE, b"--b\r\nContent-ID: x\r\n\r\nhello\r\n--b--", "text/plain") == b"hello"


def test_parts_are_bounded() -> None:
    body = b"--b\r\n\r\nx\r\n" * MAX_PARTS + b"--b\r\nContent-Type: a/b\r\n\r\nlate\r\n--b--"
    assert find_part(TYPE, body, "a/b") is None


def test_depth_is_bounded() -> None:
    body = b"yes"
    content_type = "a/b"
    results = []
    for level in range(5):
        results.append(find_part(content_type, body, "a/b"))
        body = f"--b{level}\r\nContent-Type: {content_type}\r\n\r\n".encode() + body + f"\r\n--b{level}--".encode()
        content_type = f"multipart/mixed;boundary=b{level}"
    assert results == [b"yes", b"yes", b"yes", b"yes", None]
