"""A start that cannot go well ends with a sentence, and what `pbxd check` lets pass is not refused by `pbxd run`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pbxd.app import App
from pbxd.cli import Exit, act, build_parser
from pbxd.config import load
from pbxd.daemon import REFUSALS
from tests.clients.block import leased_block
from tests.clients.house import LAB, House
from tests.faults.levers import fill

CANNOT_START = "pbxd cannot start"


@contextmanager
def _house(folder: Path, **settings: object) -> Iterator[House]:
    with leased_block() as block:
        yield House(block, folder, settings)


def _refused(house: House, *words: str) -> None:
    code, said = house.start_in_vain()
    assert code == 1
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if CANNOT_START in line]
    assert all(word in line for word in words), line


def test_a_store_that_is_locked_when_we_start_is_a_sentence(tmp_path: Path) -> None:
    with _house(tmp_path) as house:
        house.start()
        house.stop()
        with closing(sqlite3.connect(house.data / "pbxd.db", isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode=EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            _refused(house, "another process holds it locked")
        house.start()
        house.terminate()
        assert house.wait() == 0


def test_a_disk_that_is_full_when_we_start_is_a_sentence(disk: Path, tmp_path: Path) -> None:
    with _house(tmp_path, data_dir=str(disk / "data")) as house:
        fill(disk / "ballast")
        code, said = house.start_in_vain()
        assert (code, "Traceback" in said, CANNOT_START in said) == (1, False, True)
        (disk / "ballast").unlink()
        house.start()
        house.terminate()
        assert house.wait() == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("store.url", "nonsense", "it names no database we can use"),
        ("store.url", "sqlite+aiosqlite:////nowhere/at/all.db", "the folder /nowhere/at is not there"),
        ("store.url", "sqlite:///x.db", "it names no database we can use"),
        ("sip.certificate", "{folder}/plain.txt", "holds no certificate in PEM format"),
        ("mail.authorities", "{folder}/plain.txt", "cannot be read"),
    ],
)
async def test_check_and_run_agree(
    tmp_path: Path, key: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.txt").write_text("not what it is taken for\n")
    said = value.format(folder=tmp_path)
    more = {
        "sip.certificate": {"sip.private_key": said},
        "mail.authorities": {"mail.server": "127.0.0.1", "mail.from": "pbx@example.org"},
    }.get(key, {})
    overrides = [f"{name}={text}" for name, text in {key: said, "data_dir": str(tmp_path / "data"), **more}.items()]
    arguments = [f"--set={override}" for override in overrides]
    checked = act(build_parser().parse_args(["check", "--no-ports", str(LAB), *arguments]))
    heard = capsys.readouterr().err
    assert (checked, words in heard, key in heard) == (Exit.MISTAKE, True, True), heard
    app = App(load(LAB, overrides))
    with pytest.raises(REFUSALS):
        await app.start()
    await app.stop()
