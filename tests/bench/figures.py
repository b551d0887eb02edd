"""Figures, their bars, and the table that shows both."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Readings = Mapping[str, float]
"""What one run of a part measured: values by the names of its figures."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: `name` as the part reports it, `bar` the most it may be, or the least where it is
    `at_least` (None: for information), `reference` the figure of the same run it is held against, `remark` anything
    fixed worth knowing beside it."""

    name: str
    unit: str
    bar: float | None = None
    digits: int = 2
    reference: str | None = None
    remark: str = ""
    at_least: bool = False

    def meets(self, value: float) -> bool:
        """Whether the bar is kept, if there is one."""
        return self.bar is None or (value >= self.bar if self.at_least else value <= self.bar)


def median(runs: Sequence[Readings], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def table(figures: Sequence[Figure], runs: Sequence[Readings]) -> list[str]:
    """A line for each figure: the median, the span of the runs, bar, reference, verdict."""
    lines = [f"{'':44}{'median':>10}  {'runs':22}{'bar':>10}{'reference':>11}"]
    for figure in figures:
        values = [run[figure.name] for run in runs]
        value = statistics.median(values)
        span = " ".join(_number(each, figure.digits) for each in values)
        bar = "" if figure.bar is None else "≤≥"[figure.at_least] + " " + _number(figure.bar, figure.digits)
        reference = _number(median(runs, figure.reference), figure.digits) if figure.reference else ""
        verdict = "" if figure.bar is None else "ok" if figure.meets(value) else "MISSED"
        lines.append(
            f"{figure.name + ', ' + figure.unit:44}{_number(value, figure.digits):>10}  {span:22}{bar:>10}"
            f"{reference:>11}  {verdict:7} {figure.remark}".rstrip()
        )
    return lines


def missed(figures: Sequence[Figure], runs: Sequence[Readings]) -> list[str]:
    """The names of the figures beyond their bars."""
    return [figure.name for figure in figures if not figure.meets(median(runs, figure.name))]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"
