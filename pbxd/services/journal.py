"""The log's view of the house: one line for each change of a call, a phone or a trunk, with the call's id on it."""

from __future__ import annotations

from pbxd.calls.record import CallChanged, Change
from pbxd.directory.registrar import PhoneRegistered, PhoneUnregistered
from pbxd.directory.trunks import TrunkChanged, TrunkState
from pbxd.events import Bus
from pbxd.logs import get_logger
from pbxd.sip.flow import place

log = get_logger(part="house")


def listen(bus: Bus) -> None:
    """Write down what the bus says from now on."""
    bus.subscribe(CallChanged, _call)
    bus.subscribe(PhoneRegistered, _registered)
    bus.subscribe(PhoneUnregistered, _unregistered)
    bus.subscribe(TrunkChanged, _trunk)


def _call(event: CallChanged) -> None:
    record = event.record
    if event.change is Change.STARTED:
        caller = record.legs[0].remote if record.legs else None
        log.info("call started", call=record.id, caller=record.caller, called=record.called, source=caller)
    elif event.change is Change.ENDED:
        talked = 0.0 if record.answered_at is None else (record.ended_at or 0.0) - record.answered_at
        log.info(
            "call ended",
            call=record.id,
            result=record.result,
            status=record.sip_status,
            reason=record.reason,
            talked_s=round(talked, 1),
        )
    else:
        log.info(f"call {event.change}", call=record.id)


def _registered(event: PhoneRegistered) -> None:
    source = place(event.transport, *event.source)
    log.info(
        "phone registered",
        user=event.aor.user,
        source=source,
        contact=str(event.contact),
        user_agent=event.user_agent,
    )


def _unregistered(event: PhoneUnregistered) -> None:
    log.info("phone unregistered", user=event.aor.user, contact=str(event.contact), reason=event.reason)


def _trunk(event: TrunkChanged) -> None:
    status = event.status
    write = log.info if status.state in (TrunkState.REGISTERED, TrunkState.TRYING, TrunkState.OFF) else log.warning
    write("trunk changed", trunk=status.trunk.name, state=status.state, reason=status.reason)
