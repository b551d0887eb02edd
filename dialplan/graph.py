"""Where a call can go in a flow: what is never come to, and which circles have no way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from dialplan.flow import END_OF_FLOW, HANG_UP, NEXT_STEP, Branch, Flow, Step, first_step
from dialplan.problem import Problem
from dialplan.verbs.loop import Loop

EXIT = ""
"""Where the flow ends, or hangs up."""


@dataclass(frozen=True, slots=True)
class Way:
    """From one step to another, or to EXIT; `label` is the branch, empty for going on."""

    label: str
    to: str


Ways = Mapping[str, tuple[Way, ...]]


def ways_of(flow: Flow) -> Ways:
    """All ways by the step they begin at. Those to parts that are not there are left out."""
    return {step.id: tuple(_from(flow, step)) for step in flow.steps.values()}


def _from(flow: Flow, step: Step) -> Iterator[Way]:
    for label, branch in step.verb.ways():
        to = target(step, branch)
        if to == EXIT or to in flow.steps:
            yield Way(label, to)


def target(step: Step, branch: Branch) -> str:
    """The id of the step a branch leads to, or EXIT."""
    if branch.to == NEXT_STEP:
        return step.after or EXIT
    return EXIT if branch.to in (END_OF_FLOW, HANG_UP) else branch.to


def check_ways(flow: Flow) -> list[Problem]:
    """Unreachable parts and steps, circles without a way out, circles that never wait."""
    ways = ways_of(flow)
    reached = reachable(flow, ways)
    return [*_unreached(flow, reached), *_circles(flow, ways, reached)]


def reachable(flow: Flow, ways: Ways) -> set[str]:
    """The steps that a call may come to."""
    found: set[str] = set()
    waiting = [flow.first]
    while waiting:
        step_id = waiting.pop()
        if step_id not in found and step_id in ways:
            found.add(step_id)
            waiting.extend(way.to for way in ways[step_id] if way.to != EXIT)
    return found


def _unreached(flow: Flow, reached: Set[str]) -> Iterator[Problem]:
    for part, mark in flow.parts.items():
        if first_step(part) not in reached and first_step(part) in flow.steps:
            message = "nothing leads to this part: name it in a branch or a goto, or remove it"
            yield Problem(flow.file, mark, f"parts.{part}", message)
    for step in flow.steps.values():
        place, _, number = step.id.rpartition(".")
        before = f"{place}.{int(number) - 1}"
        if step.id not in reached and before in reached:
            word = flow.steps[before].verb.word
            message = f"this step is never come to: {word} before it always leads elsewhere"
            yield Problem(flow.file, step.mark, f"parts.{step.id}", message)


def _circles(flow: Flow, ways: Ways, reached: Set[str]) -> Iterator[Problem]:
    for circle in circles({step: [way.to for way in ways[step]] for step in reached}):
        ends = any(not ways[step] or any(way.to not in circle for way in ways[step]) for step in circle)
        if not ends:
            first = _first(flow, circle)
            message = "a call that comes here goes in circles for ever: no branch leads out"
            yield Problem(flow.file, first.mark, f"parts.{first.id}", message)
    silent = {
        step for step in reached if not flow.steps[step].verb.waits and not isinstance(flow.steps[step].verb, Loop)
    }
    for circle in circles({step: [way.to for way in ways[step] if way.to in silent] for step in silent}):
        first = _first(flow, circle)
        message = "these steps go in circles without waiting for anything; to repeat something so often there is `loop`"
        yield Problem(flow.file, first.mark, f"parts.{first.id}", message)


def _first(flow: Flow, circle: Set[str]) -> Step:
    return min((flow.steps[step] for step in circle), key=lambda step: step.mark)


def circles(edges: Mapping[str, list[str]]) -> Iterator[set[str]]:
    """Every largest set of steps each of which leads to all others (Tarjan's strongly connected components, without
    recursion: a flow may have ten thousand steps in a row)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(edges[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, following = work[-1]
            step = next((to for to in following if to in edges), None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    found = _popped(stack, on_stack, node)
                    if len(found) > 1 or node in edges[node]:
                        yield found
            elif step not in index:
                index[step] = low[step] = len(index)
                stack.append(step)
                on_stack.add(step)
                work.append((step, iter(edges[step])))
            elif step in on_stack:
                low[node] = min(low[node], index[step])


def _popped(stack: list[str], on_stack: set[str], node: str) -> set[str]:
    found: set[str] = set()
    while node not in found:
        found.add(stack.pop())
    on_stack -= found
    return found
