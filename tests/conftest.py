"""What every test gets: no task outlives it, and the stories run last.

Where real programs run in real time, a test that failed is tried once more: what a busy machine did to a phone is no
fault of the house. More than a few such second tries in one run are, and fail it.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from enum import StrEnum

import pytest

from pbxd.store import migration, sqlite_url
from pbxd.store import store as store_module
from tests.clients.block import Block, leased_block
from tests.postgresql import TEMPLATE, Cluster, Databases, shared_cluster
from tests.sqlite import FirstOnly


class Database(StrEnum):
    """What a store can be kept in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


IN_REAL_TIME = frozenset({"stories", "faults", "box", "test_soak.py", "test_daemon.py", "test_systemd.py"})
SECOND_TRIES = int(os.environ.get("SECOND_TRIES", "1"))  # 0 shows what is unsteady
MOST_SECOND_TRIES = 12
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


@pytest.fixture(scope="session", autouse=True)
def _one_migration_is_enough() -> Iterator[None]:
    """See tests.sqlite."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "upgrade", FirstOnly(migration.upgrade))
        yield


@pytest.fixture(scope="session")
def block() -> Iterator[Block]:
    """Ports and loopback addresses that no other worker and no other session has."""
    with leased_block() as block:
        yield block


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Databases]:
    """Databases on a real server, which all workers of this session share."""
    root = tmp_path_factory.getbasetemp()
    with shared_cluster((root if worker_id == "master" else root.parent) / "postgresql") as cluster:
        yield Databases(cluster, worker_id)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A server of this worker's own, to be stopped and started."""
    with shared_cluster(tmp_path_factory.mktemp("server")) as cluster:
        yield cluster


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for the store waits as long as a busy machine needs; a test that is about waiting says how long."""
    monkeypatch.setattr(store_module, "PATIENCE_S", 30.0)


@pytest.fixture
def server_url(server: Cluster, patient: None) -> Iterator[str]:
    """The URL of a new store on `server`, which runs again afterwards."""
    server.create(database := f"own_{secrets.token_hex(4)}", TEMPLATE)
    yield server.url(database)
    if not server.runs():
        server.start()


@pytest.fixture(params=Database, ids=str)
def store_url(request: pytest.FixtureRequest, patient: None) -> Iterator[str]:
    """The URL of a store that is nobody else's: each test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param is Database.SQLITE:
        yield sqlite_url(request.getfixturevalue("tmp_path") / "pbxd.db")
        return
    databases: Databases = request.getfixturevalue("postgresql")
    with databases.lend() as url:
        yield url


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
