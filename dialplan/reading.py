"""A file's tree to steps: each key by its kind, every mistake noted with its place, none of them the end of reading."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from dialplan.command import SpokenAs
from dialplan.flow import NEXT, WORDS, Branch, Prompt, PromptItem, Step, Verb, first_step, setting
from dialplan.kinds import (
    NAME,
    ChoiceKind,
    Kind,
    Language,
    MapKind,
    NameKind,
    Text,
    Voice,
    Wrong,
    parsed_template,
    scalar,
    shown,
)
from dialplan.kinds import Reading as KindReading
from dialplan.problem import MAX_PROBLEMS, Mark, Problem, suggestion
from dialplan.spec import Setting, settings_of
from dialplan.tree import Items, Node, Pair, Pairs, Scalar
from dialplan.verbs import UNBUILT, VERBS

T = TypeVar("T")
MAX_STEPS = 50_000
STEP_WORDS = tuple(VERBS)
_ID = re.compile(r"[A-Za-z0-9_*#-]{1,40}")


@dataclass(frozen=True, slots=True)
class PartReference:
    """A branch that names a part, to be looked for when all parts are known."""

    part: str
    mark: Mark
    key: str


@dataclass(slots=True)
class FileReading:
    """What was found in one file so far."""

    file: str
    steps: dict[str, Step] = field(default_factory=dict)
    references: list[PartReference] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)  # of each value, by its key
    variables: set[str] = field(default_factory=set)  # all that anything gives a value, in steps with mistakes too
    full: bool = False

    @property
    def enough(self) -> bool:
        """There are more mistakes than anybody reads."""
        return len(self.problems) > MAX_PROBLEMS

    def complain(self, mark: Mark, key: str, message: str) -> None:
        if len(self.problems) == MAX_PROBLEMS:
            key, message = "", f"there are more than {MAX_PROBLEMS} mistakes; the rest is not listed"
        elif self.enough:
            return
        self.problems.append(Problem(self.file, mark, key.lstrip("."), message))

    def read_steps(self, node: Node, place: str, after: str | None) -> str | None:
        """Read a list of steps as `place.1`, `place.2` …, the last followed by `after`. Gives the id of the first."""
        key = f"parts.{place}"
        if not isinstance(node, Items):
            self.complain(node.mark, key, f"must be a list of steps, each after a '-', not {shown(node)}")
            return None
        if not node.items:
            self.complain(node.mark, key, "has no steps")
            return None
        for index, item in enumerate(node.items, 1):
            following = f"{place}.{index + 1}" if index < len(node.items) else after
            self._step(item, f"{place}.{index}", following)
        return f"{place}.1"

    def _step(self, node: Node, step_id: str, after: str | None) -> None:
        if self.enough:
            return
        if len(self.steps) >= MAX_STEPS:
            if not self.full:
                self.complain(node.mark, f"parts.{step_id}", f"a flow has {MAX_STEPS} steps at most")
            self.full = True
            return
        before = len(self.problems)
        verb = self._verb(node, step_id, after)
        if verb is None or len(self.problems) > before:  # no half a step
            return
        if mistake := verb.wrong():
            self.complain(node.mark, f"parts.{step_id}", f"{verb.word}: {mistake}")
        self.steps[step_id] = Step(step_id, verb, node.mark, after)

    def _verb(self, node: Node, step_id: str, after: str | None) -> Verb | None:
        key = f"parts.{step_id}"
        if isinstance(node, Scalar) and not node.empty:
            node = Pairs(node.mark, [Pair(node.mark, node.text.strip(), Scalar(node.mark, "", plain=True))])
        if not isinstance(node, Pairs):
            self.complain(node.mark, key, f"a step is a verb and its settings, such as `say: Hello`, not {shown(node)}")
            return None
        found = [pair for pair in node.pairs if pair.key in VERBS]
        if len(found) == 1:
            reading = Reading(self, key, step_id, step_id, after)
            return reading.shape(node, VERBS[found[0].key], found[0].key)
        if len(found) > 1:
            words = " and ".join(pair.key for pair in found)
            self.complain(
                found[1].mark, key, f"{words} stand in one step; each step has one verb, after a '-' of its own"
            )
            return None
        self._no_verb(node, key)
        return None

    def _no_verb(self, node: Pairs, key: str) -> None:
        for pair in node.pairs:
            if pair.key in UNBUILT:
                self.complain(pair.mark, key, f"{pair.key} cannot be used: {UNBUILT[pair.key]}")
                return
        first = node.pairs[0] if node.pairs else None
        if first is None:
            self.complain(node.mark, key, "an empty step")
            return
        near = suggestion(first.key, STEP_WORDS)
        self.complain(first.mark, key, f"there is no verb {first.key[:40]}{near}")


@dataclass(frozen=True, slots=True)
class PromptShape:
    """One item of a prompt, where it is more than a text."""

    play: Text | None = setting("a recorded prompt", None)
    say: Text | None = setting("words to be said", None)
    as_: SpokenAs = setting("how they are said", SpokenAs.TEXT)
    voice: Voice | None = setting("another voice than the flow's", None)
    language: Language | None = setting("another language than the flow's", None)


@dataclass(frozen=True, slots=True)
class Reading:
    """The place where one key is read: `key` for people, `place` for the ids of steps in it. What a kind asks for."""

    file: FileReading
    key: str
    place: str
    step_id: str = ""
    after: str | None = None

    def inside(self, key: str, node: Node, kind: Kind) -> Any:
        """Read what stands under `key`; a mistake is noted, and None given."""
        within = replace(self, key=f"{self.key}.{key}", place=f"{self.place}.{_id_of(key)}")
        self.file.marks[within.key.lstrip(".")] = node.mark
        if isinstance(kind, MapKind) and kind.pattern is NAME and isinstance(node, Pairs):
            self.file.variables.update(pair.key for pair in node.pairs)
        if isinstance(kind, NameKind) and isinstance(node, Scalar):
            self.file.variables.add(node.text)
        try:
            return kind.read(node, within)
        except Wrong as wrong:
            self.file.complain(wrong.mark or node.mark, within.key, str(wrong))
            return None

    def complain(self, mark: Mark, message: str, key: str = "") -> None:
        """Note a mistake, of what stands here or under `key` in it, that is not the end of reading."""
        self.file.complain(mark, f"{self.key}.{key}".rstrip("."), message)

    def part(self, name: str, node: Node) -> None:
        """The steps of a part."""
        self.file.read_steps(node, name, None)

    def branch(self, node: Node) -> Branch:
        """A part, one of the words, or steps that stand here."""
        if isinstance(node, Items):
            first = self.file.read_steps(node, self.place, self.after)
            return Branch(first) if first else NEXT
        text = scalar(node, "the name of a part, or a list of steps")
        if text in WORDS:
            return Branch(text)
        self.file.references.append(PartReference(text, node.mark, self.key))
        return Branch(first_step(text))

    def body(self, node: Node) -> Branch:
        """Steps that come back to the step they stand in."""
        first = self.file.read_steps(node, self.place, self.step_id)
        return Branch(first) if first else NEXT

    def prompt(self, node: Node) -> Prompt:
        """A text, one item, or a list of both."""
        if isinstance(node, Items) and node.items:
            kind = _PromptItemKind()
            items = [self.inside(str(index), item, kind) for index, item in enumerate(node.items, 1)]
            return tuple(item for item in items if item)
        return (_PromptItemKind().read(node, self),)

    def shape(self, node: Node, shape: type[T], main: str | None = None) -> T:
        """A mapping as the dataclass `shape`; `main` is the key of its main field. Raises Wrong when it is no
        mapping."""
        if not isinstance(node, Pairs):
            raise Wrong(f"must be a mapping (key: value), not {shown(node)}")
        known = {one.key if not one.main else str(main): one for one in settings_of(shape)}
        if main is not None and main not in known:
            known[main] = _NO_MAIN
        values: dict[str, Any] = {}
        for pair in node.pairs:
            said = known.get(pair.key)
            if said is None:
                self.file.complain(pair.mark, f"{self.key}.{pair.key}", _unknown(pair.key, main, known))
            elif said is _NO_MAIN:
                self._nothing(pair)
            else:
                values[said.field] = self._value(pair, said)
        given = {pair.key for pair in node.pairs}
        for key, one in known.items():
            if one.required and key not in given:
                self.file.complain(node.mark, f"{self.key}.{key}", f"is missing: {one.about}")
                values[one.field] = None
        return shape(**values)

    def _value(self, pair: Pair, said: Setting) -> Any:
        if isinstance(pair.value, Scalar) and pair.value.empty and not said.required and not _takes_null(said):
            return said.default
        before = len(self.file.problems)
        value = self.inside(pair.key, pair.value, said.kind)
        if said.main and isinstance(pair.value, Pairs) and len(self.file.problems) > before and self.step_id:
            last = self.file.problems[-1]
            if last.key == f"{self.key}.{pair.key}":
                hint = f"{last.message}; the settings of {pair.key} stand beside it, not under it"
                self.file.problems[-1] = replace(last, message=hint)
        return value

    def _nothing(self, pair: Pair) -> None:
        if not (isinstance(pair.value, Scalar) and pair.value.empty):
            self.file.complain(pair.value.mark, f"{self.key}.{pair.key}", "takes nothing behind it")


@dataclass(frozen=True, slots=True)
class _PromptItemKind:
    name: str = "prompt"

    def read(self, node: Node, reading: KindReading) -> PromptItem:
        if not isinstance(node, Pairs):
            return PromptItem(None, parsed_template(scalar(node, "a text, or play: NAME"), node))
        found = reading.shape(node, PromptShape)
        if (found.play is None) is (found.say is None):
            raise Wrong("a prompt is either `play: NAME` or `say: TEXT`")
        return PromptItem(found.play, found.say, found.voice, found.language, found.as_)

    def schema(self) -> dict[str, Any]:
        return {"$ref": "#/$defs/prompt"}


_NO_MAIN = Setting("", "", ChoiceKind(SpokenAs), "", main=True, required=False, default=None)


def _takes_null(said: Setting) -> bool:
    return said.field == "return_"


def _unknown(key: str, main: str | None, known: Iterable[str]) -> str:
    owner = f" of {main}" if main else ""
    near = suggestion(key, known)
    others = ", ".join(name for name in known if name != main)
    return f"unknown key{owner}{near}" if near else f"unknown key{owner}; there are {others or 'none'}"


def _id_of(key: str) -> str:
    """A key as it stands in the id of a step: one that is no word by its digest."""
    return key if _ID.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()[:8]
