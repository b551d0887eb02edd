"""Whole files, good and bad: every mistake at once, where it is, and what was meant."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from dialplan.check import check, errors, good_flows
from dialplan.folder import MAX_FILES, read_folder
from dialplan.load import drafts_of, load
from dialplan.names import Surroundings
from dialplan.problem import FlowError, Problem, Severity
from dialplan.reading import MAX_STEPS
from tests.dialplan.calling import drafts, library

VECTORS = Path(__file__).parent.parent / "vectors" / "flows"
BAD = sorted((VECTORS / "bad").glob("*.yaml"))
HOUSE = Surroundings(
    extensions=["1001", "1002"],
    mailboxes=["1001", "1002"],
    rooms=["700", "701"],
    prompts=["welcome", "menu", "menu2"],
    trunks=["carrier"],
    dialable=lambda number: number.startswith("030"),
    routed=lambda number: number.startswith("0302"),
    deaf="nobody listens",
)
OTHERS = {"ask-pin.yaml": "arguments: {name: , more: 1}\nparts:\n  a:\n    - return: '${name} ${more}'\n"}


def problems(path: Path) -> list[str]:
    """All of them, of one file among others."""
    found = check(drafts_of({**OTHERS, path.name: path.read_bytes().decode()}), HOUSE)
    return [str(problem).replace(path.name, "FILE") for problem in found]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_told_all_its_mistakes(path: Path) -> None:
    assert problems(path) == path.with_suffix(".txt").read_text().splitlines()


def test_every_vector_says_what_it_expects() -> None:
    assert len(BAD) > 15
    assert {path.stem for path in BAD} == {path.stem for path in (VECTORS / "bad").glob("*.txt")}


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_file_never_goes_live(path: Path) -> None:
    found = drafts_of({**OTHERS, path.name: path.read_bytes().decode()})
    assert set(good_flows(found, check(found, HOUSE))) <= {"ask-pin"}


def test_the_good_files_are_good() -> None:
    folder = read_folder(VECTORS / "good")
    found = drafts_of(folder.texts)
    assert set(found.flows) == {"sub_flow", "every_form"}
    assert check(found) == []
    assert set(good_flows(found, [])) == set(found.flows)
    flow = found.flows["every_form"].flow
    assert flow is not None
    assert (flow.timezone, flow.language, flow.voice) == ("America/New_York", "en", "joe")
    assert flow.variables == {"tries": 0, "who": "somebody", "ratio": 1.5, "flag": True, "nothing": None}
    assert "begin.12.choices.*.2" in flow.steps
    other = found.flows["sub_flow"].flow
    assert other is not None
    assert other.timezone == "Europe/Berlin", "what schedules.yaml says holds for all"
    arguments = [(one.name, one.required, one.default) for one in other.arguments]
    assert arguments == [("pin", True, None), ("tries", False, 3)]


def test_load_is_all_or_nothing() -> None:
    flow = load("parts:\n  a:\n    - hangup\n", "a.yaml", "a")
    assert (flow.name, flow.first, list(flow.steps), len(flow.digest)) == ("a", "a.1", ["a.1"], 16)
    with pytest.raises(FlowError) as caught:
        load("parts:\n  a:\n    - goto: b\n    - hagup\n", "a.yaml", "a")
    assert str(caught.value).splitlines() == [
        "a.yaml:3:13: parts.a.1.goto: there is no part b",
        "a.yaml:4:7: parts.a.2: there is no verb hagup (did you mean hangup?)",
    ]


def test_the_digest_tells_versions_apart() -> None:
    text = "parts:\n  a:\n    - hangup\n"
    assert load(text, "a.yaml", "a").digest == load(text, "b.yaml", "b").digest
    assert load(text, "a.yaml", "a").digest != load(text + "#\n", "a.yaml", "a").digest


def test_a_flow_with_a_mistake_does_not_spoil_the_others() -> None:
    found = drafts(good="parts:\n  a:\n    - hangup\n", bad="parts:\n  a:\n    - hagup\n")
    wrong = check(found)
    assert [problem.file for problem in wrong] == ["bad.yaml"]
    assert set(good_flows(found, wrong)) == {"good"}


def test_names_of_files() -> None:
    found = drafts_of({"Front Desk.yaml": "parts:\n  a:\n    - hangup\n", "x.test.yaml": "no test of ours"})
    assert set(found.flows) == {"Front Desk"}
    assert [str(problem) for problem in check(found)] == [
        "Front Desk.yaml: a file is named as its flow: small letters, digits, '-' and '_', the first a letter"
    ]


def test_bad_schedules_for_all_are_told() -> None:
    found = drafts_of({"etc/dialplan/schedules.yaml": "schedules:\n  x: {weekly: {mon: 9}}\n"})
    (problem,) = check(found)
    assert str(problem).startswith("etc/dialplan/schedules.yaml:2:21: schedules.x.weekly: 9 is not a span of hours")
    assert [str(one) for one in check(drafts_of({"schedules.yaml": ""}))] == ["schedules.yaml:1:1: the file is empty"]


def test_a_warning_keeps_nothing_from_going_live() -> None:
    steps = (
        "parts:\n  a:\n    - menu: Press 2.\n      choices: {1: end}\n      on_timeout: end\n      on_invalid: end\n"
    )
    found = drafts(main=steps)
    (warning,) = check(found)
    assert warning.severity is Severity.WARNING
    assert str(warning) == (
        "main.yaml:3:13: parts.a.1.menu: warning: the caller is told to press 2, and there is no such choice"
    )
    assert errors([warning]) == []
    assert set(good_flows(found, [warning])) == {"main"}


def test_recursion_is_seen_through_others() -> None:
    flow = "parts:\n  a:\n    - call: {}\n"
    found = drafts(one=flow.format("two"), two=flow.format("three"), three=flow.format("one"), four=flow.format("one"))
    assert [f"{problem.file} {problem.message}" for problem in check(found)] == [
        "one.yaml two comes back to one: flows cannot call themselves",
        "three.yaml one comes back to three: flows cannot call themselves",
        "two.yaml three comes back to two: flows cannot call themselves",
    ]


def test_ten_thousand_steps_are_read() -> None:
    parts = "\n".join(f"  p{n}:\n    - say: Step {n}.\n    - goto: p{n + 1}" for n in range(4999))
    parts += "\n  p4999:\n    - say: The last.\n    - goto: end"
    assert len(library(main=f"parts:\n{parts}\n").flows["main"].steps) == 10_000


def test_a_flow_can_be_sent_from_one_process_to_another() -> None:
    """Large files are read by a worker, so that calls do not wait; expressions as deep as they may be are in it."""
    deep = "1" + "+1" * 199
    flows = library(main=f"parts:\n  a:\n    - if: {deep}\n      then: end\n    - say: ${{{deep}}}\n")
    assert pickle.loads(pickle.dumps(flows)) == flows
    good = drafts_of(read_folder(VECTORS / "good").texts).library
    assert pickle.loads(pickle.dumps(good)) == good


def test_a_file_of_nothing_but_mistakes_is_told_in_time() -> None:
    """Nobody reads ten thousand lines of what is wrong, and looking for what was meant takes time."""
    bad = "".join(f"    - goto: nowhere{n}\n    - sya: x\n    - tag: ${{vriable{n}}}\n" for n in range(20_000))
    parts = "".join(f"  nowhre{n}:\n    - hangup\n" for n in range(4000))
    began = time.process_time()
    found = check(drafts(main=f"parts:\n  a:\n{bad}{parts}"))
    assert time.process_time() - began < 5
    assert len(found) <= 401, "200 of reading, 200 of what is named, and one that says so"
    assert any("there are more than 200 mistakes; the rest is not listed" in str(problem) for problem in found)


def test_too_many_steps_and_parts_are_refused() -> None:
    many = "parts:\n  a:\n" + "    - answer\n" * (MAX_STEPS + 5)
    assert [problem.message for problem in drafts(main=many).everything()] == ["a flow has 50000 steps at most"]
    many = "parts:\n" + "".join(f"  p{n}: [hangup]\n" for n in range(5001))
    assert [problem.message for problem in drafts(main=many).everything()] == ["a flow has 5000 parts at most"]


# ---- the folder


def test_a_folder_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("parts:\n  a:\n    - hangup\n")
    (tmp_path / "b.yaml").write_bytes(b"title: caf\xe9\n")
    (tmp_path / "c.yaml").mkdir()
    (tmp_path / ".d.yaml").write_text("an editor's own file")
    (tmp_path / "e.txt").write_text("not for us")
    folder = read_folder(tmp_path)
    assert set(folder.texts) == {f"{tmp_path}/a.yaml"}
    assert [str(problem) for problem in folder.problems] == [
        f"{tmp_path}/b.yaml: is not UTF-8 text (byte 10)",
        f"{tmp_path}/c.yaml: cannot be read: Is a directory",
    ]
    assert read_folder(tmp_path / "none").problems == (
        Problem(f"{tmp_path}/none", None, "", "cannot be read: No such file or directory"),
    )


def test_a_folder_of_too_many_files_says_so(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 1):
        (tmp_path / f"f{number}.yaml").touch()
    folder = read_folder(tmp_path)
    assert len(folder.texts) == MAX_FILES
    assert [problem.message for problem in folder.problems] == ["there are more than 2000 files"]
