"""Serves a contract: who asks, whether they may, what they say checked, the answer, and every error in its shape."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest
from pydantic import BaseModel, ValidationError

from pbxd.api.contract import Attachment, Context, Contract, Download, Identity, Operation, Part, Revised, needs_body
from pbxd.api.form import FORM, read_form
from pbxd.api.openapi import document
from pbxd.api.upload import form_of
from pbxd.errors import Denied, HouseError, Invalid, TooLarge, Unauthorized

log = logging.getLogger(__name__)

BODY_TIMEOUT_S = 10.0
OPERATION_TIMEOUT_S = 30.0

Model = TypeVar("Model", bound=BaseModel)
Identify = Callable[[web.Request], Identity]
"""Says who asks; raises Unauthorized or Denied."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error on its way out, before it has a contract's shape; `body` where it brings one of its own."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    close: bool = False
    body: BaseModel | None = None


class Surface(Generic[Context]):
    """One contract, served with its collaborators."""

    def __init__(
        self,
        contract: Contract[Context],
        context: Context,
        identify: Identify,
        public_url: Callable[[], str | None] = lambda: None,
        home: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`public_url` is what links to us begin with; None where nobody said. `home` is the account whose keys may
        call all operations, and keys of others only those that keep them in their own; None: all may."""
        self._contract = contract
        self._context = context
        self._identify = identify
        self._public_url = public_url
        self._home = home
        self._document: dict[str, Any] | None = None

    @property
    def document_path(self) -> str:
        """Where the OpenAPI document is."""
        return f"/openapi/{self._contract.name}.json"

    def routes(self) -> list[web.RouteDef]:
        """Every operation, and the document that describes them."""
        prefix = self._contract.prefix
        routes = [web.route(one.method, prefix + one.path, self._handler(one)) for one in self._contract.operations]
        return [*routes, web.get(self.document_path, self._describe)]

    def owns(self, path: str) -> bool:
        """Whether an unknown `path` is answered in this contract's shape."""
        if self._contract.owns is not None:
            return self._contract.owns(path)
        return path == self._contract.prefix or path.startswith(self._contract.prefix + "/")

    def failure(self, failure: Failure) -> web.Response:
        """The failure in this contract's shape."""
        body = failure.body or self._contract.error(failure.status, failure.code, failure.message)
        response = json_response(failure.status, body, failure.headers)
        if failure.close:
            response.force_close()
        return response

    async def _describe(self, _request: web.Request) -> web.Response:
        if self._document is None:
            self._document = document(self._contract)
        url = self._public_url()
        said = self._document | {"servers": [{"url": url}]} if url else self._document
        return web.Response(body=json.dumps(said).encode(), content_type="application/json")

    def _handler(self, operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            arguments: dict[str, Any] = {}
            if operation.guard is not None:
                operation.guard(self._context, request)
            identity = self._authorise(operation, request)
            if operation.takes_identity:
                arguments[Part.IDENTITY.value] = identity
            async with AsyncExitStack() as files:
                for part, model in operation.parts.items():
                    arguments[part.value] = await self._taken(operation, part, model, request, files)
                if operation.takes_request:
                    arguments[Part.REQUEST.value] = request
                async with asyncio.timeout(None if operation.takes_request else OPERATION_TIMEOUT_S):
                    result = await operation.handler(self._context, **arguments)
            if isinstance(result, web.StreamResponse):
                return result
            if isinstance(result, Attachment):
                return _data_response(operation.status, result)
            if isinstance(result, Download):
                return _file_response(result)
            status = operation.status_of(result)
            if result is None:
                return web.Response(status=status)
            tag = {"ETag": f'"{result.revision}"'} if isinstance(result, Revised) else None
            return json_response(status, result, tag)

        return handle

    def _authorise(self, operation: Operation, request: web.Request) -> Identity | None:
        if operation.scope is None or (operation.token_instead and "token" in request.query):
            return None
        identity = self._identify(request)
        if not identity.may(operation.scope):
            raise self._contract.lacks(operation.scope)
        home = self._home()
        if home is not None and identity.account_id not in (None, home) and not operation.in_one_account:
            raise Denied("only keys of the house's own account may do this")
        return identity

    async def _taken(
        self, operation: Operation, part: Part, model: type[Model], request: web.Request, files: AsyncExitStack
    ) -> Model:
        """The values of one part of the request, checked. Raises the contract's error, naming every problem and
        repeating no value."""
        try:
            match part:
                case Part.PATH:
                    return model.model_validate(dict(request.match_info))
                case Part.QUERY:
                    return model.model_validate(_query(request))
                case Part.HEADERS:
                    names = [field.alias or name for name, field in model.model_fields.items()]
                    given = {name: request.headers[name] for name in names if name in request.headers}
                    return model.model_validate(given)
                case Part.FORM:
                    return model.model_validate(await form_of(request, operation.room(self._context), files))
                case _ if self._contract.forms and request.content_type == FORM:
                    return model.model_validate(read_form(await _read(request)))
                case _:
                    text = await _body(request, self._contract.forms, needed=needs_body(model))
                    return model.model_validate_json(text)
        except ValidationError as error:
            raise (operation.wrong() if operation.wrong else self._contract.wrong(error)) from None


def failure_of(error: Exception) -> Failure:
    """What an exception that reached the edge means to the one who asked; what is not theirs to know is logged."""
    if isinstance(error, HouseError):
        body: BaseModel | None = getattr(error, "body", None)
        closes = isinstance(error, TooLarge)
        return Failure(error.http_status, error.code, error.message, _headers_of(error), closes, body)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Failure(413, TooLarge.code, "the body is larger than this server takes", close=True)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Failure(405, "method_not_allowed", f"this path takes {allowed}", {"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return Failure(404, "not_found", "no such path")
    if isinstance(error, web.HTTPException):
        return Failure(error.status, error.reason.lower().replace(" ", "_"), error.reason)
    if isinstance(error, TimeoutError):
        return Failure(503, "timeout", "this took too long", {"Retry-After": "5"}, close=True)
    log.error("an HTTP request failed", exc_info=error)
    return Failure(500, HouseError.code, "an internal error; the log says more")


def json_response(
    status: int, content: BaseModel | dict[str, Any], headers: dict[str, str] | None = None
) -> web.Response:
    """`content` as JSON."""
    text = content.model_dump_json() if isinstance(content, BaseModel) else json.dumps(content)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def _data_response(status: int, file: Attachment) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return web.Response(status=status, body=file.data, content_type=file.media_type, headers=headers)


class _File(web.FileResponse):
    """Ranges, ETag and conditions (RFC 9110 §13, §14) are aiohttp's, but for an If-Range with an ETag, which it takes
    no notice of: a part of what has changed since is not a part of what the client has (§13.1.5)."""

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        condition = request.headers.get("If-Range", "").strip()
        if condition.endswith('"') and "Range" in request.headers and condition != await asyncio.to_thread(self._tag):
            headers = request.headers.copy()
            headers.popall("Range")
            request = request.clone(headers=headers)
        return await super().prepare(request)

    def _tag(self) -> str:
        try:
            seen = self._path.stat()
        except OSError:
            return ""
        return f'"{seen.st_mtime_ns:x}-{seen.st_size:x}"'


def _file_response(download: Download) -> web.FileResponse:
    """The digest is that of RFC 9530."""
    headers = {
        "Content-Type": download.content_type,
        "Content-Disposition": f'attachment; filename="{download.name}"',
    }
    if download.sha256 is not None:
        digest = base64.b64encode(bytes.fromhex(download.sha256)).decode()
        headers["Repr-Digest"] = f"sha-256=:{digest}:"
    return _File(download.path, headers=headers)


def _headers_of(error: HouseError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="pbxd"'}
    return {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}


def _query(request: web.Request) -> dict[str, str]:
    values = dict(request.query)
    if len(values) != len(request.query):
        raise Invalid("a query parameter is given twice")
    return values


async def _body(request: web.Request, forms: bool, *, needed: bool) -> bytes:
    if not needed and not request.can_read_body:
        return b"{}"
    if request.content_type != "application/json":
        other = f" or {FORM}" if forms else ""
        raise Invalid(f"the body must be JSON, and its Content-Type application/json{other}")
    return await _read(request)


async def _read(request: web.Request) -> bytes:
    async with asyncio.timeout(BODY_TIMEOUT_S):
        return await request.read()
