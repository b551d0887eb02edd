"""`/health`, `/health/ready` and `/metrics`: for load balancers, monitors and Prometheus; no key, nothing private."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from pbxd.api.surface import json_response
from pbxd.metrics import CONTENT_TYPE, Metrics

_WELL = "ok"


class State(StrEnum):
    """Whether calls should be sent here."""

    READY = "ready"
    DEGRADED = "degraded"  # yes: calls go on, something beside them does not
    NOT_READY = "not_ready"


class FaxReadiness(BaseModel):
    """What the fax contract wants to know beside that. A check that does not apply is null."""

    backend: str
    checks: dict[str, bool | None]
    warnings: list[str]
    storage_error: str | None


Check = Callable[[], str | None]
"""What is wrong with a part, in a few words; None when it is well."""


@dataclass(slots=True)
class Health:
    """How the house is. `serving` is whether SIP is answered; `checks` are the parts it needs for that to be of use,
    `beside` those without which calls go on: the house is then degraded, and still to be called."""

    version: str
    started_at: float  # monotonic seconds
    serving: Callable[[], bool]
    checks: Mapping[str, Check] = field(default_factory=dict)
    beside: Mapping[str, Check] = field(default_factory=dict)
    faxes: Callable[[], FaxReadiness] | None = None

    def state(self) -> tuple[State, dict[str, str]]:
        """The whole, and what is wrong by part; `ok` where nothing is."""
        needed = {"sip": "ok" if self.serving() else "not serving"} | _asked(self.checks)
        beside = _asked(self.beside)
        if any(said != _WELL for said in needed.values()):
            return State.NOT_READY, needed | beside
        return (State.DEGRADED if any(said != _WELL for said in beside.values()) else State.READY), needed | beside


def _asked(checks: Mapping[str, Check]) -> dict[str, str]:
    return {name: check() or _WELL for name, check in checks.items()}


def health_routes(health: Health, metrics: Metrics) -> list[web.RouteDef]:
    """The three routes."""
    return [
        web.get("/health", _live(health)),
        web.get("/health/ready", _ready(health)),
        web.get("/metrics", _metrics(metrics)),
    ]


_Handler = Callable[[web.Request], Awaitable[web.Response]]


def _live(health: Health) -> _Handler:
    async def live(_request: web.Request) -> web.Response:
        serving = health.serving()
        return json_response(
            200 if serving else 503,
            {
                "status": "ok" if serving else "unavailable",
                "version": health.version,
                "uptime": round(time.monotonic() - health.started_at, 3),
            },
        )

    return live


def _ready(health: Health) -> _Handler:
    async def ready(_request: web.Request) -> web.Response:
        state, checks = health.state()
        status = 503 if state is State.NOT_READY else 200
        said: dict[str, Any] = {"status": state.value, "checks": checks}
        if health.faxes is not None:
            more = health.faxes()
            said |= more.model_dump() | {"checks": checks | more.checks}
        return json_response(status, said)

    return ready


def _metrics(metrics: Metrics) -> _Handler:
    async def render(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return render
