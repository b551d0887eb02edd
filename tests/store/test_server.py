"""What only a PostgreSQL server does to a store: it stops, stands still, refuses a value, is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from pbxd.store import Store, StoreError, Trouble
from pbxd.store import queue as queue_module
from pbxd.store import store as store_module
from pbxd.store.engine import make_engine, parsed_url, url_problem
from pbxd.store.schema import call_legs, meta, outbox
from pbxd.store.trouble import trouble_of
from tests.postgresql import Cluster

PROMPT_S = 2.5


@pytest.fixture
async def store(server_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(server_url, interval_s=0.001)
    yield opened
    await opened.close()


def _row(number: int, value: object = "x") -> dict[str, Any]:
    return {"key": f"row-{number:06}", "value": value}


async def _count(store: Store) -> int:
    return int((await store.rows(select(func.count()).select_from(meta)))[0][0])


async def _until_written(store: Store) -> None:
    async with asyncio.timeout(20):
        await store.drain()


async def test_what_waits_while_the_server_is_away_is_written_when_it_is_back(
    server: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "LAST_PAUSE_S", 0.5)
    for number in range(100):
        store.write(store.upsert(meta), _row(number))
    await store.drain()
    await asyncio.to_thread(server.stop)
    for number in range(100, 5_000):
        store.write(store.upsert(meta), _row(number))
    begun = time.monotonic()
    with pytest.raises(StoreError, match="the database cannot be reached") as refused:
        await store.commit([(store.upsert(meta), _row(9_999))])
    with pytest.raises(StoreError) as unread:
        await _count(store)
    assert time.monotonic() - begun < PROMPT_S
    assert (refused.value.code, unread.value.trouble) == ("store_away", Trouble.AWAY)
    assert (store.trouble, store.pending) == (Trouble.AWAY, 4_900)
    await asyncio.to_thread(server.start)
    await _until_written(store)
    assert (await _count(store), store.trouble) == (5_000, None)
    assert store.statistics.poisoned == store.statistics.dropped == {}
    assert store.troubles[Trouble.AWAY] == 1


async def test_a_server_that_stands_still_is_slow_and_loses_nothing(
    server: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.commit([(store.upsert(meta), _row(0))])
    monkeypatch.setattr(store_module, "PATIENCE_S", 0.2)
    workers = [server.pid, *(await _sessions(store))]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError) as refused:
            await store.commit([(store.upsert(meta), _row(1))])
        assert refused.value.trouble is Trouble.SLOW
        store.write(store.upsert(meta), _row(2))
        await asyncio.sleep(0.05)
        assert store.pending == 1
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    await _until_written(store)
    monkeypatch.setattr(store_module, "PATIENCE_S", 10.0)
    assert [row.key for row in await store.rows(select(meta.c.key).order_by(meta.c.key))] == [
        "row-000000",
        "row-000002",
    ]
    assert store.trouble is None


async def _sessions(store: Store) -> list[int]:
    """The processes that serve `store`."""
    found = await store.rows(text("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"))
    return [int(row.pid) for row in found]


async def test_a_session_that_is_cut_is_opened_again_and_nobody_notices(server_url: str, store: Store) -> None:
    await store.commit([(store.upsert(meta), _row(0))])
    assert await _count(store) == 1
    other = make_engine(server_url)
    async with other.connect() as connection:
        cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        cut += " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert (await connection.exec_driver_sql(cut)).scalar() == 2  # one that writes, one that reads
    await other.dispose()
    assert await _count(store) == 1
    store.write(store.upsert(meta), _row(1))
    await _until_written(store)
    assert await _count(store) == 2


async def test_a_nul_is_told_apart_from_nothing_and_costs_no_row(store: Store) -> None:
    """PostgreSQL's text holds no NUL; SQLite's does."""
    store.write(store.upsert(meta), _row(1, "a\0b"))
    await store.drain()
    assert [row.value for row in await store.rows(select(meta.c.value))] == ["a\ufffdb"]
    assert list(await store.rows(select(meta).where(meta.c.value == "a\0b"))) == []
    assert (store.statistics.poisoned, store.trouble) == ({}, None)


async def test_a_value_that_the_driver_refuses_is_poison_and_not_waited_for(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for number, value in enumerate(("good", 7, "\ud800", "better")):
        store.write(store.upsert(meta), _row(number, value))
    await _until_written(store)
    assert [row.value for row in await store.rows(select(meta.c.value).order_by(meta.c.key))] == ["good", "better"]
    assert store.statistics.poisoned == {"meta": 2}
    assert "a row of meta (row-000001) cannot be written: " in caplog.text
    assert "\ud800" not in caplog.text


async def test_octets_and_times_come_back_as_they_were(store: Store) -> None:
    row = {name.name: "x" for name in outbox.c} | {
        "body": bytes(range(256)),
        "attempts": 0,
        "created_at": 1_790_000_000.123456,
        "due_at": 1e10,
        "ended_at": None,
        "reason": None,
    }
    await store.commit([(store.upsert(outbox), row)])
    (found,) = await store.rows(select(outbox))
    assert dict(found._mapping) == row
    assert not await store.rows(select(call_legs))


async def test_a_server_or_database_that_is_not_there_is_a_sentence(server_url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"the database cannot be reached \(FileNotFoundError\)") as away:
        await Store.open(f"postgresql://pbxd@/pbxd?host={tmp_path}")
    assert away.value.trouble is Trouble.AWAY
    with pytest.raises(StoreError, match=r"the database cannot be reached \(InvalidCatalogNameError\)"):
        await Store.open(server_url.replace("/own_", "/not_"))


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://pbxd:p@db.example/pbxd", "postgresql+asyncpg"),
        ("postgres://pbxd:p@db.example/pbxd", "postgresql+asyncpg"),
        ("postgresql+asyncpg://pbxd:p@db.example/pbxd?ssl=require", "postgresql+asyncpg"),
        ("postgresql://pbxd:p@db.example/pbxd?sslmode=verify-full", "postgresql+asyncpg"),
        ("postgresql://pbxd@/pbxd?host=/run/postgresql&port=5433", "postgresql+asyncpg"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite"),
    ],
)
def test_a_postgresql_url_needs_no_driver(url: str, driver: str) -> None:
    assert parsed_url(url).drivername == driver
    assert url_problem(url) is None


async def test_an_option_that_the_driver_does_not_know_is_named_before_the_start_and_at_it() -> None:
    url = "postgresql://pbxd:secret@db.example/pbxd?sslmod=require"
    assert url_problem(url) == "its option sslmod is not among database, host, passfile, password, port, ssl, user"
    with pytest.raises(StoreError, match="its option sslmod is not among") as refused:
        await Store.open(url)
    assert "secret" not in str(refused.value)


class _FromServer(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("secret value")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "trouble"),
    [
        ("53100", Trouble.DISK_FULL),
        ("53300", Trouble.AWAY),  # too many connections
        ("57P01", Trouble.AWAY),  # the administrator stopped the server
        ("57P03", Trouble.AWAY),  # it starts
        ("57014", Trouble.SLOW),
        ("08006", Trouble.AWAY),
        ("28P01", Trouble.AWAY),
        ("25006", Trouble.AWAY),
        ("40P01", Trouble.LOCKED),
        ("55P03", Trouble.LOCKED),
        ("58030", Trouble.DISK_FAILING),
        ("23505", None),
        ("22001", None),
        ("42P01", None),
    ],
)
def test_what_a_server_says_passes_or_does_not(sqlstate: str, trouble: Trouble | None) -> None:
    assert trouble_of(_FromServer(sqlstate)) is trouble
