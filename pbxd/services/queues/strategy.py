"""Whom a caller is offered to."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from pbxd.services.queues.model import Caller, Operator, Strategy


def choose(
    strategy: Strategy, caller: Caller, free: Sequence[Operator], order: Sequence[str], rng: Random
) -> list[Operator]:
    """Of the operators who are `free`, those whose phones ring for `caller`: of the least penalty, and before all of
    those who were not tried for it yet. `order` is that in which the queue names its operators."""
    untried = [one for one in free if one.name not in caller.tried] or list(free)
    least = min(one.queues[caller.queue] for one in untried)
    able = [one for one in untried if one.queues[caller.queue] == least]
    places = {name: place for place, name in enumerate(order)}
    last = len(places)

    def place(operator: Operator) -> tuple[int, str]:
        return (places.get(operator.name, last), operator.name)

    match strategy:
        case Strategy.RING_ALL:
            return sorted(able, key=place)
        case Strategy.LONGEST_IDLE:
            return [min(able, key=lambda one: (one.idle_since, place(one)))]
        case Strategy.ROUND_ROBIN:
            return [min(able, key=lambda one: (one.turn, place(one)))]
        case Strategy.LEAST_CALLS:
            return [min(able, key=lambda one: (one.handled, one.idle_since, place(one)))]
        case Strategy.RANDOM:
            return [rng.choice(sorted(able, key=place))]
        case Strategy.PRIORITY:
            return [min(able, key=place)]
