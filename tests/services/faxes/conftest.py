"""An office of faxes on either kind of store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.faxes.line import Place


@pytest.fixture
def place(tmp_path: Path, store_url: str) -> Place:
    """A new one."""
    folder = tmp_path / "data"
    folder.mkdir()
    return Place(folder, store_url)
