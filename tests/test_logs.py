"""Lines for people and machines, without secrets, and a writer that never waits."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from pbxd import logs as logs_module
from pbxd.logs import MASK, MAX_VALUE_LENGTH, LineWriter, LogFormat, Logs, get_logger, is_journal, render_json


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def logs(lines: list[str]) -> Iterator[Logs]:
    """Logging as the daemon has it, into a list."""
    before = (logging.root.handlers, logging.root.level)
    logs = Logs("info", render_json, lines.append)
    logs.install()
    yield logs
    logging.root.handlers, level = before
    logging.root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def _read(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_a_line_carries_what_was_bound_and_when(logs: Logs, lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_790_000_000.25)
    get_logger(call="call_1").bind(leg="leg_2").info("call answered", codec="PCMU")
    (line,) = lines
    assert line == (
        '{"time":"2026-09-21T14:13:20.250Z","level":"info","event":"call answered",'
        '"call":"call_1","leg":"leg_2","codec":"PCMU"}'
    )


def test_both_ways_of_logging_end_in_the_same_shape(logs: Logs, lines: list[str]) -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("pbxd.sip.stack"), {"call": "call_1"})
    adapter.warning("dropped %d", 3)
    (line,) = _read(lines)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "event": "dropped 3", "logger": "pbxd.sip.stack", "call": "call_1"}


@pytest.mark.parametrize("key", ["password", "new_password", "Authorization", "ha1_md5", "api_key", "private_key_path"])
def test_secrets_are_masked_by_name(logs: Logs, lines: list[str], key: str) -> None:
    get_logger().info("made", **{key: "hunter2", "user": "1001"})
    logging.getLogger("x").info("made", extra={key: "hunter2"})
    assert [line[key] for line in _read(lines)] == [MASK, MASK]
    assert "hunter2" not in "".join(lines)


def test_levels_can_be_changed_while_running(logs: Logs, lines: list[str]) -> None:
    log, old = get_logger(), logging.getLogger("pbxd.old")
    log.debug("a")
    old.debug("a")
    logs.set_level("debug")
    log.debug("b")
    old.debug("b")
    logs.set_level("error")
    log.warning("c")
    log.error("d")
    assert [line["event"] for line in _read(lines)] == ["b", "b", "d"]
    with pytest.raises(ValueError, match="not a log level: 'loud'"):
        logs.set_level("loud")


def test_an_exception_is_told_whole(logs: Logs, lines: list[str]) -> None:
    try:
        raise KeyError("x")
    except KeyError as error:
        get_logger().exception("broke")
        get_logger().error("broke", exc_info=error)
        logging.getLogger("old").exception("broke")
    told = _read(lines)
    assert [line["level"] for line in told] == ["error"] * 3
    assert all(line["exception"].endswith("KeyError: 'x'") for line in told)
    assert all("Traceback" in line["exception"] for line in told)


def test_a_line_that_cannot_be_formatted_ends_nothing(
    logs: Logs, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logging.getLogger("old").info("%d", "not a number")
    assert lines == []


def test_long_values_are_cut(logs: Logs, lines: list[str]) -> None:
    get_logger().info("x", header="a" * (MAX_VALUE_LENGTH + 1))
    assert _read(lines)[0]["header"] == "a" * MAX_VALUE_LENGTH + "…"


def test_text_is_one_line_however_hostile_the_values(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "_local", lambda _second: "12:00:00")
    render = logs_module._TextRenderer(colours=False)
    line = {"time": 5.5, "level": "info", "event": "call\nfailed", "to": 'a "b"\r\nc', "empty": "", "n": 3}
    assert render(line) == '12:00:00.500 info    call\\nfailed to="a \\"b\\"\\r\\nc" empty="" n=3'
    coloured = logs_module._TextRenderer(colours=True)
    assert coloured({"time": 5.5, "level": "error", "event": "no", "exception": "A\nB"}) == (
        "\x1b[31m12:00:00.500 error   no\x1b[0m\n    A\n    B"
    )


def test_the_writer_writes_all_in_order_and_counts_what_does_not_fit() -> None:
    reader, writer_end = os.pipe()
    os.set_blocking(reader, True)
    writer = LineWriter(writer_end, limit=3)
    stall = threading.Lock()
    with stall:
        writer._lines.extend(["a", "b", "c"])  # as if the thread had no turn yet
        writer.write("d")
    writer.close()
    writer.close()
    os.close(writer_end)
    with os.fdopen(reader) as stream:
        written = stream.read().splitlines()
    assert written[:3] == ["a", "b", "c"]
    assert [json.loads(line) for line in written[3:]] == [
        {"level": "warning", "event": "log lines dropped", "lines": 1}
    ]
    assert writer.dropped == 1


def test_a_reader_that_is_gone_stops_nothing() -> None:
    reader, writer_end = os.pipe()
    os.close(reader)
    writer = LineWriter(writer_end)
    writer.write("to nobody")
    writer.close()
    os.close(writer_end)
    assert not writer._thread.is_alive()


@pytest.mark.parametrize(("form", "start"), [(LogFormat.AUTO, "{"), (LogFormat.JSON, "{"), (LogFormat.TEXT, "1")])
def test_the_format_follows_the_setting(
    form: LogFormat, start: str, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_module, "_local", lambda _second: "12:00:00")
    handlers, level = logging.root.handlers, logging.root.level
    with open(os.path.join(tmp_path, "log"), "w+", encoding="utf-8") as stream:  # noqa: PTH118, PTH123
        logs = Logs.start("info", form, stream)
        get_logger().info("up")
        logs.close()
        stream.seek(0)
        assert stream.read().startswith(start)
        assert logs.dropped == 0
    logging.root.handlers = handlers
    logging.root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_the_journal_is_told_each_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (logging.root.handlers, logging.root.level)
    reader, writer = os.pipe()
    found = os.fstat(writer)
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    with os.fdopen(reader, encoding="utf-8") as read, os.fdopen(writer, "w", encoding="utf-8") as stream:
        assert (is_journal(writer), is_journal(reader)) == (True, True)  # both ends of a pipe are one inode
        logs = Logs.start("debug", LogFormat.AUTO, stream)
        try:
            for level in ("debug", "info", "warning", "error", "critical"):
                getattr(get_logger(), level)("said")
            logging.getLogger("some.library").error("said too")
        finally:
            logs.close()
            logging.root.handlers, level_before = before
            logging.root.setLevel(level_before)
            logging.captureWarnings(capture=False)
            structlog.reset_defaults()
        lines = [read.readline() for _ in range(6)]
    assert [line[:3] for line in lines] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<3>"]
    assert [json.loads(line[3:])["level"] for line in lines] == [
        "debug",
        "info",
        "warning",
        "error",
        "critical",
        "error",
    ]


def test_what_is_not_the_journal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    assert not is_journal(2)
    assert not is_journal(-1)
