"""What may stand behind a key: each kind reads it from the file, describes it as JSON Schema, and names it for the
manual.

A verb's field says its kind by its type: `Seconds`, `Text`, `Branch`, `tuple[Text, ...]`, an Enum.
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin

from dialplan.expr import Expression, ExpressionError
from dialplan.flow import Branch, Prompt
from dialplan.pattern import Pattern
from dialplan.problem import Mark, suggestion
from dialplan.template import Template
from dialplan.tree import Items, Node, Pairs, Scalar
from dialplan.values import MAX_PARTS, Value

JsonSchema = dict[str, Any]
T = TypeVar("T")
MAX_LIST = 1000
NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PRESSED = re.compile(r"[0-9*#]{1,16}")
_CASE = re.compile(r"[\s\S]{0,200}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_RULE = "a header is letters, digits and '-'"
_NAME_RULE = "a variable is small letters, digits and '_', the first a letter"
_DURATION = re.compile(r"(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5}(?:\.[0-9]{1,3})?)s)?(?:([0-9]{1,5})ms)?")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,9})?")
_HTTP = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(?:[/?].*)?", re.DOTALL)
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Wrong(Exception):
    """A value is not what its key takes. Without a mark it is the value's own."""

    def __init__(self, message: str, mark: Mark | None = None) -> None:
        super().__init__(message)
        self.mark = mark


class Reading(Protocol):
    """What a kind needs of whoever reads the file: to read steps inside of it, and to tell of more than one mistake."""

    def branch(self, node: Node) -> Branch: ...
    def body(self, node: Node) -> Branch: ...
    def prompt(self, node: Node) -> Prompt: ...
    def inside(self, key: str, node: Node, kind: Kind) -> Any: ...
    def shape(self, node: Node, shape: type[T]) -> T: ...
    def part(self, name: str, node: Node) -> None: ...
    def complain(self, mark: Mark, message: str, key: str = "") -> None: ...


class Kind(Protocol):
    """One kind of value. `read` raises Wrong."""

    @property
    def name(self) -> str: ...
    def read(self, node: Node, reading: Reading) -> Any: ...
    def schema(self) -> JsonSchema: ...


def scalar(node: Node, wanted: str) -> str:
    """The text of a scalar that is there. Raises Wrong."""
    if isinstance(node, Scalar) and not node.empty:
        return node.text
    raise Wrong(f"must be {wanted}, not {shown(node)}")


def shown(node: Node) -> str:
    """A value as it is named in a complaint."""
    if isinstance(node, Pairs):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.empty:
        return "empty"
    return node.text if len(node.text) <= 40 else node.text[:37] + "..."


@dataclass(frozen=True, slots=True)
class TextKind:
    """Any text, with `${…}` in it."""

    name: str = "text"

    def read(self, node: Node, reading: Reading) -> Template:
        return parsed_template(scalar(node, "text"), node)

    def schema(self) -> JsonSchema:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class UrlKind:
    """An address on the web. The host is fixed; what `${…}` puts in behind it is escaped."""

    name: str = "URL"

    def read(self, node: Node, reading: Reading) -> Template:
        template = parsed_template(scalar(node, "a URL"), node)
        begin = template.pieces[0] if template.pieces else ""
        host_only = template.literal is not None
        if not isinstance(begin, str) or not _HTTP.fullmatch(begin):
            raise Wrong("must begin with http:// or https:// and the name of a host, without ${ } in it")
        if not host_only and not re.match(r"https?://[^/?]+[/?]", begin):
            raise Wrong("what ${ } puts in must stand behind the host and a / or ?")
        return template

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": "^https?://"}


@dataclass(frozen=True, slots=True)
class ExpressionKind:
    """A condition or a calculation, without `${ }` around it."""

    name: str = "expression"

    def read(self, node: Node, reading: Reading) -> Expression:
        text = scalar(node, "an expression")
        if text.startswith("${") and text.endswith("}"):
            raise Wrong("an expression stands here without ${ } around it")
        try:
            return Expression.parse(text)
        except ExpressionError as error:
            raise Wrong(str(error), _at(node, error.at)) from None

    def schema(self) -> JsonSchema:
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class NameKind:
    """The name of a variable."""

    name: str = "variable"

    def read(self, node: Node, reading: Reading) -> str:
        return variable_name(scalar(node, "the name of a variable"))

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": f"^{NAME.pattern}$"}


@dataclass(frozen=True, slots=True)
class WordKind:
    """The name of something outside: a flow, a schedule, a voice."""

    name: str

    def read(self, node: Node, reading: Reading) -> str:
        text = scalar(node, f"the name of a {self.name}")
        if not WORD.fullmatch(text):
            raise Wrong(f"{shown(node)} is no name: letters, digits, '-' and '_', 63 at most")
        return text

    def schema(self) -> JsonSchema:
        return {"type": ["string", "integer"]}


@dataclass(frozen=True, slots=True)
class DurationKind:
    """A time: seconds, or `500ms`, `90s`, `2m`, `1m30s`, `1h`."""

    least: float
    most: float
    name: str = "time"

    def read(self, node: Node, reading: Reading) -> float:
        text = scalar(node, "a time like 20s or 2m")
        seconds = parse_duration(text)
        if seconds is None:
            raise Wrong(f"{shown(node)} is not a time like 20s, 2m or 1m30s")
        if not self.least <= seconds <= self.most:
            raise Wrong(f"must be from {shown_duration(self.least)} to {shown_duration(self.most)}")
        return seconds

    def schema(self) -> JsonSchema:
        return {
            "anyOf": [
                {"type": "number", "minimum": self.least, "maximum": self.most},
                {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9.]+s)?([0-9]+ms)?$"},
            ]
        }


@dataclass(frozen=True, slots=True)
class CountKind:
    """A whole number."""

    least: int
    most: int
    name: str = "number"

    def read(self, node: Node, reading: Reading) -> int:
        text = scalar(node, "a whole number")
        if not (text.isascii() and text.isdecimal() and len(text) <= 9):
            raise Wrong(f"must be a whole number, not {shown(node)}")
        if not self.least <= int(text) <= self.most:
            raise Wrong(f"must be from {self.least} to {self.most}")
        return int(text)

    def schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class TruthKind:
    """true or false; yes and no are the same."""

    name: str = "yes or no"

    def read(self, node: Node, reading: Reading) -> bool:
        text = scalar(node, "true or false").lower()
        if text not in _TRUTH:
            raise Wrong(f"must be true or false, not {shown(node)}")
        return _TRUTH[text]

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class ChoiceKind:
    """One of a few words."""

    words: type[StrEnum]

    @property
    def name(self) -> str:
        return ", ".join(self.words)

    def read(self, node: Node, reading: Reading) -> StrEnum:
        text = scalar(node, f"one of {self.name}")
        if text not in set(self.words):
            raise Wrong(f"must be one of {self.name}{suggestion(text, self.words)}")
        return self.words(text)

    def schema(self) -> JsonSchema:
        return {"enum": [word.value for word in self.words]}


@dataclass(frozen=True, slots=True)
class PatternKind:
    """A regular expression for the whole of what was entered."""

    name: str = "pattern"

    def read(self, node: Node, reading: Reading) -> Pattern:
        try:
            return Pattern.parse(scalar(node, "a pattern"))
        except ValueError as error:
            raise Wrong(f"is not a pattern: {error}") from None

    def schema(self) -> JsonSchema:
        return {"type": "string"}


@dataclass(frozen=True, slots=True)
class SignsKind:
    """Keys of a phone: `#`, `*#`, or nothing."""

    name: str = "keys"

    def read(self, node: Node, reading: Reading) -> str:
        text = node.text if isinstance(node, Scalar) and not (node.empty and node.text) else scalar(node, "keys")
        if not re.fullmatch(r"[0-9*#A-D]{0,16}", text):
            raise Wrong(f"{shown(node)} are not keys of a phone: 0-9 * #")
        return text

    def schema(self) -> JsonSchema:
        return {"type": ["string", "integer"]}


@dataclass(frozen=True, slots=True)
class PlainKind:
    """Any value, nested as it likes; texts may hold `${…}`, and one that is nothing else keeps its kind."""

    name: str = "value"
    templates: bool = True

    def read(self, node: Node, reading: Reading) -> Plain:
        if node.size > MAX_PARTS:
            raise Wrong(f"holds more than {MAX_PARTS} values")
        if isinstance(node, Pairs):
            return {pair.key: reading.inside(pair.key, pair.value, self) for pair in node.pairs}
        if isinstance(node, Items):
            return [reading.inside(str(index), item, self) for index, item in enumerate(node.items, 1)]
        if not self.templates and "${" in node.text:
            raise Wrong("${ } has no place here: this is said before any call begins")
        if self.templates and "${" in node.text:
            return parsed_template(node.text, node)
        return plain_value(node) if node.plain else node.text

    def schema(self) -> JsonSchema:
        return {}


@dataclass(frozen=True, slots=True)
class PromptKind:
    """What is heard: a text to be said, `play: NAME` for a recorded prompt, or a list of both."""

    name: str = "prompt"

    def read(self, node: Node, reading: Reading) -> Prompt:
        return reading.prompt(node)

    def schema(self) -> JsonSchema:
        return {"$ref": "#/$defs/prompt"}


@dataclass(frozen=True, slots=True)
class BranchKind:
    """Where to go on: the name of a part, one of `next`, `end`, `hangup`, or a list of steps."""

    name: str = "where to go"

    def read(self, node: Node, reading: Reading) -> Branch:
        return reading.branch(node)

    def schema(self) -> JsonSchema:
        return {"$ref": "#/$defs/branch"}


@dataclass(frozen=True, slots=True)
class BodyKind:
    """Steps that come back here at their end."""

    name: str = "steps"

    def read(self, node: Node, reading: Reading) -> Branch:
        return reading.body(node)

    def schema(self) -> JsonSchema:
        return {"$ref": "#/$defs/steps"}


@dataclass(frozen=True, slots=True)
class ListKind:
    """One or several; one needs no brackets."""

    item: Kind

    @property
    def name(self) -> str:
        return f"{self.item.name}, or a list"

    def read(self, node: Node, reading: Reading) -> tuple[Any, ...]:
        if not isinstance(node, Items):
            return (self.item.read(node, reading),)
        if not node.items:
            raise Wrong("is an empty list")
        if len(node.items) > MAX_LIST:
            raise Wrong(f"has more than {MAX_LIST} entries")
        return tuple(reading.inside(str(index), item, self.item) for index, item in enumerate(node.items, 1))

    def schema(self) -> JsonSchema:
        return {"anyOf": [self.item.schema(), {"type": "array", "items": self.item.schema(), "minItems": 1}]}


@dataclass(frozen=True, slots=True)
class MapKind:
    """A mapping; `keys` says what its keys are, `pattern` and `rule` how they are written."""

    item: Kind
    keys: str
    pattern: re.Pattern[str]
    rule: str = ""
    most: int = 1000

    @property
    def name(self) -> str:
        return f"{self.keys}: {self.item.name}"

    def read(self, node: Node, reading: Reading) -> Mapping[str, Any]:
        if not isinstance(node, Pairs) or not node.pairs:
            raise Wrong(f"must be a mapping ({self.name}), not {shown(node)}")
        if len(node.pairs) > self.most:
            raise Wrong(f"has more than {self.most} entries")
        found = {}
        for pair in node.pairs:
            if not self.pattern.fullmatch(pair.key):
                reading.complain(pair.mark, f"{pair.key[:40]}: {self.rule}")
                continue
            found[pair.key] = reading.inside(pair.key, pair.value, self.item)
        return found

    def schema(self) -> JsonSchema:
        items = {f"^({self.pattern.pattern})$": self.item.schema()}
        return {"type": "object", "patternProperties": items, "additionalProperties": False, "minProperties": 1}


Plain = Value | Template | list["Plain"] | dict[str, "Plain"]

Text = Annotated[Template, TextKind()]
Url = Annotated[Template, UrlKind()]
Condition = Annotated[Expression, ExpressionKind()]
Variable = Annotated[str, NameKind()]
FlowName = Annotated[str, WordKind("flow")]
ScheduleName = Annotated[str, WordKind("schedule")]
TrunkName = Annotated[str, WordKind("trunk")]
Voice = Annotated[str, WordKind("voice")]
Language = Annotated[str, WordKind("language")]
Keys = Annotated[str, SignsKind()]
Steps = Annotated[Branch, BodyKind()]
Said = Annotated[Prompt, PromptKind()]
Shape = Annotated[Pattern, PatternKind()]
Anything = Annotated[Any, PlainKind()]
Choices = Annotated[
    Mapping[str, Branch], MapKind(BranchKind(), "keys to press", _PRESSED, "a caller can press 0-9 * #")
]
Cases = Annotated[Mapping[str, Branch], MapKind(BranchKind(), "value", _CASE, "a value is 200 signs at most")]
Values = Annotated[Mapping[str, Any], MapKind(PlainKind(), "variable", NAME, _NAME_RULE, most=100)]
Headers = Annotated[Mapping[str, Template], MapKind(TextKind(), "header", _HEADER, _HEADER_RULE, most=100)]
Extracts = Annotated[
    Mapping[str, Expression], MapKind(ExpressionKind("place in the answer"), "variable", NAME, _NAME_RULE, most=100)
]
Constants = Annotated[
    Mapping[str, Any], MapKind(PlainKind("constant", templates=False), "variable", NAME, _NAME_RULE, most=100)
]


def kind_of(hint: Any) -> Kind:
    """The kind that a field's type says. Raises TypeError for one that is no part of the language."""
    if get_origin(hint) is Annotated:
        return get_args(hint)[1]  # type: ignore[no-any-return]
    inner = [one for one in get_args(hint) if one not in (type(None), Ellipsis)]
    if get_origin(hint) in (types.UnionType, Union) and len(inner) == 1:
        return kind_of(inner[0])
    if get_origin(hint) is tuple:
        return ListKind(kind_of(inner[0]))
    if hint is Branch:
        return BranchKind()
    if hint is bool:
        return TruthKind()
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return ChoiceKind(hint)
    raise TypeError(f"{hint} is no part of the language")


def parse_duration(text: str) -> float | None:
    """Seconds, or None when it is no time."""
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", text):
        return float(text)
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    hours, minutes, seconds, milliseconds = (float(part) if part else 0.0 for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def shown_duration(seconds: float) -> str:
    """As it may be written: 744h, 90s, 0.5s."""
    return f"{seconds / 3600:g}h" if seconds >= 3600 and seconds % 3600 == 0 else f"{seconds:g}s"


def variable_name(text: str) -> str:
    """Raises Wrong."""
    if not NAME.fullmatch(text):
        raise Wrong(f"{text[:40]}: {_NAME_RULE}")
    return text


def plain_value(node: Scalar) -> Value:
    """A plain scalar as the value it means. What begins with a zero, as 0600 does, is text."""
    if node.empty:
        return None
    if node.text in ("true", "false"):
        return node.text == "true"
    if _PLAIN_NUMBER.fullmatch(node.text):
        return float(node.text) if "." in node.text else int(node.text)
    return node.text


def parsed_template(text: str, node: Node) -> Template:
    """Raises Wrong."""
    try:
        return Template.parse(text)
    except ExpressionError as error:
        raise Wrong(str(error), _at(node, error.at)) from None


def _at(node: Node, offset: int) -> Mark:
    """The place inside a scalar, where that is one line; folded text does not say where its signs were."""
    if isinstance(node, Scalar) and "\n" not in node.text:
        return Mark(node.mark.line, node.mark.column + offset + (0 if node.plain else 1))
    return node.mark
