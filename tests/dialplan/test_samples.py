"""The sample flows: good, tested through and through, and so made that a slip of the pen is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from dialplan.check import check
from dialplan.folder import read_folder
from dialplan.kinds import BodyKind, BranchKind
from dialplan.load import SCHEDULES_FILE, TEST_SUFFIX, drafts_of, name_of
from dialplan.names import Surroundings
from dialplan.spec import settings_of
from dialplan.testing import Case, read_cases, run_case
from dialplan.verbs import VERBS
from tests.dialplan.calling import SAMPLES, samples

TEXTS = {name_of(file): text for file, text in read_folder(SAMPLES).texts.items()}
FLOWS = sorted(name for name in TEXTS if not name.endswith(TEST_SUFFIX) and name != SCHEDULES_FILE)
PHONES = [str(number) for number in range(1001, 1011)]
HOUSE = Surroundings(extensions=PHONES, mailboxes=PHONES, rooms=[], prompts=[], trunks=[])
Document = dict[str, Any]
Change = Callable[[Document], object]


def cases_of_samples() -> Iterator[Any]:
    for file, text in TEXTS.items():
        if file.endswith(TEST_SUFFIX):
            cases, wrong = read_cases(text, file)
            assert wrong == []
            for case, mark in cases:
                yield pytest.param(file.removesuffix(TEST_SUFFIX), case, mark, id=f"{file}:{mark.line}")


def test_the_samples_are_good() -> None:
    assert [str(problem) for problem in check(samples(), HOUSE)] == []
    assert FLOWS == ["after-hours.yaml", "helpline.yaml", "night-switch.yaml", "reception.yaml", "support.yaml"]


@pytest.mark.parametrize(("name", "case", "mark"), list(cases_of_samples()))
def test_their_tests_pass(name: str, case: Case, mark: Any) -> None:
    found = samples()
    flow = found.flows[name].flow
    assert flow is not None
    assert run_case(found.library, flow, case, f"{name}{TEST_SUFFIX}", mark).wrong == ()


@pytest.mark.parametrize("file", FLOWS)
def test_their_tests_go_through_every_step(file: str) -> None:
    found = samples()
    name = file.removesuffix(".yaml")
    flow = found.flows[name].flow
    assert flow is not None
    gone: set[str] = set()
    for case, mark in read_cases(TEXTS[name + TEST_SUFFIX], file)[0]:
        gone |= run_case(found.library, flow, case, file, mark).steps
    assert {f"{name}/{step}" for step in flow.steps} - gone == set()


# ---- mutations: what a tired person does to a file


def steps_of(node: Any) -> Iterator[Document]:
    """Every step, in parts and in branches."""
    if isinstance(node, dict):
        if set(node) & set(VERBS):
            yield node
        for inner in node.values():
            yield from steps_of(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from steps_of(inner)


def branches_of(step: Document) -> Iterator[tuple[Document, str]]:
    """Where each branch of a step stands: the mapping that holds it, and its key."""
    (word,) = set(step) & set(VERBS)
    for one in settings_of(VERBS[word]):
        if one.key in step and one.key != word and isinstance(one.kind, BranchKind | BodyKind):
            yield step, one.key
        if one.key in step and one.key in ("choices", "cases"):
            yield from ((step[one.key], key) for key in step[one.key])


def without_a_branch(document: Document) -> Iterator[tuple[str, Change]]:
    for number, step in enumerate(steps_of(document["parts"])):
        for index, (_, key) in enumerate(branches_of(step)):

            def change(copied: Document, number: int = number, index: int = index) -> None:
                holder, key = list(branches_of(list(steps_of(copied["parts"]))[number]))[index]
                del holder[key]

            yield f"step {number} without {key}", change
    for part in named_parts(document):

        def remove(copied: Document, part: str = part) -> None:
            del copied["parts"][part]

        yield f"without part {part}", remove


def named_parts(document: Document) -> list[str]:
    """Those that something leads to: what the first is called is nobody's business, when nothing comes back to it."""
    first, *others = document["parts"]
    targets = [branch[0][branch[1]] for step in steps_of(document["parts"]) for branch in branches_of(step)]
    gone_to = [step["goto"] for step in steps_of(document["parts"]) if "goto" in step]
    return [first, *others] if first in (*targets, *gone_to) else others


def keyed(node: Any) -> Iterator[Document]:
    """Every mapping of the file."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from keyed(inner)


def slips(word: str) -> set[str]:
    """A word as a tired hand types it."""
    middle = len(word) // 2
    swapped = word[1] + word[0] + word[2:] if len(word) > 1 else word
    return {word[:middle] + word[middle + 1 :], word[:middle] + word[middle] + word[middle:], swapped} - {word, ""}


def with_a_slip(document: Document) -> Iterator[tuple[str, Change]]:
    for number, mapping in enumerate(keyed(document)):
        free = set(document["parts"]) - set(named_parts(document)) if mapping is document["parts"] else set()
        for key in (key for key in mapping if key not in free):
            for slip in slips(key) if not key.isdecimal() else {key + "x"}:

                def change(copied: Document, number: int = number, key: str = key, slip: str = slip) -> None:
                    holder = list(keyed(copied))[number]
                    items = [(slip if name == key else name, value) for name, value in holder.items()]
                    holder.clear()
                    holder.update(items)

                yield f"{key} as {slip}", change


def caught(file: str, change: Change) -> list[str]:
    document = yaml.load(TEXTS[file], yaml.BaseLoader)  # texts only, as the language has it
    changed = copy.deepcopy(document)
    change(changed)
    assert changed != document
    texts = {**TEXTS, file: yaml.safe_dump(changed, sort_keys=False)}
    return [str(problem) for problem in check(drafts_of(texts), HOUSE) if problem.file == file]


@pytest.mark.parametrize("file", FLOWS)
@pytest.mark.parametrize("mutate", [without_a_branch, with_a_slip])
def test_each_slip_of_the_pen_is_caught_by_check(
    file: str, mutate: Callable[[Document], Iterator[tuple[str, Change]]]
) -> None:
    document = yaml.load(TEXTS[file], yaml.BaseLoader)
    mutations = list(mutate(document))
    assert len(mutations) > 5
    assert [what for what, change in mutations if not caught(file, change)] == []


def test_the_file_that_is_changed_in_nothing_is_good() -> None:
    """What the mutations do, and not how they are written, is what `check` sees."""
    for file in FLOWS:
        document = yaml.load(TEXTS[file], yaml.BaseLoader)
        texts = {**TEXTS, file: yaml.safe_dump(document, sort_keys=False)}
        assert check(drafts_of(texts), HOUSE) == []
