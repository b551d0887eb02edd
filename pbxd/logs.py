"""One line a state change, as text for people or JSON for machines; never a secret, never a wait.

Upper floors log through `structlog.get_logger()` with values as keywords, the ground floor through `logging`; both end
in the same line format and the same writer. A call's lines carry its id: `get_logger().bind(call=record.id)` above, a
`LoggerAdapter` with `{"call": id}` below.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, TextIO

import structlog

MAX_QUEUED_LINES = 20_000
MAX_VALUE_LENGTH = 4096
BATCH_INTERVAL_S = 0.02
MASK = "***"

_SECRET_WORDS = ("password", "secret", "authorization", "credential", "ha1", "api_key", "private_key", "token")
_COLOURS = {"debug": "\x1b[2m", "warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31;1m"}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_TALKATIVE = ("alembic", "aiosqlite", "asyncio")  # libraries whose info lines say nothing to an operator
_RECORD_KEYS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_PLAIN_RECORD_SIZE = len(logging.makeLogRecord({}).__dict__)
_METHOD_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical"}

Line = dict[str, Any]
"""What a line says: `time` (seconds since the epoch), `level`, `event`, then the values as they were bound."""


class LogFormat(StrEnum):
    """`AUTO` is text on a terminal and JSON otherwise."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LineWriter:
    """Writes whole lines to a file descriptor from a thread of its own, so that a stalled journal never stalls a call.

    The queue is bounded; lines that do not fit are counted in `dropped`, and a line says so once there is room again.
    """

    def __init__(self, descriptor: int, *, limit: int = MAX_QUEUED_LINES) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._limit = limit
        self._lines: deque[str] = deque()
        self._reported = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line, given without its newline."""
        if len(self._lines) >= self._limit:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is queued and end the thread; gives up after 2 s when nobody reads. Idempotent."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait()
            self._wake.clear()
            self._write_queued()
            self._stopping.wait(BATCH_INTERVAL_S)  # what arrives meanwhile goes out in one write
        self._write_queued()

    def _write_queued(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lost := self.dropped - self._reported:
            self._reported += lost
            lines.append(json.dumps({"level": "warning", "event": "log lines dropped", "lines": lost}))
        data = "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except OSError:
                return  # nobody reads any more, and there is nowhere else to say so


class Logs:
    """The logging of the process: one threshold, one renderer, one writer. `close` it at the very end."""

    def __init__(self, level: str, render: Callable[[Line], str], write: Callable[[str], None]) -> None:
        self._threshold = _level_number(level)
        self._render = render
        self._write = write
        self._writer: LineWriter | None = None
        self._taps: list[Callable[[Line], None]] = []

    @contextlib.contextmanager
    def tapped(self, tap: Callable[[Line], None]) -> Iterator[None]:
        """Hand each line to `tap` as well, made safe, in whatever thread it was written; `tap` keeps no line and logs
        nothing."""
        self._taps.append(tap)
        try:
            yield
        finally:
            self._taps.remove(tap)

    def _rendered(self, line: Line) -> str:
        safe = _made_safe(line)
        for tap in self._taps:
            tap(safe)
        return self._render(safe)

    @classmethod
    def start(cls, level: str, form: LogFormat, stream: TextIO) -> Logs:
        """Log to `stream` from a thread of its own from now on. Raises ValueError for an unknown level."""
        writer = LineWriter(stream.fileno())
        terminal = stream.isatty()
        text = terminal if form is LogFormat.AUTO else form is LogFormat.TEXT
        render = _TextRenderer(colours=terminal) if text else render_json
        logs = cls(level, _prefixed(render) if is_journal(stream.fileno()) else render, writer.write)
        logs._writer = writer
        logs.install()
        atexit.register(writer.close)
        return logs

    def install(self) -> None:
        """Send every line of structlog and of the standard library's `logging` through here."""
        structlog.configure(
            processors=[self._process],
            wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
            logger_factory=lambda *_names: _Sink(self._write),
            cache_logger_on_first_use=self._writer is not None,  # a process has one log for life, tests have many
        )
        logging.root.handlers = [_StandardHandler(self)]
        logging.root.setLevel(self._threshold)
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        logging.captureWarnings(capture=True)

    @property
    def dropped(self) -> int:
        """Lines lost because the reader of the log was too slow."""
        return self._writer.dropped if self._writer else 0

    def set_level(self, level: str) -> None:
        """Log lines of `level` (debug, info, warning, error, critical) and above; ValueError for another word."""
        self._threshold = _level_number(level)
        logging.root.setLevel(self._threshold)

    def close(self) -> None:
        """Write what is queued and stop."""
        if self._writer:
            self._writer.close()
            atexit.unregister(self._writer.close)

    def forward(self, record: logging.LogRecord) -> None:
        """Take a line of the standard library's `logging`."""
        line: Line = {
            "time": record.created,
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if len(record.__dict__) > _PLAIN_RECORD_SIZE:  # values given as `extra`, by a LoggerAdapter for one
            line.update((key, value) for key, value in record.__dict__.items() if key not in _RECORD_KEYS)
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        self._write(self._rendered(line))

    def _process(self, _logger: object, method: str, values: MutableMapping[str, Any]) -> str:
        level = _METHOD_LEVELS.get(method, method)
        if _level_number(level) < self._threshold:
            raise structlog.DropEvent
        line: Line = {"time": time.time(), "level": level, "event": values.pop("event", ""), **values}
        if error := line.pop("exc_info", None):
            line["exception"] = _exception_text(error)
        return self._rendered(line)


def get_logger(**values: object) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `values`; add more with `.bind(call=...)`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(**values)
    return logger


def render_json(line: Line) -> str:
    """One JSON object; the time in UTC, RFC 3339 with milliseconds."""
    wall = line["time"]
    line["time"] = f"{_utc(int(wall))}.{int(wall * 1000) % 1000:03d}Z"
    return _encode(line)


def is_journal(descriptor: int) -> bool:
    """Whether what is written there goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _prefixed(render: Callable[[Line], str]) -> Callable[[Line], str]:
    """For the journal, which takes a line's priority from its start (sd-daemon(3)) and leaves that away."""

    def rendered(line: Line) -> str:
        priority = _PRIORITIES.get(line["level"], 6)
        return f"<{priority}>{render(line)}"

    return rendered


class _TextRenderer:
    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, line: Line) -> str:
        """`12:03:04.123 info  call answered call=call_… caller=1001`, an exception on indented lines below."""
        wall, level, event = line.pop("time"), line.pop("level"), line.pop("event")
        exception = line.pop("exception", None)
        values = "".join(f" {key}={_quoted(value)}" for key, value in line.items())
        head = f"{_local(int(wall))}.{int(wall * 1000) % 1000:03d} {level:<7} {_printable(str(event))}"
        if self._colours and (colour := _COLOURS.get(level)):
            head = f"{colour}{head}\x1b[0m"
        tail = "".join(f"\n    {_printable(part)}" for part in exception.splitlines()) if exception else ""
        return head + values + tail


class _Sink:
    """The innermost logger of structlog: takes the finished line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.msg = self.debug = self.info = self.warning = self.error = self.critical = write
        self.warn = self.exception = self.fatal = self.log = write


class _StandardHandler(logging.Handler):
    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._logs.forward(record)
        except Exception:  # noqa: BLE001 - a line that cannot be formatted must not end what logs it
            self.handleError(record)


def _made_safe(line: Line) -> Line:
    for key, value in line.items():
        if _is_secret(key):
            if value is not None:
                line[key] = MASK
        elif value.__class__ is str and len(value) > MAX_VALUE_LENGTH:
            line[key] = value[:MAX_VALUE_LENGTH] + "…"
    return line


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS)


@lru_cache(maxsize=16)
def _level_number(level: str) -> int:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"not a log level: {level!r}")
    return number


@lru_cache(maxsize=4)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=4)
def _local(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def _printable(text: str) -> str:
    return text if text.isprintable() else _encode(text)[1:-1]


def _quoted(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text and '"' not in text and text else _encode(text)


def _exception_text(error: object) -> str:
    if isinstance(error, BaseException):
        return "".join(traceback.format_exception(error)).rstrip()
    return traceback.format_exc().rstrip() if sys.exception() else ""
