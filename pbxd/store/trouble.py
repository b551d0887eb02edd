"""What can be wrong with a store for a while, by name; said once when it begins and once when it is over."""

from __future__ import annotations

import errno
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pbxd.errors import Unavailable

log = logging.getLogger(__name__)

SLOW_S = 2.0  # a batch that takes longer is no longer normal
RETRY_AFTER_S = 5


class Trouble(StrEnum):
    """Why the store does not take a write just now. Each is the code of a 503 and the label of a metric."""

    DISK_FULL = "disk_full"
    DISK_FAILING = "disk_failing"
    LOCKED = "store_locked"
    SLOW = "store_slow"
    AWAY = "store_away"


IN_WORDS = {
    Trouble.DISK_FULL: "there is no space left on its disk",
    Trouble.DISK_FAILING: "its disk does not read or write",
    Trouble.LOCKED: "another process holds it locked",
    Trouble.SLOW: "its disk takes too long",
    Trouble.AWAY: "the database cannot be reached",
}


class StoreError(Unavailable):
    """The store cannot be opened, or a read or write that was waited for failed. The message holds no values.

    `trouble` says why where that passes by itself, and is then the `code`; None where it does not.
    """

    code = "store_failed"

    def __init__(self, message: str, trouble: Trouble | None = None) -> None:
        super().__init__(message)
        self.trouble = trouble
        if trouble is not None:
            self.code = trouble.value
            self.retry_after_s = RETRY_AFTER_S


_BY_PRIMARY_CODE = {
    sqlite3.SQLITE_BUSY: Trouble.LOCKED,
    sqlite3.SQLITE_LOCKED: Trouble.LOCKED,
    sqlite3.SQLITE_PROTOCOL: Trouble.LOCKED,
    sqlite3.SQLITE_FULL: Trouble.DISK_FULL,
    sqlite3.SQLITE_NOMEM: Trouble.DISK_FAILING,
    sqlite3.SQLITE_READONLY: Trouble.DISK_FAILING,
    sqlite3.SQLITE_IOERR: Trouble.DISK_FAILING,
    sqlite3.SQLITE_CANTOPEN: Trouble.DISK_FAILING,
}
_BY_ERRNO = {
    errno.ENOSPC: Trouble.DISK_FULL,
    errno.EDQUOT: Trouble.DISK_FULL,
    errno.EIO: Trouble.DISK_FAILING,
    errno.EROFS: Trouble.DISK_FAILING,
}
_BY_SQLSTATE = {  # whole codes before their classes; PostgreSQL's appendix A
    "53100": Trouble.DISK_FULL,
    "57014": Trouble.SLOW,  # cancelled: a timeout of the server's
    "58030": Trouble.DISK_FAILING,
    "08": Trouble.AWAY,
    "25006": Trouble.AWAY,  # a stand-by, which only reads
    "28": Trouble.AWAY,  # does not let us in
    "3D": Trouble.AWAY,  # the database is not there
    "40": Trouble.LOCKED,  # a deadlock, or a conflict with another transaction
    "53": Trouble.AWAY,  # too many connections, out of memory
    "55P03": Trouble.LOCKED,
    "57": Trouble.AWAY,  # shutting down, or starting up
    "58": Trouble.DISK_FAILING,
    "XX": Trouble.DISK_FAILING,
}
# A full disk shows itself here too: when the shared memory of the log cannot grow.
_FULL_IN_DISGUISE = {sqlite3.SQLITE_IOERR_SHMSIZE}


def trouble_of(error: BaseException) -> Trouble | None:
    """What passes of `error`: the same write may succeed later. None: the row, or the file, is at fault."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    if code is not None:
        full = int(code) in _FULL_IN_DISGUISE
        return Trouble.DISK_FULL if full else _BY_PRIMARY_CODE.get(int(code) & 0xFF)
    if isinstance(error, TimeoutError):
        return Trouble.SLOW
    if state := sqlstate_of(error):
        return _BY_SQLSTATE.get(state) or _BY_SQLSTATE.get(state[:2])
    if isinstance(error, DBAPIError):
        if isinstance(error.orig and error.orig.__cause__, ValueError):
            return None  # asyncpg cannot encode a value: it calls that an error of the interface
        lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
        return Trouble.AWAY if lost else None
    if isinstance(error, PoolTimeout):
        return Trouble.SLOW  # all connections wait for the server
    return _BY_ERRNO.get(error.errno or 0, Trouble.AWAY) if isinstance(error, OSError) else None


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE that a server gave, five characters; None where it was not a server that objected."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


class Condition:
    """How the store is. Each write reports; `look`, called now and then, notices one that does not come back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.trouble: Trouble | None = None
        self.episodes: Counter[Trouble] = Counter(dict.fromkeys(Trouble, 0))
        self._clock = clock
        self._since = 0.0
        self._begun: float | None = None

    def begin(self) -> None:
        """A write begins."""
        self._begun = self._clock()

    def succeed(self) -> None:
        """The write that was begun is in the store."""
        took = self._clock() - (self._begun or 0.0)
        self._begun = None
        if took >= SLOW_S:
            self._turn(Trouble.SLOW)
        elif self.trouble is not None:
            log.warning("the store takes writes again, after %.0f s (%s)", self._clock() - self._since, self.trouble)
            self.trouble = None

    def fail(self, trouble: Trouble | None) -> None:
        """The write that was begun failed; without `trouble` that says nothing about the store."""
        self._begun = None
        if trouble is not None:
            self._turn(trouble)

    def look(self) -> None:
        """Due every second or so."""
        if self.trouble is None and self._begun is not None and self._clock() - self._begun >= SLOW_S:
            self._turn(Trouble.SLOW)

    def _turn(self, trouble: Trouble) -> None:
        if trouble is self.trouble:
            return
        if self.trouble is None:
            self._since = self._clock()
        self.trouble = trouble
        self.episodes[trouble] += 1
        log.error(
            "the store does not take writes (%s): %s. Calls go on, their records wait in memory",
            trouble.value,
            IN_WORDS[trouble],
        )
