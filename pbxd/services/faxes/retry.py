"""What follows a try: the end, or another one after a pause, slower and plainer. Pure: no clock, no store."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult

MAX_TRIES = 30  # whatever gets through meanwhile
SPREAD = 0.2  # of a pause, so that what failed together is not tried together

_NOBODY_THERE = frozenset({FaxReason.BUSY, FaxReason.NO_ANSWER, FaxReason.REJECTED})
_CALL_ALONE = frozenset({FaxReason.HUNG_UP, FaxReason.NO_FAX})  # says nothing about speed


@dataclass(frozen=True, slots=True)
class RetryRules:
    """Pauses in seconds, the last one repeated; `tries` in a row without a page confirmed are all."""

    tries: int
    busy_s: Sequence[int]
    retry_s: Sequence[int]


@dataclass(frozen=True, slots=True)
class Again:
    """The next try: after `delay_s`, from page `start_page` on, `step` steps down."""

    delay_s: float
    start_page: int
    step: int
    vain: int


_STEPS: tuple[tuple[FaxMode | None, int, bool], ...] = (
    (None, 14400, True),
    (None, 9600, True),
    (FaxMode.G711, 9600, True),
    (FaxMode.G711, 9600, False),
    (FaxMode.G711, 4800, False),
)
"""Mode, most speed and ECM of each step; no mode is that of the policy."""
_TO_AUDIO = 2


def options_at(step: int, asked: FaxOptions) -> FaxOptions:
    """What is asked of the try at that step; ident and header stay as they are. Who insists on T.38 keeps it."""
    mode, speed, ecm = _STEPS[min(step, len(_STEPS) - 1)]
    keeps = mode is None or asked.mode in (FaxMode.T38, FaxMode.PASSTHROUGH)
    return replace(
        asked,
        mode=asked.mode if keeps or mode is None else mode,
        max_speed=min(speed, asked.max_speed),
        ecm=ecm and asked.ecm,
    )


def again(
    outcome: FaxOutcome, *, start_page: int, tries: int, vain: int, step: int, rules: RetryRules, rng: random.Random
) -> Again | None:
    """What follows the try that `outcome` ended; None where it was the last. `tries` counts it, `vain` does not."""
    if outcome.result in (FaxResult.SUCCESS, FaxResult.CANCELLED) or not outcome.reason.retryable:
        return None
    progress = outcome.pages_confirmed > 0
    vain = 0 if progress else vain + 1
    if vain >= rules.tries or tries >= MAX_TRIES:
        return None
    nobody = outcome.reason in _NOBODY_THERE
    pauses = rules.busy_s if nobody else rules.retry_s
    pause = pauses[min(max(vain, 1), len(pauses)) - 1]
    if outcome.reason is FaxReason.NEGOTIATION_FAILED:
        step = max(step, _TO_AUDIO)
    elif not nobody and outcome.reason not in _CALL_ALONE:
        step = min(step + 1, len(_STEPS) - 1)
    delay = pause * (1 + SPREAD * (2 * rng.random() - 1))
    return Again(delay, start_page + outcome.pages_confirmed, step, vain)
