"""Houses that things happen to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.clients.block import leased_block
from tests.clients.lab import Lab
from tests.faults.ailing import AilingHouse
from tests.faults.levers import Levers, build_interposer, settled, small_disk

NewHouse = Callable[..., AilingHouse]


@pytest.fixture(scope="session")
def interposer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library behind the levers, built once."""
    return build_interposer(tmp_path_factory.mktemp("interposer"))


@pytest.fixture
def levers(interposer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Levers]:
    """What breaks the disk and the clock of each house that is started after it."""
    with Levers(tmp_path, interposer) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB. Ask for it before `new_house`: what lives on it ends first."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    with small_disk(tmp_path / "small", "3m") as place:
        yield place


@pytest.fixture
def new_house(tmp_path: Path) -> Iterator[NewHouse]:
    """Makes houses: `new_house(**settings)` starts one; each must end well."""
    with ExitStack() as stack:

        def make(*, ports: int | None = None, **settings: Any) -> AilingHouse:
            block = stack.enter_context(leased_block())
            if ports is not None:  # of sound, no more than these
                first = int(block.rtp_ports.partition("-")[0])
                settings["rtp.ports"] = f"{first}-{first + ports - 1}"
            house = AilingHouse(block, tmp_path / "house", settings)
            stack.enter_context(house)
            settled(Path(settings.get("data_dir", house.data)) / "cache")
            return house

        yield make


@pytest.fixture
def stage() -> Iterator[Callable[[AilingHouse], Lab]]:
    """The scripted callers of a house."""
    with ExitStack() as stack:
        yield lambda house: stack.enter_context(Lab(house))
