"""The language and its flows as others see them: JSON Schema, the manual's tables, Mermaid, SVG."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from dialplan.diagram import mermaid
from dialplan.flow import Flow
from dialplan.functions import FUNCTIONS
from dialplan.load import SCHEDULES_FILE
from dialplan.manual import manual
from dialplan.picture import svg
from dialplan.schema import schema
from dialplan.spec import settings_of
from dialplan.verbs import VERBS
from tests.dialplan.calling import PROJECT, SAMPLES, drafts, library, samples

VECTORS = PROJECT / "tests" / "vectors" / "flows"
GOOD = [
    path
    for folder in (SAMPLES, VECTORS / "good")
    for path in sorted(folder.glob("*.yaml"))
    if path.name != SCHEDULES_FILE and not path.name.endswith(".test.yaml")
]
# What an editor can see by itself; the rest (parts, circles, expressions) takes the whole flow.
SEEN_BY_SCHEMA = ["a_list", "missing", "unknown_keys", "unknown_verbs", "wrong_kinds", "parts_that_are_none"]


def as_editors_see(path: Path) -> Any:
    """YAML 1.2 as editors read it; keys are texts."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text()), default=str))


def complaints(path: Path) -> list[str]:
    validator = jsonschema.Draft202012Validator(schema())
    return [error.json_path for error in validator.iter_errors(as_editors_see(path))]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert json.loads(json.dumps(schema())) == schema()


def test_the_schema_beside_the_samples_is_the_one() -> None:
    """Made by `pbxd flow schema > etc/dialplan/flow.schema.json`; the samples name it in their first line."""
    assert json.loads((SAMPLES / "flow.schema.json").read_text()) == schema()
    for path in SAMPLES.glob("*.yaml"):
        first = path.read_text().partition("\n")[0]
        named = first == "# yaml-language-server: $schema=flow.schema.json"
        assert named is (path in GOOD), path


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_flows_are_good_for_the_schema(path: Path) -> None:
    assert complaints(path) == []


@pytest.mark.parametrize("name", SEEN_BY_SCHEMA)
def test_bad_flows_are_bad_for_the_schema(name: str) -> None:
    assert complaints(VECTORS / "bad" / f"{name}.yaml") != []


def test_the_schema_describes_every_verb_and_setting() -> None:
    steps = {one["title"]: one for one in schema()["$defs"]["step"]["oneOf"] if "title" in one}
    assert set(steps) == set(VERBS)
    for word, verb in VERBS.items():
        keys = {word} | {one.key for one in settings_of(verb) if not one.main}
        assert set(steps[word]["properties"]) == keys
        assert all(
            one.get("description") for key, one in steps[word]["properties"].items() if one != {"type": "null"}
        ), word


# ---- the manual


def test_the_readme_has_the_tables_of_the_language() -> None:
    """Made by `python -c "from dialplan.manual import manual; print(manual())"`; it stands in README between marks."""
    text = (PROJECT / "README.md").read_text()
    found = re.search(r"<!-- flows: begin -->\n(.*?)<!-- flows: end -->", text, re.DOTALL)
    assert found is not None
    assert found[1] == manual()


def test_the_manual_has_every_verb_and_function() -> None:
    text = manual()
    assert all(f"**`{word}`**" in text for word in VERBS)
    assert all(f"| `{name}` |" in text for name in FUNCTIONS)
    rows = [re.sub(r"\\\|", "", line) for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {3, 4, 5}


def test_the_flows_in_the_readme_are_good() -> None:
    text = (PROJECT / "README.md").read_text()
    section = text[text.index("## Call flows") :]
    section = section[: section.index("\n## ", 5)]
    examples = [block for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL) if block.startswith("parts:")]
    assert examples
    for example in examples:
        library(example=example)


# ---- pictures


def flow_of(text: str) -> Flow:
    flow = drafts(main=text).flows["main"].flow
    assert flow is not None
    return flow


def test_mermaid_of_a_sample() -> None:
    flow = samples().flows["reception"].flow
    assert flow is not None
    lines = mermaid(flow).splitlines()
    assert lines[0] == "flowchart TD"
    assert '        s1["menu Welcome. For our opening hours, press 1…"]' in lines
    assert '    s1 -->|"1"| s2' in lines
    assert '    s1 -->|"timeout, invalid"| s10' in lines
    assert '    s4 -->|"answered"| e' in lines
    assert "    s11 --> e" in lines


HOSTILE = """
    title: "</title><script>alert(1)</script>"
    parts:
      a:
        - say: 'x"]; click s1 "javascript:alert(1)" <b>`#${caller.name}'
        - switch: caller.name
          cases: {'a"|b<c>': b}
          default: end
      b:
        - hangup
"""


def test_no_text_becomes_markup() -> None:
    drawn = mermaid(flow_of(HOSTILE))
    assert 's1["say x#quot;]; click s1 #quot;javascript:alert(1)#quot; #lt;b#gt;…"]' in drawn
    assert '-->|"a#quot;|b#lt;c#gt;"|' in drawn
    picture = svg(flow_of(HOSTILE))
    assert "<script" not in picture
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", ["reception", "after-hours", "support", "night-switch"])
def test_svg_shows_every_part_and_branch(name: str) -> None:
    flow = samples().flows[name].flow
    assert flow is not None
    root = ElementTree.fromstring(svg(flow))
    space = "{http://www.w3.org/2000/svg}"
    texts = ["".join(text.itertext()) for text in root.iter(f"{space}text")]
    assert [part for part in flow.parts if part not in texts] == []
    assert len(list(root.iter(f"{space}rect"))) == 2 * len(flow.parts)
    arrows = len(list(root.iter(f"{space}path"))) - 1
    assert arrows >= len(flow.parts) - 1, "each part but the first is led to"
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for text in root.iter(f"{space}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height


def test_a_large_flow_is_drawn_in_time() -> None:
    parts = "\n".join(f"  p{n}:\n    - say: Step {n}.\n    - goto: p{n + 1}" for n in range(4999))
    flow = flow_of(f"parts:\n{parts}\n  p4999:\n    - goto: end\n")
    assert mermaid(flow).count("\n") > 10_000
    assert svg(flow).count("<rect") == 1000, "so many cards are enough for one picture"
