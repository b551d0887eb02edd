"""What was seen of one call so far: a ring, bounded in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pbxd.trace.entries import Entry, Row, Sound, entry_of

ROW_COST = 250  # bytes that a row takes beside its text, roughly
MAX_DIALOGS = 64
MAX_SOUNDS = 16


class Track:
    """`first` is the number of the oldest row still held, counted from 0: what is before it was pushed out.

    `names` are the ids it is found by: the call's and those of its dialogs. `offset` turns its times into seconds since
    the epoch: a clock that is set while a call is up does not tear its ladder apart. `cut` has the true length of
    messages that were too long, by number. `account_id` is empty where the call is nobody's.
    """

    __slots__ = (
        "account_id",
        "began_at",
        "cut",
        "ended_at",
        "first",
        "id",
        "names",
        "offset",
        "rows",
        "size",
        "sounds",
        "watchers",
    )

    def __init__(self, name: str, offset: float, now: float, account_id: str = "") -> None:
        self.id = name
        self.account_id = account_id
        self.names: list[str] = [name]
        self.offset = offset
        self.rows: deque[Row] = deque()
        self.cut: dict[int, int] = {}
        self.first = 0
        self.size = 0
        self.sounds: list[Sound] = []
        self.began_at = now
        self.ended_at: float | None = None
        self.watchers: list[Callable[[], None]] = []

    @property
    def next(self) -> int:
        """The number of the row that comes next."""
        return self.first + len(self.rows)

    @property
    def touched_at(self) -> float:
        """When the last row came."""
        return self.rows[-1][0] if self.rows else self.began_at

    @property
    def entries(self) -> list[Entry]:
        """The rows for reading, their times still monotonic."""
        return [entry_of(row, self.cut.get(number)) for number, row in enumerate(self.rows, self.first)]

    def add(self, row: Row, limit: int) -> int:
        """Keeps a row, and lets go of the oldest ones above `limit` bytes; by how many bytes it grew."""
        before = self.size
        self.rows.append(row)
        self.size += ROW_COST + len(row[2])
        if self.size > limit:
            self.trim(limit)
        if self.watchers:
            self.wake()
        return self.size - before

    def trim(self, limit: int) -> None:
        """Lets go of the oldest rows above `limit` bytes."""
        rows = self.rows
        while self.size > limit and len(rows) > 1:
            self.size -= ROW_COST + len(rows.popleft()[2])
            self.cut.pop(self.first, None)
            self.first += 1

    def wake(self) -> None:
        """Tells those who follow it, once."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()
