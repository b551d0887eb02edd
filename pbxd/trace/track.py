"""What was seen of one call so far: a ring, bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable

from pbxd.trace.entries import HEAD, LINE_FEED, MAX_LINES, OUTWARD, Entry, Line, Sound, Topic, entries_of

_head = HEAD.pack
ROW_COST = 120  # bytes that a row takes beside its text, roughly
MAX_DIALOGS = 64
MAX_SOUNDS = 16


class Track:
    """`first` is the number of the oldest row still held, counted from 0: what is before it was pushed out.

    `rows` has the head of a row, its text, the next one's head, and so on. `names` are the ids it is found by: the
    call's and those of its dialogs. `offset` turns its times into seconds since the epoch: a clock that is set while a
    call is up does not tear its ladder apart. `account_id` is empty where the call is nobody's.
    """

    __slots__ = (
        "account_id",
        "began_at",
        "ended_at",
        "first",
        "id",
        "lines",
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
        self.rows: list[bytes] = []
        self.lines: dict[Line, int] = {}
        self.first = 0
        self.size = 0
        self.sounds: tuple[Sound, ...] = ()
        self.began_at = now
        self.ended_at: float | None = None
        self.watchers: tuple[Callable[[], None], ...] = ()

    @property
    def next(self) -> int:
        """The number of the row that comes next."""
        return self.first + len(self.rows) // 2

    @property
    def started_at(self) -> float:
        """When its first row came."""
        return float(HEAD.unpack(self.rows[0])[2]) if self.rows else self.began_at

    @property
    def touched_at(self) -> float:
        """When its last row came."""
        return float(HEAD.unpack(self.rows[-2])[2]) if self.rows else self.began_at

    @property
    def entries(self) -> list[Entry]:
        """The rows for reading, their times still monotonic."""
        return list(entries_of(b"".join(self.rows), list(self.lines)))

    def hear(self, now: float, kind: int, data: bytes, line: Line, limit: int) -> None:
        """Keeps a message, up to `limit` bytes of it."""
        number = self.lines.get(line)
        if number is None:
            number = len(self.lines)
            if number >= MAX_LINES:
                return
            self.lines[line] = number
        size = length = len(data)
        if length > limit:
            data, size = data[:limit], limit
        self.rows += (_head(LINE_FEED, kind, now, number, size, length, LINE_FEED), data)
        self.size += ROW_COST + size
        if self.watchers:
            self.wake()

    def note(self, now: float, topic: Topic, text: bytes) -> None:
        """Keeps a note in UTF-8."""
        self._keep(_head(LINE_FEED, topic, now, 0, len(text), len(text), LINE_FEED), text)

    def take(self, other: Track) -> None:
        """Keeps what another track has, too."""
        lines = list(other.lines)
        for head, text in zip(other.rows[::2], other.rows[1::2], strict=True):
            _, kind, at, number, _, length, _ = HEAD.unpack(head)
            if kind > OUTWARD:
                self._keep(head, text)
            else:
                number = self.lines.setdefault(lines[number], len(self.lines))
                self._keep(_head(LINE_FEED, kind, at, number, len(text), length, LINE_FEED), text)

    def _keep(self, head: bytes, text: bytes) -> None:
        self.rows += (head, text)
        self.size += ROW_COST + len(text)
        if self.watchers:
            self.wake()

    def trim(self, limit: int) -> None:
        """Lets go of the oldest rows above `limit` bytes, but for the last one."""
        rows, gone = self.rows, 0
        while self.size > limit and len(rows) > gone + 2:
            self.size -= ROW_COST + len(rows[gone + 1])
            gone += 2
        del rows[:gone]
        self.first += gone // 2

    def wake(self) -> None:
        """Tells those who follow it, once."""
        watchers, self.watchers = self.watchers, ()
        for watcher in watchers:
            watcher()
