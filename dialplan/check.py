"""What is wrong with flows that can be read: found before they go live, not by the first caller."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from dialplan.flow import Flow
from dialplan.graph import check_ways
from dialplan.load import Drafts
from dialplan.names import Surroundings, check_names, check_recursion, check_use
from dialplan.problem import MAX_PROBLEMS, Problem, Severity, in_order


def check(drafts: Drafts, house: Surroundings | None = None) -> list[Problem]:
    """Everything wrong with a folder: what could not be read, and what makes no sense in the rest. Where a flow could
    not be read whole, its ways are not looked at: they would seem to lead nowhere."""
    library = drafts.library
    found = drafts.everything()
    for draft in drafts.flows.values():
        if draft.flow and not draft.problems:
            found += [*check_ways(draft.flow), *check_use(draft.flow)]
        if draft.flow:
            also = draft.variables if draft.problems else ()
            found += islice(check_names(draft.flow, library, house or Surroundings(), also), MAX_PROBLEMS)
    return in_order([*found, *check_recursion(library)])


def good_flows(drafts: Drafts, problems: Sequence[Problem]) -> dict[str, Flow]:
    """The flows of a folder that may go live, given what `check` found."""
    bad = {problem.file for problem in problems if problem.severity is Severity.ERROR}
    whole = ((name, draft.flow) for name, draft in drafts.flows.items())
    return {name: flow for name, flow in whole if flow is not None and flow.file not in bad}


def errors(problems: list[Problem]) -> list[Problem]:
    """Those that keep flows from going live."""
    return [problem for problem in problems if problem.severity is Severity.ERROR]
