"""What `pbxd flow …` does: check, draw, try out and test call flows. None of it needs a daemon."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dialplan.check import check, errors
from dialplan.diagram import mermaid
from dialplan.flow import Flow
from dialplan.folder import read_file, read_folder
from dialplan.load import SCHEDULES_FILE, SUFFIX, TEST_SUFFIX, Drafts, drafts_of, name_of
from dialplan.names import Surroundings
from dialplan.picture import svg
from dialplan.problem import Problem, in_order, suggestion
from dialplan.schema import schema
from dialplan.simulate import ReplyError, Simulation, describe, read_reply
from dialplan.state import Facts
from dialplan.testing import Result, parse_moment, read_cases, run_case
from pbxd.cli import DEFAULT_CONFIG, CommandError, Exit, configurations
from pbxd.config import Config, ConfigError, load
from pbxd.config.dialplan import DEAF
from pbxd.config.section import compile_pattern


@dataclass(frozen=True, slots=True)
class _Flows:
    """A folder, and files from elsewhere among its own, read and checked. `texts` by path."""

    folder: Path
    texts: Mapping[str, str]
    drafts: Drafts
    problems: list[Problem]

    def of_name(self, name: str) -> Flow:
        """A flow without errors. Raises CommandError."""
        name = Path(name).name.removesuffix(SUFFIX)
        draft = self.drafts.flows.get(name)
        if draft is None:
            known = suggestion(name, self.drafts.flows) or f"; there are {', '.join(self.drafts.flows) or 'none'}"
            raise CommandError(f"there is no flow {name} in {self.folder}{known}", Exit.MISTAKE)
        wrong = [one for one in errors(self.problems) if one.file == draft.file]
        if draft.flow is None or wrong:
            _print_problems(wrong)
            raise CommandError(f"the flow {name} is not good", Exit.MISTAKE)
        return draft.flow


def _read(arguments: argparse.Namespace, files: Sequence[Path] = ()) -> _Flows:
    config, folder = _house(arguments, files)
    found = read_folder(folder)
    texts, problems = dict(found.texts), list(found.problems)
    for file in files:
        tests = file.with_name(file.name.removesuffix(SUFFIX) + TEST_SUFFIX)
        for path in (file, tests) if tests.exists() and not file.name.endswith(TEST_SUFFIX) else (file,):
            if (label := _label(path, folder)) not in texts:
                text = read_file(path)
                if isinstance(text, Problem):
                    problems.append(text)
                else:
                    texts[label] = text
    drafts = drafts_of(texts)
    surroundings = house_of(config) if config else None
    return _Flows(folder, texts, drafts, in_order([*problems, *check(drafts, surroundings)]))


def _label(file: Path, folder: Path) -> str:
    """How a file is named in what is said of it: as one of the folder, where it is."""
    inside = folder / file.name
    return str(inside if file.resolve() == inside.resolve() else file)


def _house(arguments: argparse.Namespace, files: Sequence[Path]) -> tuple[Config | None, Path]:
    """The configuration, where one can be read, and the folder of flows: that of the files where there is no other."""
    folder: Path | None = getattr(arguments, "dialplan", None)
    path = arguments.config or next(iter(configurations()), None)
    if path is None:
        folder = folder or (files[0].parent if files else None)
        if folder is None:
            raise CommandError(f"there is no {DEFAULT_CONFIG} here: name it with --config, or --dialplan", Exit.MISTAKE)
        return None, folder
    try:
        config = load(path)
    except ConfigError:
        if arguments.config or folder is None:
            raise
        return None, folder
    return config, folder or config.dialplan.at(path)


def _files(names: Sequence[str]) -> list[Path]:
    """Those of the names that are files."""
    return [Path(name) for name in names if name.endswith(SUFFIX) and Path(name).exists()]


def house_of(config: Config) -> Surroundings:
    """What a configuration says the house has. Phones that were made at the first start count as long as
    `first_start.phones` names them; who changed them since asks the daemon."""
    users = {*config.phones, *config.first_start.phones.numbers}
    patterns = [compile_pattern(route.match) for route in config.routes]

    def routed(number: str) -> bool:
        return any(pattern.fullmatch(number) for pattern in patterns)

    return Surroundings(
        extensions=sorted({*users, *config.extensions}),
        mailboxes=sorted({*users, *config.mailboxes}),
        queues=sorted(
            {*config.queues, *(number for number, one in config.extensions.items() if one.queue is not None)}
        ),
        trunks=sorted(config.trunks),
        dialable=routed,
        routed=routed,
        deaf=DEAF,
    )


# ---- check


def check_flows(arguments: argparse.Namespace) -> None:
    """`pbxd flow check`. Warnings alone end it with another code than mistakes."""
    flows = _read(arguments, arguments.files)
    problems = in_order([*flows.problems, *_test_problems(flows)])
    if arguments.files:
        chosen = {_label(file, flows.folder) for file in arguments.files}
        problems = [problem for problem in problems if problem.file in chosen]
    if arguments.json:
        print(json.dumps({"problems": [_as_json(problem) for problem in problems], "flows": len(flows.drafts.flows)}))
    else:
        _print_problems(problems)
    if wrong := len(errors(problems)):
        raise CommandError(f"{wrong} problem{'s' if wrong > 1 else ''}", Exit.MISTAKE)
    if problems:
        raise CommandError(f"nothing wrong, {len(problems)} warning{'s' if len(problems) > 1 else ''}", Exit.REFUSED)
    if arguments.json:
        return
    if arguments.files:
        print(f"{', '.join(map(str, arguments.files))}: good")
        return
    steps = sum(len(draft.flow.steps) for draft in flows.drafts.flows.values() if draft.flow)
    print(f"{flows.folder} is good: {len(flows.drafts.flows)} flows, {steps} steps")


def _test_problems(flows: _Flows) -> Iterator[Problem]:
    for file, text in flows.texts.items():
        if not file.endswith(TEST_SUFFIX):
            continue
        yield from read_cases(text, file)[1]
        name = name_of(file).removesuffix(TEST_SUFFIX)
        if name not in flows.drafts.flows:
            yield Problem(file, None, "", f"there is no flow {name} to test{suggestion(name, flows.drafts.flows)}")


def _as_json(problem: Problem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.mark.line if problem.mark else None,
        "column": problem.mark.column if problem.mark else None,
        "key": problem.key,
        "message": problem.message,
        "severity": problem.severity.value,
    }


def _print_problems(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


# ---- show, schema


def show_flow(arguments: argparse.Namespace) -> None:
    """`pbxd flow show`"""
    flow = _read(arguments, _files([arguments.name])).of_name(arguments.name)
    if arguments.svg is None:
        print(mermaid(flow), end="")
        return
    try:
        arguments.svg.write_text(svg(flow), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{arguments.svg} cannot be written: {error.strerror or error}", Exit.REFUSED) from None
    print(f"{arguments.svg}: {flow.title or flow.name}, {len(flow.parts)} parts, {len(flow.steps)} steps")


def print_schema(_arguments: argparse.Namespace) -> None:
    """`pbxd flow schema`"""
    print(json.dumps(schema(), indent=2, ensure_ascii=False))


# ---- run


def run_flow(arguments: argparse.Namespace) -> None:
    """`pbxd flow run`"""
    flows = _read(arguments, _files([arguments.name]))
    flow = flows.of_name(arguments.name)
    try:
        now = parse_moment(arguments.at, flow.timezone) if arguments.at else time.time()
        given = dict(_assignment(text) for text in arguments.given)
    except ValueError as error:
        raise CommandError(str(error), Exit.MISTAKE) from None
    facts = Facts("terminal", arguments.caller, "", arguments.called)
    simulation = Simulation(flows.drafts.library, flow.name, facts, now, given)
    _tell(simulation)
    while not simulation.machine.ended:
        if not simulation.asks:
            simulation.go_on()
        elif not _hear(simulation):
            return
        _tell(simulation)
    print(f"— {simulation.machine.ending}")


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text} is not NAME=VALUE")
    return name, value


def _tell(simulation: Simulation) -> None:
    for step in simulation.machine.trail:
        print(f"  {step}")
    if simulation.command.word != "noop":
        print(f"→ {describe(simulation.command)}")


def _hear(simulation: Simulation) -> bool:
    """Ask what comes of the command until there is an answer; False at the end of the input."""
    outcomes = ", ".join(sorted(simulation.command.outcomes))
    while True:
        print(f"  [{outcomes}, hangup]? ", end="", flush=True)
        try:
            line = sys.stdin.readline()
        except KeyboardInterrupt:
            line = ""
        if not line:
            print("\n— the input has ended")
            return False
        if not sys.stdin.isatty():  # what was piped in is not seen otherwise
            print(line.strip())
        try:
            simulation.reply(read_reply(line.strip(), simulation.command))
        except ReplyError as error:
            print(f"  {error}")
            continue
        return True


# ---- test


def test_flows(arguments: argparse.Namespace) -> None:
    """`pbxd flow test`"""
    flows = _read(arguments, _files(arguments.names))
    names = [flows.of_name(name).name for name in arguments.names]
    if wrong := [one for one in errors([*flows.problems, *_test_problems(flows)]) if _concerns(one, names)]:
        _print_problems(wrong)
        raise CommandError("the flows are not good; nothing was tested", Exit.MISTAKE)
    results: list[Result] = []
    for name, draft in flows.drafts.flows.items():
        if draft.flow is not None and (not names or name in names):
            results += _tested(flows, draft.flow, arguments.json)
    failed = sum(not result.passed for result in results)
    if arguments.json:
        rows = [{"file": one.file, "line": one.mark.line, "test": one.name, "wrong": one.wrong} for one in results]
        print(json.dumps({"tests": rows, "failed": failed}))
    else:
        print(f"{len(results)} tests, {failed} failed")
    if failed:
        raise CommandError(f"{failed} of {len(results)} tests failed", Exit.REFUSED)


def _concerns(problem: Problem, names: Sequence[str]) -> bool:
    stem = Path(problem.file).name.removesuffix(TEST_SUFFIX).removesuffix(SUFFIX)
    return not names or stem in names or problem.file.endswith(SCHEDULES_FILE)


def _tested(flows: _Flows, flow: Flow, quiet: bool) -> list[Result]:
    file = flow.file.removesuffix(SUFFIX) + TEST_SUFFIX
    text = flows.texts.get(file)
    if text is None:
        if not quiet:
            print(f"{flow.name}: no tests")
        return []
    results = [run_case(flows.drafts.library, flow, case, file, mark) for case, mark in read_cases(text, file)[0]]
    if not quiet:
        gone = {step for result in results for step in result.steps if step.startswith(f"{flow.name}/")}
        print(f"{flow.name}: {len(results)} tests, {len(gone)} of {len(flow.steps)} steps gone through")
        for result in results:
            if not result.passed:
                print(f"  FAILED {result.file}:{result.mark.line}: {result.name}")
                for wrong in result.wrong:
                    print(f"         {wrong}")
    return results
