"""Reading a whole file: every mistake at once, every value with its source."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialplan.tree import MAX_BYTES
from pbxd.config import Config, ConfigError, Source, SourceKind, load
from pbxd.config.tree import read

VECTORS = Path(__file__).parent.parent / "vectors" / "config"


def problems(path: Path, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem).replace(str(path), "FILE") for problem in caught.value.problems]


def written(directory: Path, text: str) -> Path:
    path = directory / "pbxd.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_file_is_told_all_its_mistakes(path: Path) -> None:
    assert problems(path) == path.with_suffix(".txt").read_text().splitlines()


def test_every_vector_says_what_it_expects() -> None:
    assert {path.stem for path in VECTORS.glob("*.yaml")} == {path.stem for path in VECTORS.glob("*.txt")}


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, "# nothing\n")).model_dump() == Config().model_dump()


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml") == ["FILE: cannot be read: No such file or directory"]
    (tmp_path / "latin.yaml").write_bytes(b"node: caf\xe9\n")
    assert problems(tmp_path / "latin.yaml") == ["FILE: is not UTF-8 text (byte 9)"]


def test_a_file_larger_than_any_configuration_is_refused(tmp_path: Path) -> None:
    assert problems(written(tmp_path, "#" * (MAX_BYTES + 1))) == ["FILE: the file is longer than 4 MiB"]


def test_a_file_deeper_than_any_configuration_is_refused(tmp_path: Path) -> None:
    assert problems(written(tmp_path, "a: " + "[" * 100_000)) == ["FILE: line 1 is nested deeper than 32 levels"]


def test_anchors_and_merges_are_expanded(tmp_path: Path) -> None:
    text = """
phones:
  "201": &usual {password: correct-horse, name: Usual}
  "202": {<<: *usual, name: Another}
  "203": *usual
"""
    phones = load(written(tmp_path, text)).phones
    assert {number: phone.name for number, phone in phones.items()} == {
        "201": "Usual",
        "202": "Another",
        "203": "Usual",
    }
    assert phones["202"].password.get_secret_value() == "correct-horse"


def test_a_key_is_its_text(tmp_path: Path) -> None:
    text = "phones:\n  0600: {password: correct-horse}\n  1e3#: {password: correct-horse}\n"
    assert problems(written(tmp_path, text)) == ["FILE:3: phones.1e3#: a number is 1 to 32 of the signs 0-9 * # +"]
    assert list(load(written(tmp_path, text.replace("1e3#", "1#"))).phones) == ["0600", "1#"]


def test_overrides_win_and_are_named_as_the_source(tmp_path: Path) -> None:
    path = written(tmp_path, "node: house\nsip:\n  max_connections: 10\n")
    config = load(path, ["sip.max_connections=20", "calls.max=5", 'sip.udp=["127.0.0.1:0"]'])
    assert (config.node, config.sip.max_connections, config.calls.max) == ("house", 20, 5)
    assert [str(address) for address in config.sip.udp] == ["127.0.0.1:0"]
    assert config.source("node") == Source(SourceKind.FILE, f"{path}:1")
    assert config.source("sip.max_connections") == Source(SourceKind.SET, "--set sip.max_connections")
    assert config.source("sip.tcp") == Source(SourceKind.DEFAULT)


def test_an_override_replaces_what_the_file_says_below_it(tmp_path: Path) -> None:
    path = written(tmp_path, "extensions:\n  '600': {echo: true}\n  '601': {echo: true}\n")
    config = load(path, ['extensions={"700": {echo: true}}'])
    assert list(config.extensions) == ["700"]
    assert config.source("extensions.601").kind is SourceKind.DEFAULT
    assert list(load(path, ["extensions.602.echo=true"]).extensions) == ["600", "601", "602"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("calls.max", "--set calls.max: an override is written --set a.b.c=VALUE"),
        ("=5", "--set =5: an override is written --set a.b.c=VALUE"),
        ("node.name=x", "--set node.name: the key goes through something that is not a mapping"),
        ("calls.max=many", "--set calls.max: must be a whole number, not 'many'"),
        ("calls.maxx=1", "--set calls.maxx: unknown key (did you mean max?)"),
        ("calls.max=[1", "--set calls.max: not YAML: while parsing a flow sequence did not find expected ',' or ']'"),
    ],
)
def test_a_bad_override_is_a_problem_of_its_own(tmp_path: Path, override: str, expected: str) -> None:
    assert expected in problems(written(tmp_path, "node: house\n"), (override,))


def test_file_and_override_problems_come_together_in_order(tmp_path: Path) -> None:
    found = problems(written(tmp_path, "node: 5\ncalls: {max: 0}\n"), ("rtp.ports=1-2",))
    assert [problem.partition(": ")[0] for problem in found] == ["FILE:1", "FILE:2", "--set rtp.ports"]


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    path = written(tmp_path, "phones:\n  '201': {password: qwertz}\n  '202': {password: [hidden-in-a-list]}\n")
    text = "\n".join(problems(path))
    assert "201.password" in text
    assert "qwertz" not in text
    assert "hidden" not in text
    config = load(written(tmp_path, "phones:\n  '201': {password: correct-horse}\n"))
    assert "horse" not in repr(config)
    assert "horse" not in config.model_dump_json()


@given(st.text(alphabet="ab:{}[]&*!<- \n\"'#|>?%@,0x", max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    tree = read(text, "fuzz")
    assert tree.problems or isinstance(tree.value, dict | list | str | int | float | bool | type(None))
    assert all(problem.where.startswith("fuzz") for problem in tree.problems)
