"""The log's view of the house: one line for each change of a call, a phone or a trunk, with the call's id on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pbxd.calls.admission import CallRefused
from pbxd.calls.record import CallChanged, Change
from pbxd.directory.authentication import AuthenticationFailed
from pbxd.directory.bans import HOUSE, Banned, Unbanned
from pbxd.directory.doorman import PhoneMisconfigured, Slowed
from pbxd.directory.registrar import PhoneRegistered, PhoneUnregistered
from pbxd.directory.trunks import TrunkChanged, TrunkState
from pbxd.directory.watch import CallerBlocked, CallerUnblocked
from pbxd.events import Bus
from pbxd.logs import get_logger
from pbxd.sip.flow import place

SELDOM_S = 1.0
MAX_SUBJECTS = 4096

log = get_logger(part="house")


def listen(bus: Bus) -> None:
    """Write down what the bus says from now on."""
    bus.subscribe(CallChanged, _call)
    bus.subscribe(PhoneRegistered, _registered)
    bus.subscribe(PhoneUnregistered, _unregistered)
    bus.subscribe(TrunkChanged, _trunk)
    bus.subscribe(CallRefused, _Seldom(_refused))
    bus.subscribe(AuthenticationFailed, _Seldom(_unproven))
    bus.subscribe(Banned, _banned)
    bus.subscribe(Unbanned, _unbanned)
    bus.subscribe(Slowed, _slowed)
    bus.subscribe(PhoneMisconfigured, _misconfigured)
    bus.subscribe(CallerBlocked, _blocked)
    bus.subscribe(CallerUnblocked, _unblocked)


class _Seldom:
    """Passes on to `write` no more than one event a second for each subject, and says how many it kept back: what
    somebody outside can bring about as often as they like must not fill the log."""

    def __init__(self, write: Callable[[Any, str, int], None]) -> None:
        self._write = write
        self._last: dict[str, tuple[float, int]] = {}

    def __call__(self, event: CallRefused | AuthenticationFailed) -> None:
        subject = event.reason if isinstance(event, CallRefused) else event.source
        now = time.monotonic()
        at, held_back = self._last.get(subject, (-SELDOM_S, 0))
        if now - at < SELDOM_S:
            self._last[subject] = (at, held_back + 1)
            return
        if len(self._last) >= MAX_SUBJECTS:
            self._last.clear()
        self._last[subject] = (now, 0)
        self._write(event, subject, held_back)


def _refused(event: CallRefused, subject: str, held_back: int) -> None:
    log.warning("call refused", reason=subject, source=event.source, others_before=held_back)


def _unproven(event: AuthenticationFailed, subject: str, held_back: int) -> None:
    log.warning("phone refused", source=subject, username=event.username, reason=event.reason, others_before=held_back)


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
    if status.state in (TrunkState.REFUSED, TrunkState.UNREACHABLE):
        log.warning("trunk changed", trunk=status.trunk.name, state=status.state, reason=status.reason)
    else:
        log.info("trunk changed", trunk=status.trunk.name, state=status.state, reason=status.reason)


def _banned(event: Banned) -> None:
    ban = event.ban
    log.warning(
        "source banned",
        ban=ban.id,
        network=ban.name,
        reason=ban.reason,
        evidence=ban.evidence or None,
        seconds=None if ban.until is None else round(ban.until - ban.since),
        offence=ban.offence if ban.made_by == HOUSE else None,
        by=ban.made_by,
    )


def _unbanned(event: Unbanned) -> None:
    ban = event.ban
    log.info("source no longer banned", ban=ban.id, network=ban.name, by=ban.ended_by, hits=ban.hits)


def _slowed(event: Slowed) -> None:
    log.warning("source slowed", network=event.name, reason=event.cause.text, evidence=event.evidence)


def _blocked(event: CallerBlocked) -> None:
    block = event.block
    log.error(
        "calls abroad are blocked",
        block=block.id,
        caller=block.caller,
        pattern=block.pattern,
        evidence=block.evidence,
        seconds=round(block.until - block.since),
    )


def _unblocked(event: CallerUnblocked) -> None:
    block = event.block
    log.info("calls abroad are free again", block=block.id, caller=block.caller, by=block.ended_by, kept=block.refused)


def _misconfigured(event: PhoneMisconfigured) -> None:
    log.warning(
        "a phone has a wrong password and is refused",
        source=event.source,
        username=event.username,
        failures=event.failures,
    )
