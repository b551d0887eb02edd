"""The live monitor put together: what it looks at, and how it hears the log."""

from __future__ import annotations

import contextlib

from pbxd.events import Bus
from pbxd.logs import Logs
from pbxd.services.monitor import Monitor, Sights, Tap
from pbxd.telephony import Telephony


def monitor_of(telephony: Telephony, bus: Bus, logs: Logs | None) -> Monitor:
    """A monitor of this house."""

    def log(tap: Tap) -> contextlib.AbstractContextManager[None]:
        return logs.tapped(tap) if logs else contextlib.nullcontext()

    sights = Sights(
        calls=lambda: [call.record for call in telephony.switch.calls.values()],
        drops=telephony.drops,
        registered=lambda: len(telephony.registrar),
        wall=lambda: telephony.wall(telephony.now()),
        log=log,
    )
    return Monitor(bus, sights)
