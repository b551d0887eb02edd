"""Who did what with faxes and keys, for those who must be able to say so later. Never what a fax says.

The newest are in memory; where the settings want it, each is also a line of JSON in a file, and a line of syslog.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pbxd.config.faxes import FaxAudit

log = logging.getLogger(__name__)

KEPT = 1000
TAIL_OCTETS = 4 << 20
Entry = dict[str, Any]


class AuditLog:
    """Call `close` when it is no longer needed."""

    def __init__(self, settings: FaxAudit, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._kept: deque[Entry] = deque(maxlen=KEPT)
        self._syslog: logging.handlers.SysLogHandler | None = None
        self.failures = 0
        self.reload(settings)

    def reload(self, settings: FaxAudit) -> None:
        """Takes up other settings; a syslog that is not there is no reason to stop."""
        self.settings = settings
        self.close()
        if settings.enabled and settings.syslog:
            host, colon, port = settings.syslog_address.rpartition(":")
            address = (host, int(port)) if colon and port.isdecimal() else settings.syslog_address
            try:
                self._syslog = logging.handlers.SysLogHandler(address)
            except OSError as error:
                log.warning("the audit log does not reach syslog: %s", error.strerror or error)

    def close(self) -> None:
        if self._syslog is not None:
            self._syslog.close()
            self._syslog = None

    def note(self, event: str, **values: str | int | float | bool | None) -> None:
        """Writes down that something happened. A disk that is full is logged and counted: faxes go on."""
        entry: Entry = {"event": event, "ts": datetime.fromtimestamp(self._wall(), UTC).isoformat(), **values}
        self._kept.append(entry)
        if not self.settings.enabled:
            return
        line = json.dumps(entry)
        if self.settings.file is not None:
            try:
                with self.settings.file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")
            except OSError as error:
                self.failures += 1
                log.error("the audit log cannot be written: %s", error.strerror or error)
        if self._syslog is not None:
            self._syslog.emit(logging.LogRecord("pbxd.audit", logging.INFO, "", 0, line, None, None))

    def recent(self, q: str | None, event: str | None, since: str | None, limit: int) -> list[Entry]:
        """Newest first. `q` is looked for in the whole entry; `since` is a time in ISO 8601."""
        found = [one for one in reversed(self._kept) if _matches(one, q, event) and (since or "") <= one["ts"]]
        return found[:limit]

    def tail(self, path: Path, q: str | None, event: str | None, lines: int) -> list[Entry]:
        """The same of the end of the file, oldest first. May block; raises OSError."""
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_OCTETS))
            written = file.read().decode(errors="replace").splitlines()
        found = []
        for line in written[-lines:]:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the first line may be half a one
            if isinstance(entry, dict) and _matches(entry, q, event):
                found.append(entry)
        return found


def _matches(entry: Entry, q: str | None, event: str | None) -> bool:
    return (event is None or entry.get("event") == event) and (q is None or q.lower() in json.dumps(entry).lower())


def masked(number: str) -> str:
    """A number of which only the end can be read."""
    return "*" * max(0, len(number) - 4) + number[-4:]
