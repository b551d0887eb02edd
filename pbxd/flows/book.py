"""The flows that are live, and what came of the last look at their folder.

A file with a mistake leaves the flow as it was; a file that is gone takes its flow with it. Calls keep the library they
began with: nothing here is ever changed, a new library takes the place of the old one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dialplan.check import check, errors, good_flows
from dialplan.flow import Flow, Library
from dialplan.folder import Folder, read_folder
from dialplan.load import SCHEDULES_FILE, SUFFIX, TEST_SUFFIX, Defaults, Drafts, drafts_of
from dialplan.names import Surroundings
from dialplan.problem import Problem, in_order

SCHEDULES = SCHEDULES_FILE.removesuffix(SUFFIX)


@dataclass(frozen=True, slots=True)
class House:
    """What flows are checked against. `unserved` are verbs that cannot be carried out, and why."""

    surroundings: Surroundings
    defaults: Defaults
    unserved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """A folder, read and checked: what a worker thread brings."""

    folder: Folder
    drafts: Drafts
    problems: tuple[Problem, ...]

    @property
    def wrong(self) -> frozenset[str]:
        """The names of the flows whose files have mistakes."""
        return frozenset(name_of(problem.file) for problem in errors(list(self.problems)))

    @property
    def readable(self) -> bool:
        """The folder itself can be read."""
        return not any(problem.file == str(self.folder.path) and not self.folder.texts for problem in self.problems)

    def text(self, name: str) -> str:
        return self.folder.texts.get(str(self.folder.path / (name + SUFFIX)), "")

    def has(self, name: str) -> bool:
        return str(self.folder.path / (name + SUFFIX)) in self.folder.texts


@dataclass(frozen=True, slots=True)
class Report:
    """What a look came to. `kept` are flows that stay as they were because their files have mistakes; `refused` those
    that are not live for that reason."""

    folder: str
    at: float
    problems: tuple[Problem, ...] = ()
    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def errors(self) -> list[Problem]:
        return errors(list(self.problems))

    @property
    def good(self) -> bool:
        return not self.errors


def name_of(file: str) -> str:
    return Path(file).name.removesuffix(TEST_SUFFIX).removesuffix(SUFFIX)


def look(path: Path, house: House, replaced: Mapping[str, str] | None = None) -> Look:
    """Read and check a folder, with the texts of some files (`reception.yaml`) replaced. Takes seconds for thousands of
    steps: for a worker thread. Nothing raises."""
    found = read_folder(path)
    given = {str(path / name): text for name, text in (replaced or {}).items()}
    unreadable = tuple(problem for problem in found.problems if problem.file not in given)
    texts = {**found.texts, **given}
    drafts = drafts_of(texts, house.defaults)
    problems = [*unreadable, *check(drafts, house.surroundings)]
    for draft in drafts.flows.values():
        if draft.flow is not None:
            problems += _unserved(draft.flow, house.unserved)
    return Look(Folder(path, texts, unreadable), drafts, tuple(in_order(problems)))


def _unserved(flow: Flow, unserved: Mapping[str, str]) -> list[Problem]:
    return [
        Problem(flow.file, step.mark, f"parts.{step.id}.{step.verb.word}", unserved[step.verb.word])
        for step in flow.steps.values()
        if step.verb.word in unserved
    ]


class Book:
    """`library` is what is live; `texts` are the files it came from, by name of flow."""

    def __init__(self) -> None:
        self.library = Library()
        self.texts: dict[str, str] = {}
        self.report = Report("", 0.0)

    def take(self, seen: Look, wall: float) -> Report:
        """Make what is good of a look live."""
        old = self.library
        if not seen.readable:
            names = tuple(sorted(old.flows))
            self.report = Report(str(seen.folder.path), wall, seen.problems, kept=names)
            return self.report
        wrong = seen.wrong
        good = good_flows(seen.drafts, seen.problems)
        kept = {name: flow for name, flow in old.flows.items() if name in wrong and name not in good}
        schedules = old.schedules if SCHEDULES in wrong and old.schedules else seen.drafts.schedules
        flows = {name: _same(old.flows.get(name), flow) for name, flow in {**kept, **good}.items()}
        self.library = Library(flows, schedules)
        self.texts = {
            **{name: self.texts[name] for name in kept if name in self.texts},
            **{name: seen.text(name) for name in good},
        }
        if seen.has(SCHEDULES) and SCHEDULES not in wrong:
            self.texts[SCHEDULES] = seen.text(SCHEDULES)
        self.report = Report(
            str(seen.folder.path),
            wall,
            seen.problems,
            kept=tuple(sorted(kept)),
            refused=tuple(sorted((wrong & set(seen.drafts.flows)) - set(kept))),
            changed=tuple(sorted(name for name, flow in flows.items() if old.flows.get(name) is not flow)),
            removed=tuple(sorted(set(old.flows) - set(flows))),
        )
        return self.report

    def adopt(self, flow: Flow, text: str) -> None:
        """Make an earlier version live where the file of today is no good."""
        self.library = Library({**self.library.flows, flow.name: flow}, self.library.schedules)
        self.texts[flow.name] = text
        self.report = Report(
            self.report.folder,
            self.report.at,
            self.report.problems,
            kept=tuple(sorted({*self.report.kept, flow.name})),
            refused=tuple(name for name in self.report.refused if name != flow.name),
            changed=self.report.changed,
            removed=self.report.removed,
        )

    def schedule_names(self) -> Collection[str]:
        """Shared ones, and those of single flows."""
        own = (name for flow in self.library.flows.values() for name in flow.schedules)
        return {*self.library.schedules, *own}


def _same(old: Flow | None, new: Flow) -> Flow:
    """A flow that has not changed stays the very same."""
    alike = old is not None and (old.digest, old.timezone, old.language) == (new.digest, new.timezone, new.language)
    return old if alike and old is not None else new
