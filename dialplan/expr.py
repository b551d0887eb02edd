"""Expressions: `tries < 3 and starts_with(caller.number, '+49')`.

    or · and · not · == != < <= > >= in · + - · * / % · - · name.name['key'] · function(…) · (…)

There is no assignment, no loop and no way out: an expression is a tree of at most MAX_NODES, nested at most MAX_DEPTH,
each node of it is computed once, and texts and numbers it makes are bounded (`values`). It cannot fail either: what has
no sense, such as a number plus null, is null, and null is false. Mistakes of the person who wrote it are found when it
is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dialplan.functions import FUNCTIONS
from dialplan.problem import suggestion
from dialplan.values import Value, as_number, as_text, bounded, compare, equal, truth

MAX_LENGTH = 2000
MAX_DEPTH = 32
MAX_NODES = 400

Scope = Mapping[str, Value]
"""What names mean: `caller`, `time` and so on, and the variables."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<text>'[^']*'|\"[^\"]*\")|(?P<sign>==|!=|<=|>=|[-+*/%<>()\[\].,]))"
)
_WORDS = {"true": True, "false": False, "null": None}
_RESERVED = {"and", "or", "not", "in", *_WORDS}
_FOREIGN = {"&&": "and", "||": "or", "!": "not", "=": "==", "?": "choose(…)", "~": "matches(…)"}


class ExpressionError(ValueError):
    """An expression cannot be read; `at` is the place in it, counted from zero."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value

    def of(self, scope: Scope) -> Value:
        return self.value


@dataclass(frozen=True, slots=True)
class Name:
    name: str

    def of(self, scope: Scope) -> Value:
        return scope.get(self.name)


@dataclass(frozen=True, slots=True)
class Inside:
    """`what.key`, `what['key']`, `what[0]`."""

    what: Tree
    key: Tree

    def of(self, scope: Scope) -> Value:
        what, key = self.what.of(scope), self.key.of(scope)
        if isinstance(what, dict):
            return what.get(as_text(key))
        if isinstance(what, list) and isinstance(key, int) and -len(what) <= key < len(what):
            return what[key]
        return None


@dataclass(frozen=True, slots=True)
class Call:
    """By name, so that a flow can be sent from one process to another."""

    function: str
    arguments: tuple[Tree, ...]

    def of(self, scope: Scope) -> Value:
        return FUNCTIONS[self.function].run(*[argument.of(scope) for argument in self.arguments])


@dataclass(frozen=True, slots=True)
class Not:
    what: Tree

    def of(self, scope: Scope) -> Value:
        return not truth(self.what.of(scope))


@dataclass(frozen=True, slots=True)
class Both:
    left: Tree
    right: Tree

    def of(self, scope: Scope) -> Value:
        return truth(self.left.of(scope)) and truth(self.right.of(scope))


@dataclass(frozen=True, slots=True)
class Either:
    left: Tree
    right: Tree

    def of(self, scope: Scope) -> Value:
        return truth(self.left.of(scope)) or truth(self.right.of(scope))


@dataclass(frozen=True, slots=True)
class Comparison:
    sign: str
    left: Tree
    right: Tree

    def of(self, scope: Scope) -> Value:
        left, right = self.left.of(scope), self.right.of(scope)
        if self.sign in ("==", "!="):
            return equal(left, right) is (self.sign == "==")
        if self.sign == "in":
            return _contains(right, left)
        order = compare(left, right)
        if order is None:
            return False
        return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[self.sign]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    sign: str
    left: Tree
    right: Tree

    def of(self, scope: Scope) -> Value:
        left, right = as_number(self.left.of(scope)), as_number(self.right.of(scope))
        if left is None or right is None:
            return None
        if self.sign in "/%":
            if right == 0:
                return None
            return bounded(left / right if self.sign == "/" else left % right)
        if self.sign == "*":
            return bounded(left * right)
        return bounded(left + right if self.sign == "+" else left - right)


Tree = Literal | Name | Inside | Call | Not | Both | Either | Comparison | Arithmetic


def _contains(holder: Value, item: Value) -> bool:
    if isinstance(holder, str):
        return as_text(item) in holder
    if isinstance(holder, dict):
        return as_text(item) in holder
    return isinstance(holder, list) and any(equal(item, one) for one in holder)


@dataclass(frozen=True, slots=True)
class Expression:
    """A read expression: `text` as it was written, `names`, the dotted names it asks for, and `weight`, what it costs
    at most to compute."""

    text: str
    tree: Tree
    names: tuple[tuple[str, ...], ...]
    weight: int

    @classmethod
    def parse(cls, text: str) -> Expression:
        """Raises ExpressionError."""
        parser = _Parser(text)
        tree = parser.everything()
        return cls(text, tree, tuple(dict.fromkeys(_names(tree))), parser.weight)

    def of(self, scope: Scope) -> Value:
        """Its value. Never raises."""
        return self.tree.of(scope)


def _names(tree: Tree) -> Iterator[tuple[str, ...]]:
    path: list[str] = []
    while isinstance(tree, Inside) and isinstance(tree.key, Literal):
        path.insert(0, as_text(tree.key.value))
        tree = tree.what
    if isinstance(tree, Name):
        yield (tree.name, *path)
    elif isinstance(tree, Inside):
        yield from (*_names(tree.what), *_names(tree.key))
    elif isinstance(tree, Call):
        for argument in tree.arguments:
            yield from _names(argument)
    elif isinstance(tree, Not):
        yield from _names(tree.what)
    elif not isinstance(tree, Literal):
        yield from (*_names(tree.left), *_names(tree.right))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent; the depth is counted, so that ten thousand brackets are a mistake and not a crash."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"the expression is longer than {MAX_LENGTH} signs", MAX_LENGTH)
        self._tokens = list(_tokens(text))
        self._index = 0
        self._depth = 0
        self._nodes = 0
        self.weight = 0

    def everything(self) -> Tree:
        tree = self._either()
        token = self._token
        if token.kind != "end":
            raise ExpressionError(f"{token.text} is not expected here", token.at)
        return tree

    @property
    def _token(self) -> _Token:
        return self._tokens[self._index]

    def _take(self, *texts: str) -> str | None:
        """The next token, when it is one of these signs or words."""
        token = self._token
        if token.kind in ("sign", "name") and token.text in texts:
            self._index += 1
            return token.text
        return None

    def _expect(self, text: str) -> None:
        if not self._take(text):
            found = self._token
            what = "the expression ends" if found.kind == "end" else f"{found.text} stands"
            raise ExpressionError(f"{what} where {text} must", found.at)

    def _made(self, tree: Tree) -> Tree:
        self._nodes += 1
        self.weight += FUNCTIONS[tree.function].weight if isinstance(tree, Call) else 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(f"the expression has more than {MAX_NODES} parts", self._token.at)
        return tree

    def _either(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"brackets are nested deeper than {MAX_DEPTH}", self._token.at)
        tree = self._both()
        while self._take("or"):
            tree = self._made(Either(tree, self._both()))
        self._depth -= 1
        return tree

    def _both(self) -> Tree:
        tree = self._negation()
        while self._take("and"):
            tree = self._made(Both(tree, self._negation()))
        return tree

    def _negation(self) -> Tree:
        count = 0
        while self._take("not"):
            count += 1
        tree = self._comparison()
        for _ in range(min(count, 2 + count % 2) if count else 0):
            tree = self._made(Not(tree))
        return tree

    def _comparison(self) -> Tree:
        tree = self._sum()
        negated = self._token.text == "not" and self._tokens[self._index + 1].text == "in" and bool(self._take("not"))
        sign = self._take("==", "!=", "<", "<=", ">", ">=", "in")
        if sign:
            tree = self._made(Comparison(sign, tree, self._sum()))
        return self._made(Not(tree)) if negated else tree

    def _sum(self) -> Tree:
        tree = self._product()
        while sign := self._take("+", "-"):
            tree = self._made(Arithmetic(sign, tree, self._product()))
        return tree

    def _product(self) -> Tree:
        tree = self._negative()
        while sign := self._take("*", "/", "%"):
            tree = self._made(Arithmetic(sign, tree, self._negative()))
        return tree

    def _negative(self) -> Tree:
        if self._take("-"):
            return self._made(Arithmetic("-", Literal(0), self._inside()))
        return self._inside()

    def _inside(self) -> Tree:
        tree = self._atom()
        while sign := self._take(".", "["):
            if sign == "[":
                tree = self._made(Inside(tree, self._either()))
                self._expect("]")
                continue
            token = self._token
            if token.kind != "name":
                raise ExpressionError("a name must follow the point", token.at)
            self._index += 1
            tree = self._made(Inside(tree, Literal(token.text)))
        return tree

    def _atom(self) -> Tree:
        token = self._token
        if self._take("("):
            tree = self._either()
            self._expect(")")
            return tree
        self._index += 1
        if token.kind == "number":
            return self._made(Literal(as_number(token.text)))
        if token.kind == "text":
            return self._made(Literal(token.text[1:-1]))
        if token.kind == "name" and token.text in _WORDS:
            return self._made(Literal(_WORDS[token.text]))
        if token.kind == "name" and token.text not in _RESERVED:
            return self._call(token) if self._take("(") else self._made(Name(token.text))
        self._index -= 1
        what = "the expression ends" if token.kind == "end" else f"{token.text} stands"
        raise ExpressionError(f"{what} where a value must", token.at)

    def _call(self, token: _Token) -> Tree:
        function = FUNCTIONS.get(token.text)
        if function is None:
            raise ExpressionError(f"there is no function {token.text}{suggestion(token.text, FUNCTIONS)}", token.at)
        arguments: list[Tree] = []
        while not self._take(")"):
            if arguments:
                self._expect(",")
            arguments.append(self._either())
        if not function.least <= len(arguments) <= function.most:
            wanted = str(function.least) if function.least == function.most else f"{function.least}–{function.most}"
            raise ExpressionError(f"{token.text} takes {wanted} arguments, not {len(arguments)}", token.at)
        return self._made(Call(token.text, tuple(arguments)))


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unreadable(text, at + len(text[at:]) - len(text[at:].lstrip()))
        kind = match.lastgroup or "sign"
        yield _Token(kind, match[kind], match.start(kind))
        at = match.end()
    yield _Token("end", "", end)


def _unreadable(text: str, at: int) -> ExpressionError:
    if text[at] in "'\"":
        return ExpressionError("a quote is not closed", at)
    if text.startswith("${", at):
        return ExpressionError("${ } does not stand inside an expression: name the variable alone", at)
    for sign, word in _FOREIGN.items():
        if text.startswith(sign, at):
            return ExpressionError(f"{sign} is written {word} here", at)
    return ExpressionError(f"{text[at]} is not known here", at)
