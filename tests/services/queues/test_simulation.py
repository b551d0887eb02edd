"""Ten thousand callers in virtual time, for each strategy: nobody is lost, nothing is booked twice, exits are exact."""

from __future__ import annotations

import statistics

import pytest

from pbxd.services.queues.model import Exit, Strategy
from pbxd.services.queues.table import Activity
from tests.services.queues.simulation import QUEUE, CallCentre

CALLERS, OPERATORS = 10_000, 20


@pytest.mark.parametrize("strategy", Strategy)
def test_ten_thousand_callers(strategy: Strategy) -> None:
    centre = CallCentre(strategy, callers=CALLERS, operators=OPERATORS, seed=520)
    centre.run()

    assert len(centre.told) == CALLERS
    assert all(len(told.lefts) == 1 for told in centre.told.values()), "each caller leaves exactly once"
    figures = centre.acd.day.queue(QUEUE)
    exits = {exit_: sum(told.lefts[0].exit is exit_ for told in centre.told.values()) for exit_ in Exit}
    assert figures.exits == {exit_.value: count for exit_, count in exits.items()}
    assert figures.entered == CALLERS == sum(exits.values())
    assert exits[Exit.ANSWERED] > CALLERS / 2
    assert exits[Exit.ABANDON] > 100
    assert exits[Exit.ABANDON] == sum(told.hung_up_at is not None for told in centre.told.values())
    assert not centre.acd.callers
    assert not centre.busy
    assert all(one.activity in (Activity.WAITING, Activity.WRAP_UP) for one in centre.acd.roster)
    talked = sum(told.lefts[0].talked_s for told in centre.told.values())
    assert figures.talked_s == pytest.approx(talked)
    assert sum(one.handled for one in centre.acd.day.operators.values()) == exits[Exit.ANSWERED]
    assert sum(one.missed for one in centre.acd.day.operators.values()) > 100


SPREAD = {Strategy.LONGEST_IDLE: 0.12, Strategy.ROUND_ROBIN: 0.12, Strategy.LEAST_CALLS: 0.12, Strategy.RANDOM: 0.15}


@pytest.mark.parametrize("strategy", SPREAD)
def test_fair_strategies_share_the_work(strategy: Strategy) -> None:
    centre = CallCentre(strategy, callers=3000, operators=OPERATORS, seed=7, load=0.6)
    centre.run()
    counts = [centre.answered[name] for name in centre.names]
    assert statistics.pstdev(counts) / statistics.mean(counts) < SPREAD[strategy]


def test_priority_serves_by_penalty_and_order() -> None:
    centre = CallCentre(Strategy.PRIORITY, callers=3000, operators=OPERATORS, seed=7, load=0.3)
    centre.run()
    light = sum(centre.answered[name] for name in centre.names[0::2])
    heavy = sum(centre.answered[name] for name in centre.names[1::2])
    assert light > 5 * heavy, "who has a penalty is asked when nobody else is free"
    assert centre.answered[centre.names[0]] > centre.answered[centre.names[8]]
