"""What the contract keeps a place for: the public API and the carriers' webhooks. Each says where to go instead."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from pbxd.api.edge.collaborators import Edge
from pbxd.api.edge.contract import EDGE, SCOPE
from pbxd.api.house.views import ErrorDetail, ErrorView

__all__ = ["EDGE"]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOT_SERVED = "not_implemented"


class RestPath(BaseModel):
    model_config = ConfigDict(frozen=True)

    rest: str


async def public_api(_edge: Edge, path: RestPath) -> ErrorView:
    """The public REST API, which is not served here.

    Calls, records and the directory are at /house/v1; its document is /openapi/house.json.
    """
    del path
    return _elsewhere("the public REST API is not served yet: use /house/v1, described at /openapi/house.json")


async def carrier_hook(_edge: Edge) -> ErrorView:
    """The webhooks of carriers, which are not taken here.

    A carrier reaches the house by SIP, as a trunk.
    """
    return _elsewhere("webhooks of carriers are not taken yet: a carrier is a trunk, see trunks in the settings")


def _elsewhere(message: str) -> ErrorView:
    return ErrorView(error=ErrorDetail(code=NOT_SERVED, message=message))


for _method in METHODS:
    for _path, _handler in (("/v1/{rest:.*}", public_api), ("/hooks/carrier", carrier_hook)):
        _name = f"{_method.lower()}_{_handler.__name__}"
        EDGE.operation(_method, _path, tag="roadmap", scope=SCOPE, status=501, name=_name)(_handler)
