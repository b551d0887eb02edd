"""What follows a try: nothing, or another one later, slower and plainer, from the first page that is missing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult
from pbxd.services.faxes.retry import MAX_TRIES, Again, RetryRules, again, options_at
from tests.services.faxes.line import outcome

RULES = RetryRules(tries=4, busy_s=(60, 180), retry_s=(30, 120))
MIDDLE = random.Random(0)
MIDDLE.random = lambda: 0.5  # type: ignore[method-assign]


def after(ended: FaxOutcome, start_page: int = 0, tries: int = 1, vain: int = 0, step: int = 0) -> Again | None:
    return again(ended, start_page=start_page, tries=tries, vain=vain, step=step, rules=RULES, rng=MIDDLE)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FaxReason.BUSY, Again(60, 0, 0, 1)),
        (FaxReason.NO_ANSWER, Again(60, 0, 0, 1)),
        (FaxReason.HUNG_UP, Again(30, 0, 0, 1)),
        (FaxReason.CANNOT_TRAIN, Again(30, 0, 1, 1)),
        (FaxReason.NO_CONFIRMATION, Again(30, 0, 1, 1)),
        (FaxReason.BAD_PAGES, Again(30, 0, 1, 1)),
        (FaxReason.STALLED, Again(30, 0, 1, 1)),
        (FaxReason.NEGOTIATION_FAILED, Again(30, 0, 2, 1)),  # straight to audio
        (FaxReason.NO_ROUTE, None),
        (FaxReason.BAD_FILE, None),
        (FaxReason.INCOMPATIBLE, None),
        (FaxReason.CANCELLED, None),
        (FaxReason.OK, None),
    ],
)
def test_each_reason_has_its_pause_and_its_step(reason: FaxReason, expected: Again | None) -> None:
    assert after(outcome(0, reason)) == expected


def test_pauses_grow_and_the_last_repeats_until_the_tries_are_used_up() -> None:
    busy = outcome(0, FaxReason.BUSY)
    assert [one and one.delay_s for one in (after(busy, vain=vain, tries=vain + 1) for vain in range(4))] == [
        *(60, 180, 180),
        None,
    ]


def test_a_page_that_got_through_gives_new_patience_and_is_not_sent_again() -> None:
    assert after(outcome(2, FaxReason.NO_CARRIER), start_page=3, tries=9, vain=3) == Again(30, 5, 1, 0)
    assert after(outcome(1, FaxReason.NO_CARRIER), tries=MAX_TRIES) is None


def test_speed_ecm_and_t38_come_down_step_by_step_and_ident_stays() -> None:
    asked = FaxOptions(ident="+49 30 1", header="House", start_page=2)
    steps = [options_at(step, asked) for step in range(7)]
    assert [(one.mode, one.max_speed, one.ecm) for one in steps] == [
        (FaxMode.AUTO, 14400, True),
        (FaxMode.AUTO, 9600, True),
        (FaxMode.G711, 9600, True),
        (FaxMode.G711, 9600, False),
        (FaxMode.G711, 4800, False),
        (FaxMode.G711, 4800, False),
        (FaxMode.G711, 4800, False),
    ]
    assert {(one.ident, one.header, one.start_page) for one in steps} == {("+49 30 1", "House", 2)}
    assert options_at(4, FaxOptions(mode=FaxMode.T38)).mode is FaxMode.T38  # who insists keeps it
    assert options_at(0, FaxOptions(max_speed=4800, ecm=False)) == FaxOptions(max_speed=4800, ecm=False)


@given(
    st.sampled_from(FaxResult), st.sampled_from(FaxReason), st.integers(0, 5), st.integers(1, 40), st.integers(0, 20)
)
def test_every_fax_ends(result: FaxResult, reason: FaxReason, confirmed: int, tries: int, vain: int) -> None:
    ended = FaxOutcome(result, reason, pages_confirmed=confirmed)
    next_try = again(ended, start_page=0, tries=tries, vain=vain, step=0, rules=RULES, rng=random.Random(tries))
    if next_try is not None:
        assert tries < MAX_TRIES
        assert next_try.vain < RULES.tries
        assert 0.79 * 30 <= next_try.delay_s <= 1.21 * 180
