"""Whatever the edge is asked that its OpenAPI document allows, and much that it does not, it answers, and never 500."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import response_schema_conformance

from pbxd.api.edge import EDGE
from pbxd.api.openapi import document
from tests.api.node_house import ADMIN, edge_house

SCHEMA = schemathesis.openapi.from_dict(document(EDGE))
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
WIDE = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a house that runs beside the test."""
    up: Future[str] = Future()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def live(folder: Path) -> None:
        try:
            async with edge_house(folder) as house:
                up.set_result(house.client.base)
                await over.wait()
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
            raise

    thread = threading.Thread(target=lambda: loop.run_until_complete(live(tmp_path_factory.mktemp("house"))))
    thread.start()
    try:
        yield up.result(timeout=60)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@SCHEMA.parametrize()
@WIDE
def test_nothing_that_is_asked_breaks_it(case: schemathesis.Case[Any], base: str) -> None:
    """What answers 501 by contract is no fault; everything has the shape that the document says."""
    response = case.call(base_url=base, headers={"x-admin-token": ADMIN})
    assert response.status_code < 500 or response.status_code in (501, 503), response.text
    case.validate_response(response, checks=[response_schema_conformance])
