"""A contract is its declarations: a mistake in one is found when it is made, and the document says what is served."""

from __future__ import annotations

import json

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from pbxd.api.contract import Contract, Identity
from pbxd.api.edge import EDGE
from pbxd.api.fax import FAX
from pbxd.api.fax.door import ADMIN
from pbxd.api.house import HOUSE
from pbxd.api.openapi import document
from pbxd.config.accounts import SCOPES
from tests.api.test_surface import CUPS, Detail


class Path(BaseModel):
    id: str


def _empty() -> Contract[None]:
    return Contract("x", "X", "", "/x", "1", lambda _status, _code, message: Detail(detail=message), Detail, {})


async def without_docstring(_context: None) -> None: ...


async def strange_argument(_context: None, cookie: Path) -> None:
    """Takes something that is not part of a request."""


async def not_a_model(_context: None, body: str) -> None:
    """Takes a body that is not a model."""


async def by_id(_context: None, path: Path) -> None:
    """Has an id."""


@pytest.mark.parametrize(
    ("handler", "path", "error"),
    [
        (without_docstring, "/", "an operation without a docstring"),
        (strange_argument, "/", "'cookie' is not a valid Part"),
        (not_a_model, "/", "body is not a pydantic model"),
        (by_id, "/things", "the path /things and its model name different values"),
        (by_id, "/things/{name}", "name different values"),
    ],
)
def test_a_mistake_is_found_at_once(handler: object, path: str, error: str) -> None:
    contract = _empty()
    with pytest.raises((TypeError, ValueError), match=error.replace("{", r"\{")):
        contract.operation("GET", path, tag="x", scope=None)(handler)  # type: ignore[type-var]
    assert contract.operations == []


def test_the_configuration_knows_every_scope() -> None:
    fax = {operation.scope for operation in FAX.operations} - {ADMIN, None}
    assert {operation.scope for one in (HOUSE, EDGE) for operation in one.operations} | fax <= {*SCOPES, "*"}


def test_scopes_are_exact_or_of_a_kind_or_all() -> None:
    def may(*scopes: str) -> bool:
        return Identity("x", None, frozenset(scopes)).may("calls:read")

    assert may("calls:read")
    assert may("calls:*")
    assert may("*")
    assert not may("calls:write")
    assert not may("calls")
    assert not may("records:*")
    assert not may()


def test_the_document_says_what_is_served() -> None:
    described = document(CUPS)
    get = described["paths"]["/cups/v1/cups/{name}"]["get"]
    assert get["operationId"] == "get_cup"
    assert get["summary"] == "Get a cup"
    assert get["x-scope"] == "cups:read"
    assert get["security"] == [{"key": []}]
    assert [(one["name"], one["in"], one["required"]) for one in get["parameters"]] == [
        ("name", "path", True),
        ("full", "query", False),
    ]
    assert sorted(get["responses"]) == ["200", "400", "401", "403", "404", "default"]
    assert described["paths"]["/cups/v1/spill"]["get"]["security"] == []
    put = described["paths"]["/cups/v1/cups/{name}"]["put"]
    assert put["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/CupWish"}
    assert "413" in put["responses"]


@pytest.mark.parametrize("contract", [CUPS, HOUSE, EDGE], ids=lambda contract: contract.name)
def test_the_document_is_valid_openapi(contract: Contract[object]) -> None:
    described = document(contract)
    OpenAPIV31SpecValidator(described).validate()
    assert json.loads(json.dumps(described)) == described
    names = [operation.name for operation in contract.operations]
    assert len(names) == len(set(names)) > 0
