"""What a story stands on: one house per worker for all that leaves it as it was, or a house of its own.

And who watches: at the end of each story the ladders of its calls are compared with what tshark saw of the wire.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.clients.block import leased_block
from tests.clients.house import House
from tests.clients.lab import Lab, eventually
from tests.clients.witness import CannotWatch, Witness, moment
from tests.stories import call_centre

NewHouse = Callable[..., House]


@pytest.fixture(scope="session")
def worker_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One daemon for all stories of this worker that do not harm it; it must end cleanly after the last."""
    with leased_block() as block, House(block, tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture(scope="session")
def witness() -> Iterator[Witness | None]:
    """Who watches the wire for this worker; None where nobody may."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(Witness())
        except CannotWatch:
            yield None


@pytest.fixture
def house(worker_house: House, witness: Witness | None, request: pytest.FixtureRequest) -> Iterator[House]:
    """The worker's house, without calls and bindings before and after. Ladders are compared with the wire, but where a
    story is marked `unwitnessed`: nonsense within a dialog is on the wire, and part of no call."""
    with as_it_was(worker_house, witness, request):
        yield worker_house


@contextmanager
def as_it_was(house: House, witness: Witness | None, request: pytest.FixtureRequest) -> Iterator[None]:
    """One story on a house that others share."""
    if not house.is_running():
        house.start()
    since = moment()
    yield
    assert house.is_running(), f"the house died: {house.log()[-4000:]}"
    try:
        eventually(lambda: not house.calls(), "all calls to be over", timeout=8)
    finally:
        for call in house.calls():  # so that one story's failure is not the next one's
            house.hang_up(call["id"])
    for extension in {binding["aor"] for binding in house.registrations()}:
        house.forget(extension)
    if witness is not None and request.node.get_closest_marker("unwitnessed") is None:
        witness.confirms(house, since)


@pytest.fixture
def lab(house: House) -> Iterator[Lab]:
    """A stage on the worker's house."""
    with Lab(house) as stage:
        yield stage


@pytest.fixture
def new_house(tmp_path: Path, witness: Witness | None, request: pytest.FixtureRequest) -> Iterator[NewHouse]:
    """Makes houses of the story's own: `new_house(**{"calls.rtp_timeout_s": 2})` starts one."""
    watcher = witness if request.node.get_closest_marker("unwitnessed") is None else None
    with ExitStack() as stack:

        def make(folder: Path | None = None, **settings: Any) -> House:
            block = stack.enter_context(leased_block())
            house = stack.enter_context(House(block, folder or tmp_path, settings))
            if watcher is not None:
                stack.callback(_confirm, watcher, house, moment())
            return house

        yield make


def _confirm(witness: Witness, house: House, since: str) -> None:
    if house.is_running():
        witness.confirms(house, since)


@pytest.fixture
def new_lab(new_house: NewHouse) -> Iterator[Callable[..., Lab]]:
    """Makes stages on houses of the story's own, with settings."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Lab:
            stage: AbstractContextManager[Lab] = Lab(new_house(**settings))
            return stack.enter_context(stage)

        yield make


@pytest.fixture(scope="session")
def worker_call_centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One daemon with music, short times and keys for all stories of queues of this worker."""
    folder = tmp_path_factory.mktemp("call-centre")
    with leased_block() as block, House(block, folder, call_centre.settings(folder)) as house:
        yield house


@pytest.fixture
def busy_lab(worker_call_centre: House, witness: Witness | None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A stage on the worker's house with queues, whose operators are logged out before and after."""
    with as_it_was(worker_call_centre, witness, request), Lab(worker_call_centre) as stage:
        yield stage
        for one in worker_call_centre.get("/house/v1/operators")["operators"]:
            worker_call_centre.order("POST", f"/house/v1/operators/{one['name']}", {"event": "logout"})
