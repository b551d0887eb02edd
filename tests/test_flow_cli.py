"""`pbxd flow …` as it is typed: no daemon, no arguments, and words that help."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from pbxd import box, flow_cli
from pbxd.cli import Exit, act, build_parser
from pbxd.config import load
from pbxd.flow_tools import house_of

PROJECT = Path(__file__).parent.parent
CONFIG = """
first_start: {phones: 1001-1003}
phones: {"201": {password: correct-horse}}
extensions: {"600": {echo: true}, "100": {user: "201"}}
trunks: {carrier: {proxy: "sip:198.51.100.1"}}
routes:
  - {match: "0Z.", trunk: carrier}
  - {match: 8XN, trunk: carrier}
"""
GOOD = """
parts:
  begin:
    - dial: 1001
    - say: Nobody is here.
"""
TEST = """
tests:
  - test: Nobody answers
    replies: [busy]
    hears: [Nobody]
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a configuration and a folder of flows, and the command line in it."""
    (tmp_path / "etc" / "dialplan").mkdir(parents=True)
    (tmp_path / "etc" / "pbxd.yaml").write_text(CONFIG)
    flow(tmp_path, "desk.yaml", GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flow(house: Path, name: str, text: str) -> Path:
    path = house / "etc" / "dialplan" / name
    path.write_text(dedent(text))
    return path


def pbxd(*arguments: str) -> Exit:
    return act(build_parser(box.add_commands, flow_cli.add_commands).parse_args(["flow", *arguments]))


# ---- check


def test_check_needs_nothing(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("check") is Exit.DONE
    assert capsys.readouterr().out == "etc/dialplan is good: 1 flows, 2 steps\n"


def test_check_tells_everything_with_its_place(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "bad.yaml", "parts:\n  a:\n    - dial: 1009\n    - sya: x\n    - goto: b\n")
    flow(house, "desk.test.yaml", "tests:\n  - tets: x\n")
    flow(house, "none.test.yaml", TEST)
    assert pbxd("check") is Exit.MISTAKE
    assert capsys.readouterr().err.splitlines() == [
        "etc/dialplan/bad.yaml:3:13: parts.a.1.dial: there is no extension 1009 (did you mean 100?)",
        "etc/dialplan/bad.yaml:4:7: parts.a.2: there is no verb sya (did you mean say?)",
        "etc/dialplan/bad.yaml:5:13: parts.a.3.goto: there is no part b",
        "etc/dialplan/desk.test.yaml:2:5: tests.1.tets: unknown key (did you mean test?)",
        "etc/dialplan/desk.test.yaml:2:5: tests.1.test: is missing: what it proves, in words",
        "etc/dialplan/none.test.yaml: there is no flow none to test",
        "pbxd: 6 problems",
    ]


def test_check_of_one_file_speaks_of_it_alone(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "bad.yaml", "parts:\n  a:\n    - sya: x\n")
    assert pbxd("check", "etc/dialplan/desk.yaml") is Exit.DONE
    assert pbxd("check", "etc/dialplan/bad.yaml") is Exit.MISTAKE
    said = capsys.readouterr()
    assert said.out == "etc/dialplan/desk.yaml: good\n"
    assert said.err.splitlines()[-1] == "pbxd: 1 problem"


def test_a_file_from_elsewhere_stands_among_the_others(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = house / "new.yaml"
    assert pbxd("check", str(other)) is Exit.MISTAKE
    other.write_text("parts:\n  a:\n    - call: desk\n    - dial: 1009\n")
    assert pbxd("check", "new.yaml") is Exit.MISTAKE
    assert capsys.readouterr().err.splitlines() == [
        f"{other}: cannot be read: No such file or directory",
        "pbxd: 1 problem",
        "new.yaml:4:13: parts.a.2.dial: there is no extension 1009 (did you mean 100?)",
        "pbxd: 1 problem",
    ]
    other.write_text("parts:\n  a:\n    - call: desk\n    - dial: 1002\n")
    (house / "new.test.yaml").write_text(TEST.replace("replies: [busy]", "replies: [busy, busy]"))
    assert pbxd("check", "new.yaml") is Exit.DONE
    assert pbxd("test", "new.yaml") is Exit.DONE
    assert "new: 1 tests, 2 of 2 steps gone through" in capsys.readouterr().out
    assert pbxd("show", "new.yaml") is Exit.DONE


def test_check_for_machines(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "bad.yaml", "parts:\n  a:\n    - sya: x\n")
    assert pbxd("check", "--json") is Exit.MISTAKE
    assert json.loads(capsys.readouterr().out) == {
        "problems": [
            {
                "file": "etc/dialplan/bad.yaml",
                "line": 3,
                "column": 7,
                "key": "parts.a.1",
                "message": "there is no verb sya (did you mean say?)",
                "severity": "error",
            }
        ],
        "flows": 2,
    }


def test_a_warning_has_a_code_of_its_own_and_stops_nothing(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "warn.yaml", "variables: {x: 1}\nparts:\n  a:\n    - hangup\n")
    assert pbxd("check") is Exit.REFUSED
    assert capsys.readouterr().err.splitlines() == [
        "etc/dialplan/warn.yaml:1:16: variables.x: warning: nothing asks for the variable x",
        "pbxd: nothing wrong, 1 warning",
    ]
    assert pbxd("test") is Exit.DONE
    assert pbxd("show", "warn") is Exit.DONE


def test_what_the_configuration_says_the_house_has(house: Path) -> None:
    found = house_of(load(house / "etc" / "pbxd.yaml"))
    assert found.extensions == ["100", "1001", "1002", "1003", "201", "600"]
    assert found.mailboxes == ["1001", "1002", "1003", "201"]
    assert found.trunks == ["carrier"]
    numbers = ("01", "0123456", "00", "0", "852", "850", "8522", "1001")
    for leads in (found.dialable, found.routed):
        assert [number for number in numbers if leads(number)] == ["0123456", "852"]


def test_without_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pbxd.cli.INSTALLED_CONFIG", tmp_path / "none.yaml")
    assert pbxd("check") is Exit.MISTAKE
    assert "there is no etc/pbxd.yaml here: name it with --config, or --dialplan" in capsys.readouterr().err
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "a.yaml").write_text(GOOD)
    assert pbxd("check", "flows/a.yaml") is Exit.DONE
    assert pbxd("check", "--dialplan", "flows") is Exit.DONE


def test_a_bad_configuration_is_told(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (house / "etc" / "pbxd.yaml").write_text("nodee: x\n")
    assert pbxd("check") is Exit.MISTAKE
    assert "unknown key (did you mean node?)" in capsys.readouterr().err
    assert pbxd("check", "--dialplan", "etc/dialplan") is Exit.DONE, "the flows can be looked at by themselves"


def test_no_folder_at_all(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("check", "--dialplan", "nowhere") is Exit.MISTAKE
    assert "nowhere: cannot be read: No such file or directory" in capsys.readouterr().err


# ---- show, schema


def test_show(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("show", "desk") is Exit.DONE
    assert capsys.readouterr().out.startswith("flowchart TD\n")
    assert pbxd("show", "desk.yaml", "--svg", "desk.svg") is Exit.DONE
    assert (house / "desk.svg").read_text().startswith("<svg ")
    assert capsys.readouterr().out == "desk.svg: desk, 1 parts, 2 steps\n"
    assert pbxd("show", "desk", "--svg", "no/such/place.svg") is Exit.REFUSED
    assert pbxd("show", "dsk") is Exit.MISTAKE
    assert "there is no flow dsk in etc/dialplan (did you mean desk?)" in capsys.readouterr().err


def test_a_bad_flow_is_not_shown(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "bad.yaml", "parts:\n  a:\n    - sya: x\n")
    assert pbxd("show", "bad") is Exit.MISTAKE
    assert capsys.readouterr().err.splitlines() == [
        "etc/dialplan/bad.yaml:3:7: parts.a.1: there is no verb sya (did you mean say?)",
        "pbxd: the flow bad is not good",
    ]


def test_schema(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("schema") is Exit.DONE
    assert json.loads(capsys.readouterr().out)["title"] == "A call flow of pbxd"


# ---- run


def test_run(house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    flow(
        house,
        "ask.yaml",
        """
        variables: {who: nobody}
        parts:
          begin:
            - say: "It is ${time.clock}, ${caller.number}."
            - menu: Press 1.
              choices: {1: more}
              on_timeout: end
              on_invalid: end
          more:
            - tag: ${who}
    """,
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("busy\n1\n"))
    assert pbxd("run", "ask", "--caller", "1003", "--at", "2026-01-05 10:00", "--set", "who=Ann") is Exit.DONE
    assert capsys.readouterr().out.splitlines() == [
        "  ask/begin.1",
        "→ answer",
        "→ say “It is 10:00, 1003.”",
        "  ask/begin.2",
        "→ gather 1 digit “Press 1.”",
        "  [digits, failed, invalid, speech, timeout, hangup]? busy",
        "  busy cannot come of gather: digits, error, failed, hangup, invalid, speech, timeout",
        "  [digits, failed, invalid, speech, timeout, hangup]? 1",
        "  ask/more.1",
        "→ tag Ann",
        "→ hangup normal",
        "— completed",
    ]


def test_run_ends_with_its_input(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert pbxd("run", "desk") is Exit.DONE
    assert capsys.readouterr().out.endswith("— the input has ended\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("hangup\n"))
    assert pbxd("run", "desk") is Exit.DONE
    assert capsys.readouterr().out.endswith("— caller_left\n")


def test_run_ends_with_control_c(
    house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def readline(self) -> str:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Interrupted())
    assert pbxd("run", "desk") is Exit.DONE
    assert capsys.readouterr().out.endswith("— the input has ended\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "noon"], "noon is not a moment like 2026-11-23 10:00"),
        (["--set", "x"], "x is not NAME=VALUE"),
    ],
)
def test_run_with_mistakes(house: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("run", "desk", *arguments) is Exit.MISTAKE
    assert said in capsys.readouterr().err


# ---- test


def test_test(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pbxd("test") is Exit.DONE
    assert capsys.readouterr().out == "desk: no tests\n0 tests, 0 failed\n"
    flow(house, "desk.test.yaml", TEST)
    assert pbxd("test") is Exit.DONE
    assert capsys.readouterr().out == "desk: 1 tests, 2 of 2 steps gone through\n1 tests, 0 failed\n"


def test_a_test_that_fails(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "desk.test.yaml", TEST.replace("hears: [Nobody]", "hears: [Somebody]"))
    assert pbxd("test", "desk") is Exit.REFUSED
    said = capsys.readouterr()
    assert "  FAILED etc/dialplan/desk.test.yaml:3: Nobody answers\n" in said.out
    assert "nobody hears “Somebody”" in said.out
    assert said.err == "pbxd: 1 of 1 tests failed\n"
    assert pbxd("test", "--json") is Exit.REFUSED
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] == 1
    assert answer["tests"][0]["line"] == 3


def test_bad_flows_are_not_tested(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow(house, "desk.test.yaml", TEST)
    flow(house, "bad.yaml", "parts:\n  a:\n    - sya: x\n")
    assert pbxd("test") is Exit.MISTAKE
    assert "nothing was tested" in capsys.readouterr().err
    assert pbxd("test", "desk") is Exit.DONE
    assert pbxd("test", "bad") is Exit.MISTAKE


def test_the_samples_as_they_are_delivered() -> None:
    """With the real command, in the project's own directory."""
    for command in ("check", "test"):
        done = subprocess.run(
            [sys.executable, "-m", "pbxd", "flow", command], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "5 flows" in done.stdout or "28 tests, 0 failed" in done.stdout
