"""Texts with `${…}` in them: `Hello ${caller.name}`. What a variable holds is put in as it is and never read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dialplan.expr import Expression, ExpressionError, Scope
from dialplan.values import MAX_TEXT, Value, as_text

MAX_PIECES = 200


@dataclass(frozen=True, slots=True)
class Template:
    """`pieces` are texts and expressions, in order; `weight` is what it costs to fill at most."""

    text: str
    pieces: tuple[str | Expression, ...]
    weight: int = 0

    @classmethod
    def parse(cls, text: str) -> Template:
        """`$${` is a `${` that is meant as text. Raises ExpressionError."""
        if len(text) > MAX_TEXT:
            raise ExpressionError(f"the text is longer than {MAX_TEXT} signs", MAX_TEXT)
        pieces = tuple(_pieces(text))
        if len(pieces) > MAX_PIECES:
            raise ExpressionError(f"the text has more than {MAX_PIECES} pieces", len(text))
        weight = sum(piece.weight for piece in pieces if isinstance(piece, Expression))
        return cls(text, pieces, weight)

    @property
    def literal(self) -> str | None:
        """The text, when nothing in it changes from call to call."""
        return None if any(isinstance(piece, Expression) for piece in self.pieces) else "".join(map(str, self.pieces))

    @property
    def expressions(self) -> Iterator[Expression]:
        return (piece for piece in self.pieces if isinstance(piece, Expression))

    def fill(self, scope: Scope, quote: Callable[[str], str] = str) -> str:
        """The text for one call, at most MAX_TEXT long; `quote` is applied to what is put in."""
        parts = [piece if isinstance(piece, str) else quote(as_text(piece.of(scope))) for piece in self.pieces]
        return "".join(parts)[:MAX_TEXT]

    def value(self, scope: Scope) -> Value:
        """The text; but a template that is one `${…}` and nothing else keeps its kind: a number, a list."""
        if len(self.pieces) == 1 and isinstance(self.pieces[0], Expression):
            return self.pieces[0].of(scope)
        return self.fill(scope)


def _pieces(text: str) -> Iterator[str | Expression]:
    at = 0
    plain = ""
    while (begin := text.find("${", at)) >= 0:
        if begin and text[begin - 1] == "$":
            plain += text[at : begin - 1] + "${"
            at = begin + 2
            continue
        plain += text[at:begin]
        if plain:
            yield plain
        plain = ""
        end = _end(text, begin + 2)
        try:
            yield Expression.parse(text[begin + 2 : end])
        except ExpressionError as error:
            raise ExpressionError(str(error), begin + 2 + error.at) from None
        at = end + 1
    plain += text[at:]
    if plain:
        yield plain


def _end(text: str, at: int) -> int:
    """Where the brace closes; one inside quotes does not."""
    begin, quote = at, ""
    while at < len(text):
        sign = text[at]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "}":
            return at
        elif text.startswith("${", at):
            raise ExpressionError("${ } does not stand inside ${ }: name the variable alone", at)
        at += 1
    raise ExpressionError("a ${ is not closed with }", begin - 2)
