"""The edge contract: what SIP nodes, media nodes and operators ask. Operations are declared in the other modules."""

from __future__ import annotations

import re

from pbxd import __version__
from pbxd.api.contract import Contract
from pbxd.api.edge.collaborators import Edge
from pbxd.api.house.views import ErrorDetail, ErrorView

SCOPE = "edge"

_OWNED = re.compile(
    r"/(?:(?:auth|route|flow|presence|agent|cac|debug|security|media|v1|hooks|admin/tts)(?:/.*)?)", re.S
)
_TRACE = re.compile(r"/calls/[^/]+/trace")


def owns(path: str) -> bool:
    """Whether a path that leads nowhere is answered in this contract's shape."""
    return _OWNED.fullmatch(path) is not None or _TRACE.fullmatch(path) is not None


def _error(_status: int, code: str, message: str) -> ErrorView:
    return ErrorView(error=ErrorDetail(code=code, message=message))


EDGE: Contract[Edge] = Contract(
    name="edge",
    title="The control plane of the edge",
    description="What SIP nodes, media nodes and operators ask of the house. Not public: a request comes from an "
    "address in `edge.sources`, or brings an API key with the scope `edge`. Bodies are JSON or form-encoded. An "
    "account is named by its id or its slug; numbers are E.164 without `+`.",
    prefix="",
    version=__version__,
    error=_error,
    error_model=ErrorView,
    security={
        "adminToken": {"type": "apiKey", "in": "header", "name": "x-admin-token"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    },
    owns=owns,
    forms=True,
)
