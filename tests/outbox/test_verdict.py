"""What each answer means."""

from __future__ import annotations

import pytest

from pbxd.outbox.verdict import Outcome, of_http_status, of_smtp_reply, printable

WALL = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("code", "outcome", "everyone"),
    [
        (250, Outcome.DELIVERED, False),
        (251, Outcome.DELIVERED, False),
        (354, Outcome.TEMPORARY, False),
        (421, Outcome.TEMPORARY, True),
        (450, Outcome.TEMPORARY, False),
        (452, Outcome.TEMPORARY, False),
        (550, Outcome.PERMANENT, False),
        (552, Outcome.PERMANENT, False),
        (-1, Outcome.TEMPORARY, False),
        (999, Outcome.TEMPORARY, False),
    ],
)
def test_smtp_replies(code: int, outcome: Outcome, everyone: bool) -> None:
    verdict = of_smtp_reply(code, "said\r\nso")
    assert (verdict.outcome, verdict.everyone, verdict.reason) == (outcome, everyone, f"{code} said so")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.DELIVERED), (202, Outcome.DELIVERED), (204, Outcome.DELIVERED), (299, Outcome.DELIVERED)]
    + [(status, Outcome.PERMANENT) for status in (300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 409, 410, 413)]
    + [(status, Outcome.PERMANENT) for status in (422, 501, 505, 511, 100, 101)]
    + [(status, Outcome.TEMPORARY) for status in (408, 425, 429, 500, 502, 503, 504, 507, 599)],
)
def test_http_statuses(status: int, outcome: Outcome) -> None:
    assert of_http_status(status, None, WALL).outcome is outcome


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Mon, 21 Sep 2026 14:15:20 GMT", 120.0),
        ("Mon, 21 Sep 2026 14:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("9" * 65, None),
        ("Mon, 99 Sep 99999 14:00:00 GMT", None),
        (None, None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert of_http_status(503, header, WALL).retry_after_s == seconds


def test_what_a_far_side_says_is_bounded_and_clean() -> None:
    assert printable("a\x1b[31mb\r\nc" + "x" * 999).startswith("a [31mb c")
    assert len(printable("x" * 999)) == 200
