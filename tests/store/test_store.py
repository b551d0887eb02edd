"""The store on a real SQLite file, and on a real PostgreSQL server."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from pbxd.store import DataDirectory, Store, StoreError, Trouble, sqlite_url
from pbxd.store import store as store_module
from pbxd.store.data_dir import DataDirectoryError
from pbxd.store.engine import BUSY_TIMEOUT_MS, make_engine
from pbxd.store.schema import METADATA, REVISION, accounts, bindings, call_legs, calls, keys, meta, users
from pbxd.store.statements import upsert


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = await Store.open(store_url, interval_s=0.001)
    yield opened
    await opened.close()


def call(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"call_{number}",
        "account_id": "acc_1",
        "node": "here",
        "direction": "internal",
        "caller": "1001",
        "caller_name": "",
        "called": "600",
        "started_at": 1.5,
        "ringing_at": None,
        "answered_at": None,
        "ended_at": None,
        "result": None,
        "sip_status": None,
        "q850": None,
        "reason": None,
        "ended_by": None,
    } | changes


async def test_a_new_store_has_all_tables_and_the_newest_revision(store: Store) -> None:
    for table in METADATA.sorted_tables:
        assert table is meta or not await store.rows(select(table)), table.name
    assert (await store.rows(text("SELECT version_num FROM alembic_version")))[0][0] == REVISION


async def test_a_new_file_is_ours_alone_and_lets_readers_and_the_writer_pass_each_other(tmp_path: Path) -> None:
    store = await Store.open(sqlite_url(tmp_path / "pbxd.db"))
    with sqlite3.connect(tmp_path / "pbxd.db") as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert mode == ("wal",)
    assert (tmp_path / "pbxd.db").stat().st_mode & 0o777 == 0o600
    await store.close()


async def test_writes_are_read_after_drain(store: Store) -> None:
    store.write(store.upsert(calls), call(1))
    store.write(store.update_by_id(calls, "answered_at"), {"key": "call_1", "answered_at": 2.5})
    store.write(store.upsert(calls), call(2))
    await store.drain()
    rows = await store.rows(select(calls).order_by(calls.c.serial))
    assert [(row.id, row.serial, row.answered_at) for row in rows] == [("call_1", 1, 2.5), ("call_2", 2, None)]


async def test_serials_are_never_given_twice(store: Store) -> None:
    store.write(store.upsert(calls), call(1))
    store.write(store.delete_by_id(calls), {"key": "call_1"})
    await store.drain()
    store.write(store.upsert(calls), call(2))
    await store.drain()
    assert [row.serial for row in await store.rows(select(calls.c.serial))] == [2]


async def test_an_upsert_replaces_the_row_and_keeps_its_serial(store: Store) -> None:
    for changes in ({}, {"ended_at": 9.0, "result": "success"}):
        store.write(store.upsert(calls), call(1, **changes))
        await store.drain()
    rows = await store.rows(select(calls))
    assert [(row.serial, row.ended_at, row.result) for row in rows] == [(1, 9.0, "success")]


async def test_meta_is_upserted_by_its_key(store: Store) -> None:
    for value in ("1", "2"):
        await store.commit([(store.upsert(meta), {"key": "heartbeat", "value": value})])
    assert [row.value for row in await store.rows(select(meta))] == ["2"]


async def test_commit_is_all_or_nothing(store: Store) -> None:
    account = {"id": "acc_1", "slug": "a", "name": "A", "realm": "r", "created_at": 1.0}
    user = {
        "id": "usr_1",
        "account_id": "nobody",
        "name": "u",
        "display_name": "",
        "declared": False,
        "created_at": 1.0,
    }
    with pytest.raises(StoreError, match=r"SQLITE_CONSTRAINT_FOREIGNKEY|ForeignKeyViolationError"):
        await store.commit([(store.upsert(accounts), account), (store.upsert(users), user)])
    assert not await store.rows(select(accounts))
    await store.commit([(store.upsert(accounts), account), (store.upsert(users), user | {"account_id": "acc_1"})])
    assert len(await store.rows(select(users))) == 1


async def test_one_bad_row_does_not_cost_the_others(store: Store) -> None:
    store.write(store.upsert(calls), call(1))
    store.write(store.upsert(calls), call(2, caller=None))
    store.write(store.upsert(calls), call(3))
    await store.drain()
    assert [row.id for row in await store.rows(select(calls.c.id))] == ["call_1", "call_3"]
    assert store.statistics.poisoned == {"calls": 1}


@asynccontextmanager
async def locked(store_url: str) -> AsyncIterator[None]:
    """Another process holds what the store wants to write to."""
    engine = make_engine(store_url)
    async with engine.connect() as other:
        sqlite = engine.dialect.name == "sqlite"
        await other.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "LOCK TABLE calls, meta IN EXCLUSIVE MODE")
        yield
        await other.rollback()
    await engine.dispose()


async def test_another_writer_holds_up_but_does_not_lose(store_url: str) -> None:
    store = await Store.open(store_url, interval_s=0.001)
    store.write(store.upsert(calls), call(1))
    await store.drain()
    async with locked(store_url):
        store.write(store.upsert(calls), call(2))
        assert [row.id for row in await store.rows(select(calls.c.id))] == ["call_1"]  # readers pass
        assert store.pending == 1
    await store.drain()
    assert len(await store.rows(select(calls.c.id))) == 2
    await store.close()


async def test_close_writes_what_is_pending_and_a_new_store_finds_it(store_url: str) -> None:
    first = await Store.open(store_url, interval_s=60)
    for number in range(3_000):
        first.write(first.upsert(calls), call(number))
    await first.close()
    second = await Store.open(store_url)
    assert (await second.rows(select(func.count()).select_from(calls)))[0][0] == 3_000
    await second.close()


async def test_a_newer_store_is_refused(store_url: str) -> None:
    store = await Store.open(store_url)
    async with store._engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await store.close()
    with pytest.raises(StoreError, match=f"revision 9999, newer than this pbxd \\({REVISION}\\): update pbxd"):
        await Store.open(store_url)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pbxd.db").write_text("this is not a database, and it is long enough to be sure of that\n" * 20)
    with pytest.raises(StoreError, match="is it a pbxd database"):
        await Store.open(sqlite_url(tmp_path / "pbxd.db"))


async def test_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await Store.open(sqlite_url(tmp_path / "none" / "pbxd.db"))


async def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await Store.open("nonsense")


def test_every_table_is_valid_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in METADATA.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        text += "".join(str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes)
        assert "BIGSERIAL" in text or "serial" not in table.c
        if table is not meta and table is not accounts:
            assert "account_id" in table.c
    text = str(upsert(calls, "postgresql").compile(dialect=dialect))
    assert "ON CONFLICT (id) DO UPDATE SET account_id = excluded.account_id" in text
    assert "serial = excluded" not in text


def test_the_statements_are_made_once() -> None:
    assert upsert(bindings, "sqlite") is upsert(bindings, "sqlite")
    assert upsert(bindings, "sqlite") is not upsert(call_legs, "sqlite")


def test_keys_are_unique_by_hash() -> None:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    row = {"account_id": "a", "hash": "h", "scopes": "[]", "created_at": 1.0}
    with engine.connect() as connection:
        connection.execute(insert(keys), [{"id": "1", "name": "x", **row}])
        with pytest.raises(Exception, match=r"UNIQUE constraint failed: keys\.hash"):
            connection.execute(insert(keys), [{"id": "2", "name": "y", **row}])
        connection.execute(update(keys).values(name="z"))
    engine.dispose()


def test_a_data_directory_is_closed_to_others_and_keeps_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "var" / "house"
    first = DataDirectory.prepare(path)
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / "secret").stat().st_mode & 0o777 == 0o600
    assert len(first.secret) == 32
    first.release()
    path.chmod(0o755)
    assert DataDirectory.prepare(path).secret == first.secret
    assert path.stat().st_mode & 0o777 == 0o700
    assert DataDirectory.prepare(tmp_path / "other").secret != first.secret
    assert sorted(each.name for each in path.iterdir()) == ["lock", "secret"]


def test_a_data_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match="cannot be used: File exists"):
        DataDirectory.prepare(tmp_path / "file")
    DataDirectory.prepare(tmp_path / "house").release()
    (tmp_path / "house" / "secret").write_text("short")
    with pytest.raises(DataDirectoryError, match="is damaged"):
        DataDirectory.prepare(tmp_path / "house")


def test_a_second_daemon_is_kept_out_of_the_data_directory(tmp_path: Path) -> None:
    first = DataDirectory.prepare(tmp_path / "data")
    with pytest.raises(DataDirectoryError, match="another pbxd uses"):
        DataDirectory.prepare(tmp_path / "data")
    first.release()
    DataDirectory.prepare(tmp_path / "data").release()


async def test_whoever_waits_for_a_locked_store_is_told_in_time_and_nothing_is_left_of_it(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PATIENCE_S", 0.05)
    store = await Store.open(store_url, interval_s=60)
    async with locked(store_url):
        begun = time.monotonic()
        with pytest.raises(StoreError, match=r"not ready in 0\.05 s") as refused:
            await store.commit([(store.upsert(meta), {"key": "refused", "value": "1"})])
        assert time.monotonic() - begun < BUSY_TIMEOUT_MS / 1000
        assert (refused.value.http_status, refused.value.code) == (503, "store_slow")
        assert refused.value.retry_after_s
    monkeypatch.setattr(store_module, "PATIENCE_S", 30.0)
    await store.commit([(store.upsert(meta), {"key": "taken", "value": "2"})])
    assert [(row.key, row.value) for row in await store.rows(select(meta))] == [("taken", "2")]
    assert store.trouble is None
    await store.close()


async def test_reading_has_an_end_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that takes its time stands for a disk that does."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000) SELECT count(*) FROM n"
    monkeypatch.setattr(store_module, "PATIENCE_S", 0.005)
    with pytest.raises(StoreError) as refused:
        await store.rows(text(numbers))
    assert refused.value.trouble is Trouble.SLOW
    monkeypatch.setattr(store_module, "PATIENCE_S", 30.0)
    assert not await store.rows(select(accounts))


async def test_a_commit_that_its_asker_gave_up_is_no_trouble_of_the_store(store: Store) -> None:
    task = asyncio.create_task(store.commit([(store.upsert(meta), {"key": "a", "value": "1"})]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.commit([(store.upsert(meta), {"key": "b", "value": "2"})])
    assert store.trouble is None
    assert not any(store.troubles.values())
