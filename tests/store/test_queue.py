"""The write queue: order, batches, poison, and a database that is away. Its pauses are recorded, not waited for."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, Text, bindparam, delete, insert, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError

from pbxd.store import queue as queue_module
from pbxd.store.engine import name_of
from pbxd.store.queue import Run, Statement, Values, WriteQueue, runs, runs_in_order
from pbxd.store.trouble import SLOW_S, Condition, Trouble, trouble_of

METADATA = MetaData()
A = Table("a", METADATA, Column("id", Text, primary_key=True), Column("value", Text))
B = Table("b", METADATA, Column("id", Text, primary_key=True), Column("value", Text))
INSERT_A, INSERT_B = insert(A), insert(B)
UPDATE_A = update(A).where(A.c.id == bindparam("key")).values(value=bindparam("value"))
DELETE_A = delete(A).where(A.c.id == bindparam("key"))


class Database:
    """Takes runs, as the store would, and fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[Values]] = []
        self.errors: list[Exception] = []
        self.poison: str | None = None
        self.written = asyncio.Event()

    async def execute(self, parts: Sequence[Run]) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        rows = [row for part in parts for row in part.rows]
        if any(row.get("value") == self.poison for row in rows if self.poison):
            raise IntegrityError("INSERT", None, sqlite3.IntegrityError("secret value"))
        self.batches.append(rows)
        self.written.set()


def busy() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error.sqlite_errorname = "SQLITE_BUSY"
    return OperationalError("INSERT", None, error)


class Clockless:
    """The queue's pauses, recorded and not waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self._sleep = asyncio.sleep
        monkeypatch.setattr("pbxd.store.queue.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        if seconds:
            self.pauses.append(seconds)
        await self._sleep(0)


async def drained(database: Database, writes: Sequence[tuple[Statement, Values]]) -> WriteQueue:
    """Everything in `writes` given to a queue at once and brought to its end."""
    queue = WriteQueue(database.execute, interval_s=60)
    task = asyncio.create_task(queue.run())
    for write in writes:
        queue.write(*write)
    await queue.drain()
    task.cancel()
    await asyncio.wait([task])
    return queue


def test_rows_of_one_statement_become_one_run() -> None:
    found = runs(
        [(INSERT_A, {"id": "1", "value": "x"}), (INSERT_B, {"id": "1"}), (INSERT_A, {"id": "2", "value": "y"})]
    )
    assert [(run.statement, len(run.rows)) for run in found] == [(INSERT_A, 2), (INSERT_B, 1)]


def test_rows_with_other_columns_are_another_run() -> None:
    found = runs([(INSERT_A, {"id": "1", "value": "x"}), (INSERT_A, {"id": "2"})])
    assert [len(run.rows) for run in found] == [1, 1]


def test_calls_in_any_phase_become_three_runs() -> None:
    """Insert, update, delete of many rows, one after the other: three statements, however they alternate."""
    writes: list[tuple[Statement, Values]] = []
    for number in range(100):
        key = str(number)
        writes += [(INSERT_A, {"id": key}), (UPDATE_A, {"key": key, "value": "x"}), (DELETE_A, {"key": key})]
    assert [(run.statement, len(run.rows)) for run in runs(writes)] == [
        (INSERT_A, 100),
        (UPDATE_A, 100),
        (DELETE_A, 100),
    ]


KEYS = st.sampled_from(["1", "2", "3", None])
STATEMENTS = st.sampled_from([INSERT_A, INSERT_B, UPDATE_A, DELETE_A])


@given(st.lists(st.tuples(STATEMENTS, KEYS), max_size=30))
def test_the_order_of_the_writes_of_each_row_is_kept(drawn: list[tuple[Statement, str | None]]) -> None:
    writes: list[tuple[Statement, Values]] = []
    for number, (statement, key) in enumerate(drawn):
        name = "id" if statement in (INSERT_A, INSERT_B) else "key"
        writes.append((statement, {"number": number} if key is None else {name: key, "number": number}))
    placed = {row["number"]: place for place, run in enumerate(runs(writes)) for row in run.rows}
    order = {row["number"]: place for place, row in enumerate(row for run in runs(writes) for row in run.rows)}
    assert sorted(placed) == list(range(len(writes)))
    for later, (statement, key) in enumerate(drawn):
        for earlier in range(later):
            other, other_key = drawn[earlier]
            same_table = (statement is INSERT_B) is (other is INSERT_B)
            if same_table and (key == other_key or None in (key, other_key)):
                assert order[earlier] < order[later]


async def test_a_batch_is_written_after_the_interval() -> None:
    database = Database()
    queue = WriteQueue(database.execute, interval_s=0.001)
    task = asyncio.create_task(queue.run())
    queue.write(INSERT_A, {"id": "1"})
    queue.write(INSERT_A, {"id": "2"})
    assert queue.pending == 2
    await asyncio.wait_for(database.written.wait(), 10)
    assert database.batches == [[{"id": "1"}, {"id": "2"}]]
    task.cancel()
    await asyncio.wait([task])


async def test_drain_does_not_wait_for_the_interval() -> None:
    database = Database()
    queue = await drained(database, [(INSERT_A, {"id": str(number)}) for number in range(5_000)])
    assert [len(batch) for batch in database.batches] == [2_000, 2_000, 1_000]
    assert (queue.pending, queue.statistics.written) == (0, 5_000)


async def test_drain_of_an_empty_queue_returns() -> None:
    await drained(Database(), [])


async def test_poison_is_left_out_counted_and_named_without_its_values(caplog: pytest.LogCaptureFixture) -> None:
    database = Database()
    database.poison = "bad"
    writes: list[tuple[Statement, Values]] = [
        (INSERT_A, {"id": str(number), "value": "bad" if number == 2 else "good"}) for number in range(5)
    ]
    with caplog.at_level(logging.ERROR, logger=queue_module.__name__):
        queue = await drained(database, writes)
    assert [row["id"] for batch in database.batches for row in batch] == ["0", "1", "3", "4"]
    assert queue.statistics.poisoned == {"a": 1}
    assert queue.statistics.written == 4
    assert caplog.messages == ["a row of a (2) cannot be written: IntegrityError"]


async def test_a_fault_of_ours_is_poison_too() -> None:
    database = Database()
    database.errors = [StatementError("bad bind", "INSERT", {}, ValueError()), TypeError("no")]
    queue = await drained(database, [(INSERT_A, {"id": "1"}), (INSERT_A, {"id": "2"})])
    assert queue.statistics.poisoned == {"a": 1}
    assert database.batches == [[{"id": "2"}]]


async def test_what_passes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clockless(monkeypatch)
    database = Database()
    database.errors = [busy() for _ in range(8)]
    queue = await drained(database, [(INSERT_A, {"id": "1"})])
    assert clock.pauses == [0.5, 1, 2, 4, 5, 5, 5, 5]
    assert database.batches == [[{"id": "1"}]]
    assert (queue.statistics.retries, queue.statistics.poisoned) == (8, {})


async def test_a_full_queue_drops_what_comes_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(queue_module, "MAX_PENDING", 3)
    database = Database()
    queue = WriteQueue(database.execute, interval_s=60)
    for number in range(5):
        queue.write(INSERT_A, {"id": str(number)})
    assert queue.statistics.dropped == {"a": 2}
    assert caplog.messages == ["the store does not keep up: writes to a are dropped"]
    assert queue.statistics.oldest_s >= 0
    task = asyncio.create_task(queue.run())
    await queue.drain()
    assert [row["id"] for batch in database.batches for row in batch] == ["0", "1", "2"]
    task.cancel()
    await asyncio.wait([task])


def full() -> OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    error.sqlite_errorname = "SQLITE_FULL"
    return OperationalError("INSERT", None, error)


@pytest.mark.parametrize(
    ("error", "trouble", "name"),
    [
        (busy(), Trouble.LOCKED, "SQLITE_BUSY"),
        (full(), Trouble.DISK_FULL, "SQLITE_FULL"),
        (OSError("somewhere"), Trouble.AWAY, "OSError"),
        (OSError(errno.ENOSPC, "full"), Trouble.DISK_FULL, "OSError"),
        (OSError(errno.EIO, "bad"), Trouble.DISK_FAILING, "OSError"),
        (TimeoutError(), Trouble.SLOW, "TimeoutError"),
        (IntegrityError("x", None, sqlite3.IntegrityError("UNIQUE")), None, "IntegrityError"),
        (OperationalError("x", None, Exception("server closed")), Trouble.AWAY, "Exception"),
        (DBAPIError("x", None, Exception(), connection_invalidated=True), Trouble.AWAY, "Exception"),
        (DBAPIError("x", None, Exception()), None, "Exception"),
        (ValueError(), None, "ValueError"),
    ],
)
def test_what_passes_and_what_does_not(error: Exception, trouble: Trouble | None, name: str) -> None:
    assert (trouble_of(error), name_of(error)) == (trouble, name)


def test_a_missing_table_does_not_pass() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT * FROM nothing")
    connection.close()
    assert trouble_of(OperationalError("x", None, caught.value)) is None


def test_what_is_committed_at_once_keeps_its_order() -> None:
    writes: list[tuple[Statement, Values]] = [
        (INSERT_A, {"id": "1"}),
        (INSERT_A, {"id": "2"}),
        (INSERT_B, {"id": "1"}),
        (INSERT_A, {"id": "3"}),
        (INSERT_A, {"id": "4", "value": "x"}),
    ]
    found = runs_in_order(writes)
    assert [(run.statement, [row["id"] for row in run.rows]) for run in found] == [
        (INSERT_A, ["1", "2"]),
        (INSERT_B, ["1"]),
        (INSERT_A, ["3"]),
        (INSERT_A, ["4"]),
    ]


async def test_what_is_only_refreshed_takes_the_place_of_what_waits() -> None:
    """A store that is away for hours must not fill the queue with what the next refresh makes worthless."""
    database = Database()
    database.errors = [busy()]
    queue = WriteQueue(database.execute, interval_s=60)
    task = asyncio.create_task(queue.run())
    for number in range(1000):
        queue.write(UPDATE_A, {"key": "1", "value": str(number)})
        queue.write(INSERT_A, {"id": "2", "value": str(number)})
    assert queue.pending == 2
    queue.write(DELETE_A, {"key": "2"})
    queue.write(INSERT_A, {"id": "2", "value": "again"})  # not in the place of the one before the deletion
    assert queue.pending == 4
    await queue.drain()
    assert database.batches == [
        [{"key": "1", "value": "999"}, {"id": "2", "value": "999"}, {"key": "2"}, {"id": "2", "value": "again"}]
    ]
    task.cancel()
    await asyncio.wait([task])


async def test_what_is_being_written_is_not_changed_any_more() -> None:
    database = Database()
    queue_holder: list[WriteQueue] = []

    async def execute(parts: Sequence[Run]) -> None:
        rows = [dict(row) for part in parts for row in part.rows]
        if not database.batches:
            queue_holder[0].write(UPDATE_A, {"key": "1", "value": "later"})
            await asyncio.sleep(0)
        assert rows == [row for part in parts for row in part.rows]
        database.batches.append(rows)

    queue = WriteQueue(execute, interval_s=0)
    queue_holder.append(queue)
    task = asyncio.create_task(queue.run())
    queue.write(UPDATE_A, {"key": "1", "value": "first"})
    await queue.drain()
    await queue.drain()
    assert database.batches == [[{"key": "1", "value": "first"}], [{"key": "1", "value": "later"}]]
    task.cancel()
    await asyncio.wait([task])


def test_the_condition_of_a_store_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    condition = Condition(lambda: now[0])
    for trouble in (Trouble.LOCKED, Trouble.LOCKED, None, Trouble.DISK_FULL):
        condition.begin()
        condition.fail(trouble)
    seen = [condition.trouble]
    now[0] += 30
    condition.begin()
    condition.succeed()
    assert [*seen, condition.trouble] == [Trouble.DISK_FULL, None]
    assert (condition.episodes[Trouble.LOCKED], condition.episodes[Trouble.DISK_FULL]) == (1, 1)
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "the store does not take writes (store_locked)",
        "the store does not take writes (disk_full)",
        "the store takes writes again, after 30 s (disk_full)",
    ]


def test_a_write_that_does_not_come_back_is_seen_before_it_does() -> None:
    now = [100.0]
    condition = Condition(lambda: now[0])
    condition.begin()
    now[0] += SLOW_S / 2
    condition.look()
    seen = [condition.trouble]
    now[0] += SLOW_S
    condition.look()
    seen.append(condition.trouble)
    condition.succeed()  # it came, but late: the next one must be quick
    seen.append(condition.trouble)
    condition.begin()
    condition.succeed()
    assert [*seen, condition.trouble] == [None, Trouble.SLOW, Trouble.SLOW, None]
