"""Mail as bytes and requests as they may be sent: no value adds a header, a recipient or a second request."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxd.errors import Invalid
from pbxd.outbox import Attachment, Letter, Request
from pbxd.outbox.letter import compose
from pbxd.outbox.request import Method

SENDER = "pbx@example.com"
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version"]


def test_a_letter_is_read_back_as_it_was_written() -> None:
    sound = Attachment("ü.wav", "audio/wav", b"\0\1")
    letter = Letter("ann@example.org", "Neue Nachricht von +43 1 ☎", "Grüße\n", "<p>Grüße</p>", (sound,))
    raw = compose(letter, SENDER, "out_1", 1_790_000_000.0)
    message = message_from_bytes(raw, policy=default)
    assert (message["From"], message["To"]) == ("pbxd <pbx@example.com>", "ann@example.org")
    assert message["Subject"] == "Neue Nachricht von +43 1 ☎"
    assert message["Message-ID"] == "<out_1@example.com>"
    assert message["Date"].datetime.timestamp() == 1_790_000_000
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert (text.get_content(), html.get_content()) == ("Grüße\r\n", "<p>Grüße</p>\r\n")
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type(), attached.get_content()) == (
        "ü.wav",
        "audio/wav",
        b"\0\1",
    )
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize(
    "letter",
    [
        Letter("ann@example.org\r\nBcc: eve@example.org", "x", ""),
        Letter("ann@example.org, eve@example.org", "x", ""),
        Letter("ann@example.org> RCPT TO:<eve@example.org", "x", ""),
        Letter("ann@example.org\n", "x", ""),
        Letter("ann", "x", ""),
        Letter("än@example.org", "x", ""),
        Letter("a" * 65 + "@example.org", "x", ""),
        Letter("ann@-example.org", "x", ""),
        Letter("ann@example.org", "x\r\nBcc: eve@example.org", ""),
        Letter("ann@example.org", "x\ry", ""),
        Letter("ann@example.org", "x\u2028y", ""),
        Letter("ann@example.org", "x" * 513, ""),
        Letter("ann@example.org", "x", "\ud800"),
        Letter("ann@example.org", "x", "", None, (Attachment("a\r\nX: y", "audio/wav", b""),)),
        Letter("ann@example.org", "x", "", None, (Attachment("a", "audio/wav\r\nX: y", b""),)),
        Letter("ann@example.org", "x", "", None, (Attachment("a", "message/rfc822", b""),)),
    ],
)
def test_what_has_no_place_in_a_header_is_refused(letter: Letter) -> None:
    with pytest.raises(Invalid):
        compose(letter, SENDER, "out_1", 0.0)


@given(st.text(max_size=80), st.text(max_size=200))
def test_no_subject_and_no_text_adds_a_header(subject: str, text: str) -> None:
    try:
        raw = compose(Letter("ann@example.org", subject, text), SENDER, "out_1", 0.0)
    except Invalid:
        return
    message = message_from_bytes(raw, policy=default)
    assert [name for name in message.keys() if not name.startswith("Content-")] == HEADERS  # noqa: SIM118
    assert message["To"] == "ann@example.org"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://hooks.example.com/T0/secret?token=x", "https://hooks.example.com:443"),
        ("http://127.0.0.1:9000/x", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/x", "http://[::1]:9000"),
    ],
)
def test_the_origin_is_all_that_is_shown_of_a_url(url: str, origin: str) -> None:
    assert Request(url).origin == origin


@pytest.mark.parametrize(
    "request_",
    [
        Request("ftp://example.com/"),
        Request("/relative"),
        Request("https://"),
        Request("https://user:password@example.com/"),
        Request("https://example.com/a b"),
        Request("https://example.com/\r\nX: y"),
        Request("https://example.com:99999/"),
        Request("https://example.com/" + "a" * 2048),
        Request("https://example.com/", headers={"X": "a\r\nY: b"}),
        Request("https://example.com/", headers={"X": "a\0"}),
        Request("https://example.com/", headers={"X": "ä"}),
        Request("https://example.com/", headers={"X: y": "a"}),
        Request("https://example.com/", headers={"": "a"}),
        Request("https://example.com/", headers={"Host": "other"}),
        Request("https://example.com/", headers={"content-length": "1"}),
        Request("https://example.com/", headers={"Transfer-Encoding": "chunked"}),
        Request("https://example.com/", headers={"Idempotency-Key": "mine"}),
        Request("https://example.com/", headers={"X": "1", "x": "2"}),
        Request("https://example.com/", headers={f"X{number}": "" for number in range(33)}),
    ],
)
def test_a_request_that_could_be_read_in_two_ways_is_refused(request_: Request) -> None:
    with pytest.raises(Invalid):
        request_.check()


def test_a_request_is_read_back_as_it_was() -> None:
    request = Request("https://example.com/x", b"\0body", Method.PUT, {"Authorization": "Bearer t"})
    request.check()
    assert Request.read(request.address(), request.body) == request
