"""What an API has set wins over the file and loses to the command line; what is no good is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pbxd.config import ConfigError, SourceKind, load
from pbxd.config.overlay import NAME, Values, changed, stored, write

FILE = """
data_dir: {folder}
faxes:
  header: of the file
  max_mb: 3
  boxes: {{office: {{numbers: ["1"]}}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pbxd.yaml"
    path.write_text(FILE.format(folder=tmp_path))
    return path


def test_it_stands_between_the_file_and_the_command_line(file: Path, tmp_path: Path) -> None:
    values: Values = {"faxes": {"header": "of the API", "ident": "+1", "boxes": {"home": {"numbers": ["2"]}}}}
    write(tmp_path / NAME, values)
    config = load(file, ["faxes.ident='+2'"])
    assert (config.faxes.header, config.faxes.ident, config.faxes.max_mb) == ("of the API", "+2", 3)
    assert sorted(config.faxes.boxes) == ["home", "office"]
    kinds = [config.source(f"faxes.{key}").kind for key in ("header", "ident", "max_mb", "detail")]
    assert kinds == [SourceKind.SETTINGS, SourceKind.SET, SourceKind.FILE, SourceKind.DEFAULT]
    assert config.source("faxes.header").where.startswith(f"{tmp_path}/{NAME}:")


def test_it_is_found_where_the_command_line_says(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / NAME, {"faxes": {"header": "elsewhere"}})
    assert load(file).faxes.header == "of the file"
    assert load(file, [f"data_dir={tmp_path}/other"]).faxes.header == "elsewhere"


def test_changes_are_merged_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert stored(path) == {}
    write(path, changed({}, {"faxes.header": "a", "faxes.inbound.enabled": True}))
    write(path, changed(stored(path), {"faxes.header": None, "faxes.ident": "+1"}))
    assert stored(path) == {"faxes": {"inbound": {"enabled": True}, "ident": "+1"}}
    assert stored(tmp_path / f"{NAME}.bak") == {"faxes": {"header": "a", "inbound": {"enabled": True}}}
    assert [one.stat().st_mode & 0o77 for one in tmp_path.iterdir()] == [0, 0]


@pytest.mark.parametrize("text", ["faxes: {header: [}", "faxes: {headers: x}", "\xff"])
def test_one_that_is_no_good_is_said_with_its_place(file: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert any(NAME in problem.where for problem in caught.value.problems)
