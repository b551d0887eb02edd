"""A flow as a picture in Mermaid: one box a step, parts around them, branches as arrows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from dialplan.flow import Flow, Step, key_of, part_of
from dialplan.graph import EXIT, ways_of
from dialplan.template import Template

MAX_TEXT = 40


def mermaid(flow: Flow) -> str:
    """A Mermaid flowchart. What can be read of it cannot change it: texts are quoted and cut."""
    numbers = {step_id: f"s{number}" for number, step_id in enumerate(flow.steps, 1)}
    lines = ["flowchart TD"]
    for number, (part, inside) in enumerate(by_part(flow).items(), 1):
        lines.append(f'    subgraph p{number}["{part}"]')
        lines += [f'        {numbers[step.id]}["{_quoted(label(step))}"]' for step in inside]
        lines.append("    end")
    lines.append('    e(["end"])')
    lines += _arrows(flow, numbers)
    return "\n".join(lines) + "\n"


def _arrows(flow: Flow, numbers: dict[str, str]) -> Iterator[str]:
    for step_id, ways in ways_of(flow).items():
        merged: dict[str, list[str]] = {}
        for way in ways:
            merged.setdefault("e" if way.to == EXIT else numbers[way.to], []).append(way.label)
        for to, labels in merged.items():
            said = ", ".join(filter(None, labels))
            arrow = f'-->|"{_quoted(said)}"|' if said else "-->"
            yield f"    {numbers[step_id]} {arrow} {to}"
        if not ways:
            yield f"    {numbers[step_id]} --> e"


def by_part(flow: Flow) -> dict[str, list[Step]]:
    """The steps of each part, in the order of the file."""
    parts: dict[str, list[Step]] = {part: [] for part in flow.parts}
    for step in sorted(flow.steps.values(), key=lambda step: step.mark):
        parts[step.part].append(step)
    return parts


def label(step: Step) -> str:
    """A step in a few words: its verb and its main setting."""
    verb = step.verb
    for one in fields(verb):
        if one.metadata["main"]:
            said = _words(getattr(verb, one.name))
            return f"{verb.word} {said}".strip()
    return key_of(verb.word)


def _words(value: object) -> str:
    if isinstance(value, Template):
        text = " ".join(value.text.split())
    elif isinstance(value, tuple):
        text = ", ".join(filter(None, (_words(item) for item in value)))
    elif isinstance(value, dict):
        text = ", ".join(value)
    elif hasattr(value, "say") and hasattr(value, "play"):
        text = _words(value.say or value.play)
    elif hasattr(value, "to"):
        text = part_of(str(value.to))
    else:
        text = str(getattr(value, "text", "" if value is None else value))
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _quoted(text: str) -> str:
    """Mermaid's own escapes; nothing in a text may end its quotes or begin a tag."""
    marks = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "`": "#96;", "\n": " "}
    return "".join(marks.get(sign, sign) for sign in text)
