"""What every test gets: no task outlives it, and the stories run last.

Where real programs run in real time, a test that failed is tried once more: what a busy machine did to a phone is no
fault of the house. More than a few such second tries in one run are, and fail it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients.block import Block, leased_block

IN_REAL_TIME = frozenset({"stories", "faults", "box"})
SECOND_TRIES = int(os.environ.get("SECOND_TRIES", "1"))  # 0 shows what is unsteady
MOST_SECOND_TRIES = 6
TURNS_TO_FINISH = 5  # of the event loop, for tasks that were cancelled and are on their way out


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Small tests first: what they find is easier to mend. Else as they stand in the files, parameters by name, so that
    every worker has the same order also where parameters come from a set."""
    items.sort(key=lambda item: ("stories" in item.path.parts, item.path, item.location[1] or 0, item.name))
    for item in items:
        if IN_REAL_TIME & set(item.path.parts):
            item.add_marker(pytest.mark.flaky(reruns=SECOND_TRIES))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Many second tries are a fault."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    tried_again = len(reporter.stats.get("rerun", ()))
    if tried_again > MOST_SECOND_TRIES:
        reporter.write_line(f"\n{tried_again} second tries: more than {MOST_SECOND_TRIES} are a fault")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def block() -> Iterator[Block]:
    """Ports and loopback addresses that no other worker and no other session has."""
    with leased_block() as block:
        yield block


@pytest.fixture(autouse=True)
def _nothing_left_behind(request: pytest.FixtureRequest) -> None:
    """Every asynchronous test is watched for tasks that are nobody's."""
    function = getattr(request.node, "obj", None)
    if inspect.iscoroutinefunction(getattr(getattr(function, "hypothesis", None), "inner_test", function)):
        request.getfixturevalue("no_leaked_tasks")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fails the test after whose end, and after the end of its fixtures, a task is still there."""
    before = asyncio.all_tasks()
    yield
    leaked = asyncio.all_tasks() - before - {_current()}
    for _ in range(TURNS_TO_FINISH):
        if not leaked:
            return
        await asyncio.sleep(0)
        leaked = {task for task in leaked if not task.done()}
    if leaked:
        pytest.fail("left behind: " + "; ".join(f"{task.get_name()} {task.get_coro()}" for task in leaked))


def _current() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task
