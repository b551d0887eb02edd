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
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, BinaryIO, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel, InstanceOf, ValidationError, WithJsonSchema

from pbxd.errors import Denied, HouseError, Invalid


@dataclass(frozen=True, slots=True)
class Download:
    """A file as an answer, with byte ranges and an ETag. `name` is what the browser calls it; `sha256` in hex."""

    path: Path
    content_type: str
    name: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came in a form. `file` is open at its beginning and gone once the answer is given."""

    name: str
    content_type: str
    file: BinaryIO
    octets: int


FormFile = Annotated[InstanceOf[Upload], WithJsonSchema({"type": "string", "format": "binary"})]
"""The type of a form's field that is a file."""


@dataclass(frozen=True, slots=True)
class Room:
    """How large a form may be; `said` is what is answered above that."""

    octets: int
    said: str


Context = TypeVar("Context")
Answer = BaseModel | Download | web.StreamResponse | None
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Answer]])

MAX_SHOWN_PROBLEMS = 10

_PATH_NAMES = re.compile(r"\{(\w+)(?::[^{}]+)?\}")


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


@cache
def needs_body(model: type[BaseModel]) -> bool:
    """Whether a request must have a body. Where every value may be left out, so may the body."""
    return any(field.is_required() for field in model.model_fields.values())


class Part(Enum):
    """Where in a request the values of an argument come from; the names are those of a handler's arguments."""

    PATH = "path"
    QUERY = "query"
    HEADERS = "headers"
    BODY = "body"
    FORM = "form"  # multipart/form-data
    IDENTITY = "identity"
    REQUEST = "request"  # the request itself, for what is neither JSON nor a form


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
    result: type[BaseModel] | type[Download] | type[web.StreamResponse] | None
    errors: tuple[type[HouseError], ...]
    handler: Callable[..., Awaitable[Answer]]
    token_instead: bool = False
    media: str = "application/octet-stream"
    room: Callable[[Any], Room] = lambda _context: Room(1 << 20, "the form is larger than this server takes")
    others: Mapping[type[BaseModel], int] = field(default_factory=dict)  # other answers, each with its status
    guard: Callable[[Any, web.Request], None] | None = None  # looks at a request before its values are
    wrong: Callable[[], HouseError] | None = None  # what is answered to values that are not what they should be
    takes_request: bool = False
    body_type: str | None = None  # the media type of a body that the handler reads itself
    answer_type: str | None = None  # and of an answer that it writes itself

    @property
    def plain_path(self) -> str:
        """The path without the patterns of its names: `/v1/{rest}` for `/v1/{rest:.*}`."""
        return _PATH_NAMES.sub(r"{\1}", self.path)

    def status_of(self, answer: Answer) -> int:
        """The status that an answer goes out with."""
        return self.others.get(type(answer), self.status) if isinstance(answer, BaseModel) else self.status

    @property
    def in_one_account(self) -> bool:
        """Whether keys of any account may call it: it keeps them in their own."""
        return self.takes_identity and issubclass(self.parts.get(Part.QUERY, BaseModel), OneAccount)


def _lacks(scope: str) -> HouseError:
    return Denied(f"this key lacks the scope {scope}")


def _wrong(error: ValidationError) -> HouseError:
    return Invalid(problems_of(error))


@dataclass(frozen=True, slots=True)
class Contract(Generic[Context]):
    """A set of operations under one prefix, with one way to say who asks and one shape of errors.

    `error` builds the error body from (status, code, message); its model is what the document shows. A contract without
    a prefix of its own says by `owns` which unknown paths are answered in its shape. `forms`: bodies may be
    form-encoded, too. `lacks` is the error of a key without the scope, `wrong` that of values that are not what they
    should be, of the class `invalid`.
    """

    name: str
    title: str
    description: str
    prefix: str
    version: str
    error: Callable[[int, str, str], BaseModel]
    error_model: type[BaseModel]
    security: dict[str, dict[str, str]]
    lacks: Callable[[str], HouseError] = _lacks
    wrong: Callable[[ValidationError], HouseError] = _wrong
    invalid: type[HouseError] = Invalid
    operations: list[Operation] = field(default_factory=list)
    owns: Callable[[str], bool] | None = None
    forms: bool = False

    def operation(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        scope: str | None,
        status: int = 200,
        errors: tuple[type[HouseError], ...] = (),
        others: Mapping[type[BaseModel], int] | None = None,
        name: str | None = None,
        token_instead: bool = False,
        media: str = "application/octet-stream",
        room: Callable[[Any], Room] | None = None,
        body_type: str | None = None,
        answer_type: str | None = None,
        guard: Callable[[Any, web.Request], None] | None = None,
        wrong: Callable[[], HouseError] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as an operation; `scope` None means anybody may. With `token_instead`, so may
        who has a `token` in the query, which the function checks. `others` are answers beside the usual one, with the
        status of each; `name` is the operation's, where it is not the function's. `media` is the type of a file as an
        answer, `room` how large a form may be. One that takes `request` may read its body (of `body_type`) and write
        its answer (of `answer_type`) as it likes, and has all the time it wants. `guard` refuses a request before its
        values are looked at, `wrong` is the one answer to those that are not what they should be.

        Raises TypeError where the function and the path do not fit together.
        """

        def declare(handler: Handler) -> Handler:
            parts, whole = _arguments(handler, path)
            result = _usual(get_type_hints(handler)["return"], others or {})
            summary, description = _documentation(handler)
            own = {} if room is None else {"room": room}
            self.operations.append(
                Operation(
                    token_instead=token_instead,
                    media=media,
                    **own,
                    name=name or handler.__name__,
                    method=method,
                    path=path,
                    summary=summary,
                    description=description,
                    tag=tag,
                    scope=scope,
                    status=status,
                    parts=parts,
                    takes_identity=Part.IDENTITY in whole,
                    result=None if result is type(None) else result,
                    errors=errors,
                    handler=handler,
                    others=others or {},
                    takes_request=Part.REQUEST in whole,
                    body_type=body_type,
                    answer_type=answer_type,
                    guard=guard,
                    wrong=wrong,
                )
            )
            return handler

        return declare


def _usual(result: Any, others: Mapping[type[BaseModel], int]) -> Any:
    """The one answer of a handler that is not among `others`."""
    if get_origin(result) not in (Union, UnionType):
        return result
    usual = [one for one in get_args(result) if one not in others]
    if len(usual) != 1:
        raise TypeError(f"which of {result} is the usual answer?")
    return usual[0]


def _arguments(handler: Callable[..., object], path: str) -> tuple[dict[Part, type[BaseModel]], set[Part]]:
    """The models of a handler's arguments after the first, and which of those without a model it takes."""
    hints: dict[str, Any] = get_type_hints(handler)
    arguments = list(inspect.signature(handler).parameters)[1:]
    whole = {Part.IDENTITY, Part.REQUEST} & {Part(argument) for argument in arguments}
    parts = {Part(argument): hints[argument] for argument in arguments if Part(argument) not in whole}
    for part, model in parts.items():
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise TypeError(f"{handler.__name__}: {part.value} is not a pydantic model")
    in_path = set(_PATH_NAMES.findall(path))
    if in_path != set(parts[Part.PATH].model_fields if Part.PATH in parts else ()):
        raise TypeError(f"{handler.__name__}: the path {path} and its model name different values")
    return parts, whole


def _documentation(handler: Callable[..., object]) -> tuple[str, str]:
    """The first line of the docstring, and the rest of it."""
    summary, _, description = (inspect.getdoc(handler) or "").partition("\n")
    if not summary:
        raise TypeError(f"{handler.__name__}: an operation without a docstring")
    return summary.rstrip("."), " ".join(description.split())


def problems_of(error: ValidationError) -> str:
    """Every problem in a sentence or two; no value is repeated."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{_place(one['loc'])}{one['msg']}" for one in problems[:MAX_SHOWN_PROBLEMS]]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in location) + ": " if location else ""
