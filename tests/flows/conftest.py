"""A wire with a house on it that knows flows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calls.conftest import house
from tests.calls.house import House
from tests.flows.stagehand import Stagehand

__all__ = ["house"]


@pytest.fixture
def hand(house: House, tmp_path: Path) -> Stagehand:
    return Stagehand(house, tmp_path)
