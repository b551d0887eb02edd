"""What a contract promises: its operations, each declared once as a typed function.

    HOUSE = Contract[House](name="house", title="The house's own API", prefix="/house/v1", ...)

    @HOUSE.operation("GET", "/calls/{id}", scope="calls:read", errors=(NotFound,))
    async def get_call(house: House, path: CallPath) -> CallView:
        '''Get a live call.'''

The annotations of `path`, `query` and `body` are pydantic models, checked before the function runs; the returned model
is the answer; the docstring is the documentation. Surface serves it, openapi describes it, and neither can drift.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel

from pbxd.errors import HouseError


@dataclass(frozen=True, slots=True)
class Download:
    """A file as an answer, with byte ranges and an ETag. `name` is what the browser calls it; `sha256` in hex."""

    path: Path
    content_type: str
    name: str
    sha256: str | None = None


Context = TypeVar("Context")
Answer = BaseModel | Download | None
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Answer]])

_PATH_NAMES = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: a key or the local user, and what they may do. `*` is everything, `calls:*` all of calls."""

    name: str
    account_id: str | None
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether `scope`, such as `calls:read`, is among this identity's."""
        return bool({"*", scope, scope.partition(":")[0] + ":*"} & self.scopes)


class Attachment(BaseModel):
    """An answer that is a file, not JSON."""

    data: bytes
    name: str
    media_type: str


class Revised(BaseModel):
    """An answer that knows how often it was changed: its ETag."""

    revision: int


class OneAccount(BaseModel):
    """The query of an operation that works in one account: that of the key, or one that the house's own may name."""

    account: str | None


class Part(Enum):
    """Where in a request the values of an argument come from; the names are those of a handler's arguments."""

    PATH = "path"
    QUERY = "query"
    HEADERS = "headers"
    BODY = "body"
    IDENTITY = "identity"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    tag: str
    scope: str | None
    status: int
    parts: dict[Part, type[BaseModel]]
    takes_identity: bool
    result: type[BaseModel] | type[Download] | None
    errors: tuple[type[HouseError], ...]
    handler: Callable[..., Awaitable[Answer]]

    @property
    def in_one_account(self) -> bool:
        """Whether keys of any account may call it: it keeps them in their own."""
        return self.takes_identity and issubclass(self.parts.get(Part.QUERY, BaseModel), OneAccount)


@dataclass(frozen=True, slots=True)
class Contract(Generic[Context]):
    """A set of operations under one prefix, with one way to say who asks and one shape of errors.

    `error` builds the error body from (status, code, message); its model is what the document shows.
    """

    name: str
    title: str
    description: str
    prefix: str
    version: str
    error: Callable[[int, str, str], BaseModel]
    error_model: type[BaseModel]
    security: dict[str, dict[str, str]]
    operations: list[Operation] = field(default_factory=list)

    def operation(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        scope: str | None,
        status: int = 200,
        errors: tuple[type[HouseError], ...] = (),
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as an operation; `scope` None means anybody may.

        Raises TypeError where the function and the path do not fit together.
        """

        def declare(handler: Handler) -> Handler:
            parts, takes_identity = _arguments(handler, path)
            result = get_type_hints(handler)["return"]
            summary, description = _documentation(handler)
            self.operations.append(
                Operation(
                    name=handler.__name__,
                    method=method,
                    path=path,
                    summary=summary,
                    description=description,
                    tag=tag,
                    scope=scope,
                    status=status,
                    parts=parts,
                    takes_identity=takes_identity,
                    result=None if result is type(None) else result,
                    errors=errors,
                    handler=handler,
                )
            )
            return handler

        return declare


def _arguments(handler: Callable[..., object], path: str) -> tuple[dict[Part, type[BaseModel]], bool]:
    """The models of a handler's arguments after the first, and whether it wants to know who asks."""
    hints: dict[str, Any] = get_type_hints(handler)
    arguments = list(inspect.signature(handler).parameters)[1:]
    parts = {Part(argument): hints[argument] for argument in arguments if argument != Part.IDENTITY.value}
    for part, model in parts.items():
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{handler.__name__}: {part.value} is not a pydantic model")
    in_path = set(_PATH_NAMES.findall(path))
    if in_path != set(parts[Part.PATH].model_fields if Part.PATH in parts else ()):
        raise TypeError(f"{handler.__name__}: the path {path} and its model name different values")
    return parts, Part.IDENTITY.value in arguments


def _documentation(handler: Callable[..., object]) -> tuple[str, str]:
    """The first line of the docstring, and the rest of it."""
    summary, _, description = (inspect.getdoc(handler) or "").partition("\n")
    if not summary:
        raise TypeError(f"{handler.__name__}: an operation without a docstring")
    return summary.rstrip("."), " ".join(description.split())
