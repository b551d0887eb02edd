from __future__ import annotations

import pytest

from pbxd.calls.gather import Gather, Gathered, GatherRules


def test_it_is_complete_with_as_many_digits_as_there_may_be() -> None:
    gather = Gather(GatherRules(most=3), 0.0)
    assert [gather.press(digit, 1.0) for digit in "123"] == [None, None, Gathered.COMPLETE]
    assert gather.digits == "123"


def test_a_terminator_ends_it_and_is_not_a_digit() -> None:
    gather = Gather(GatherRules(), 0.0)
    assert [gather.press(digit, 1.0) for digit in "12#"] == [None, None, Gathered.TERMINATED]
    assert gather.digits == "12"


def test_what_comes_after_the_end_changes_nothing() -> None:
    gather = Gather(GatherRules(most=1), 0.0)
    gather.press("1", 0.5)
    assert gather.press("2", 0.6) is Gathered.COMPLETE
    assert gather.expire(100.0) is Gathered.COMPLETE
    assert gather.digits == "1"


@pytest.mark.parametrize(("pressed", "due"), [([], 7.0), ([1.0], 5.0), ([1.0, 4.0], 8.0)])
def test_each_digit_has_its_time(pressed: list[float], due: float) -> None:
    gather = Gather(GatherRules(first_s=7, next_s=4), 0.0)
    for at in pressed:
        gather.press("1", at)
    assert gather.due == due
    assert gather.expire(due - 0.001) is None
    assert gather.expire(due) is Gathered.TIMEOUT
    assert gather.enough is bool(pressed)


def test_stars_are_digits_unless_they_end_it() -> None:
    gather = Gather(GatherRules(terminators=""), 0.0)
    for digit in "*#":
        gather.press(digit, 0.0)
    assert gather.digits == "*#"
