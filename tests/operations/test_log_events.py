"""The table of log events says what the sources say: every event, its levels and its values, and no other."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from tests.operations.log_calls import GAP, PROJECT, log_calls, unusual_loggers

TABLE = PROJECT / "etc" / "log-events.md"
_LEVELS = {"debug", "info", "warning", "error", "critical"}
Rows = dict[str, tuple[set[str], set[str]]]


def documented() -> Rows:
    """Event to its levels and values."""
    found: Rows = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and set(cells[2].split(", ")) <= _LEVELS:
            event = cells[1].strip("`")
            assert event not in found, f"twice in the table: {event}"
            found[event] = set(cells[2].split(", ")), set(re.findall(r"`(\w+)`", cells[3]))
    return found


def said() -> Rows:
    """What the sources say; the writer of the log speaks for itself where it lost lines."""
    levels: dict[str, set[str]] = defaultdict(set)
    fields: dict[str, set[str]] = defaultdict(set)
    for call in log_calls():
        assert call.event is not None, f"{call.where}: an event is one sentence, written where it is logged"
        levels[call.event].add(call.level)
        fields[call.event] |= call.fields
    levels["log lines dropped"], fields["log lines dropped"] = {"warning"}, {"lines"}
    return {event: (levels[event], fields[event]) for event in levels}


def _as_row(event: str, levels: set[str], fields: set[str]) -> str:
    return f"| `{event}` | {', '.join(sorted(levels))} | {' '.join(f'`{name}`' for name in sorted(fields))} | what |"


def test_every_event_of_the_sources_stands_in_the_table_and_no_other() -> None:
    table, sources = documented(), said()
    missing = [_as_row(event, *sources[event]) for event in sorted(sources.keys() - table.keys())]
    assert not missing, f"put these rows into {TABLE.name}:\n" + "\n".join(missing)
    assert table.keys() - sources.keys() == set(), "nothing logs these any more"


def test_levels_and_values_of_each_event_are_those_of_the_sources() -> None:
    table, sources = documented(), said()
    wrong = [
        _as_row(event, *sources[event]) for event in table.keys() & sources.keys() if table[event] != sources[event]
    ]
    assert not wrong, f"{TABLE.name} should say:\n" + "\n".join(wrong)


def test_no_logger_escapes_the_count() -> None:
    assert unusual_loggers() == []


def test_an_event_says_more_than_what_is_filled_in() -> None:
    assert [event for event in said() if len(event.replace(GAP, "").split()) < 1] == []


@pytest.mark.parametrize(
    ("source", "events"),
    [
        ('log.info("up", port=1)', [("info", "up", {"port"})]),
        (
            'self._log.exception("%s broke after %+.1f s", a, b)',
            [("error", f"{GAP} broke after {GAP} s", {"exception"})],
        ),
        ('log.error(f"call {x}", extra={"call": 1})', [("error", f"call {GAP}", {"call"})]),
        ("log.warning(text)", [("warning", None, set())]),
        ('book.info("not a log")', []),
    ],
)
def test_the_reader_of_the_sources_reads(
    tmp_path: Path, source: str, events: list[tuple[str, str | None, set[str]]]
) -> None:
    (tmp_path / "pbxd").mkdir()
    (tmp_path / "pbxd" / "a.py").write_text(source + "\n", encoding="utf-8")
    assert [(one.level, one.event, set(one.fields)) for one in log_calls(tmp_path)] == events


def test_a_logger_under_another_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "pbxd").mkdir()
    text = "writer = get_logger()\nlog = get_logger()\nwrite = log.info\n"
    (tmp_path / "pbxd" / "a.py").write_text(text, encoding="utf-8")
    assert unusual_loggers(tmp_path) == ["pbxd/a.py:1", "pbxd/a.py:3"]
