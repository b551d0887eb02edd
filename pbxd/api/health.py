"""`/health`, `/health/ready` and `/metrics`: for load balancers, monitors and Prometheus; no key, nothing private."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from pbxd.api.surface import json_response
from pbxd.metrics import CONTENT_TYPE, Metrics

Check = Callable[[], str | None]
"""What is wrong with a part, in a few words; None when it is well."""


@dataclass(slots=True)
class Health:
    """How the house is. `serving` is whether SIP is answered; `checks` are the parts it needs for that to be of use."""

    version: str
    started_at: float  # monotonic seconds
    serving: Callable[[], bool]
    checks: Mapping[str, Check] = field(default_factory=dict)

    def problems(self) -> dict[str, str]:
        """What is wrong, by part; `ok` where nothing is."""
        return {name: check() or "ok" for name, check in self.checks.items()}


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
        checks = {"sip": "ok" if health.serving() else "not serving"} | health.problems()
        well = all(state == "ok" for state in checks.values())
        return json_response(200 if well else 503, {"status": "ready" if well else "not_ready", "checks": checks})

    return ready


def _metrics(metrics: Metrics) -> _Handler:
    async def render(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    return render
