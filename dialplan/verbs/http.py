"""`http: https://crm.example.com/callers/${caller.number}`"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

from dialplan import command
from dialplan.command import Outcome, Reply
from dialplan.flow import NEXT, Branch, Move, Run, Verb, setting
from dialplan.kinds import Anything, DurationKind, Extracts, Headers, Url


class Method(StrEnum):
    """How it is asked."""

    GET = "GET"
    POST = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Verb):
    """Ask a web server, and keep what it answers. The call goes on meanwhile; nobody else waits."""

    word: ClassVar[str] = "http"
    waits: ClassVar[bool] = True
    foreign: ClassVar[frozenset[str]] = frozenset({"save"})
    http: Url = setting("what `${…}` puts in is escaped", main=True)
    method: Method = setting("GET, or POST with a body", Method.GET)
    headers: Headers | None = setting("more headers", None)
    json: Anything = setting("the body, sent as JSON", None)
    timeout: Annotated[float, DurationKind(0.5, 30)] = setting("for the whole exchange", 5.0)
    save: Extracts | None = setting(
        "variables and where in the JSON they stand, `name: customer.name`; `status` and `body` are there too", None
    )
    on_failed: Branch = setting("where to go when there is no good answer in time")

    def begin(self, run: Run) -> Move:
        return command.Http(
            run.url(self.http),
            method=self.method.value,
            headers={name: _one_line(run.text(text)) for name, text in self.headers.items()} if self.headers else None,
            body=run.filled(self.json),
            timeout_s=self.timeout,
        )

    def resume(self, run: Run, reply: Reply) -> Move:
        if reply.outcome is not Outcome.DONE:
            return self.on_failed
        body = reply.data.get("body")
        found = {**(body if isinstance(body, Mapping) else {}), "status": reply.data.get("status"), "body": body}
        for name, place in (self.save or {}).items():
            run.assign(name, place.of(found))
        return NEXT

    def wrong(self) -> str | None:
        """What does not fit together."""
        if self.json is not None and self.method is Method.GET:
            return "a json body needs method: POST"
        return None


def _one_line(text: str) -> str:
    """A header cannot hold a line break, whatever a caller calls themselves."""
    return " ".join(text.split())
