"""A disk that fills up while a message is left: what was said before is kept, and the caller is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.clients.lab import Lab
from tests.clients.phones import Make
from tests.clients.until import until
from tests.faults.ailing import AilingHouse
from tests.faults.conftest import NewHouse
from tests.faults.levers import fill
from tests.stories.test_voicemail import SAY, after_the_beep, hears, messages

Stage = Callable[[AilingHouse], Lab]


def test_a_full_disk_while_a_message_is_left(disk: Path, new_house: NewHouse, stage: Stage) -> None:
    house = new_house(data_dir=str(disk / "data"), **{"extensions.999": {"mailbox": "1002"}})
    house.expected = {"the store does not take writes (disk_full)"}
    phone = stage(house).phone(Make.BARESIP_PY, "1001")
    call = phone.dial("999").established()
    after_the_beep(call, seconds=2.0)
    fill(disk / "ballast")
    hears(call, SAY["vm-cut-off"])
    call.hang_up()
    (disk / "ballast").unlink()
    until(lambda: len(messages(house)) == 1, "the message")
    assert messages(house)[0]["seconds"] > 1.0
    until(lambda: house.metrics()["pbxd_store_oldest_seconds"] < 1, "the rows to be written", timeout=12)
    house.kill()
    house.start()
    assert len(messages(house)) == 1
