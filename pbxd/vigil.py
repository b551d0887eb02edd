"""The watch for toll fraud put together: its settings, its memory, its mail and its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pbxd.calls.gate import call_of
from pbxd.config.fraud import Day, FraudSettings
from pbxd.config.schema import Config
from pbxd.directory.fraud import Block, Hours, Rules
from pbxd.directory.watch import CallerBlocked, FraudWatch
from pbxd.errors import HouseError
from pbxd.events import Bus
from pbxd.logs import get_logger
from pbxd.metrics import Metrics
from pbxd.outbox import Letter, Outbox
from pbxd.store import Store

log = get_logger(part="fraud")

_DAYS = {day: number for number, day in enumerate(Day)}


class Vigil:
    """`watch` is what the gate asks, `hang_up` ends a call by its id, `zone` is an account's timezone, by its id, where
    it has one. `outbox` is set as soon as there is one; without it nobody is mailed."""

    def __init__(
        self,
        config: Config,
        store: Store,
        bus: Bus,
        hang_up: Callable[[str], object],
        zone: Callable[[str], str | None] = lambda _account_id: None,
    ) -> None:
        self.watch = FraudWatch(store, bus, rules_of(config.security.fraud), zone)
        self.outbox: Outbox | None = None
        self._settings = config.security.fraud
        self._hang_up = hang_up
        self._tasks: set[asyncio.Task[None]] = set()
        bus.subscribe(CallerBlocked, self._blocked)

    def apply(self, config: Config) -> None:
        """What the configuration says from now on."""
        self.watch.fraud.rules = rules_of(config.security.fraud)
        self._settings = config.security.fraud

    async def settle(self) -> None:
        """What was learnt is written down, and who was to be mailed is."""
        self.watch.save()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    def measure(self, metrics: Metrics) -> None:
        """Names what is counted."""
        fraud = self.watch.fraud
        metrics.gauge("fraud_blocked", "Callers who may not call abroad", lambda: len(fraud.blocks))
        metrics.counters("fraud_blocks", "Callers blocked, by what gave them away", ["pattern"], lambda: fraud.made)

    # ---- inside

    def _blocked(self, event: CallerBlocked) -> None:
        block, loop = event.block, asyncio.get_running_loop()
        if self._settings.end_calls:
            calls = dict.fromkeys(call_of(key) for key in self.watch.fraud.live((block.account_id, block.caller)))
            for call in calls:
                loop.call_soon(self._hang_up, call)  # not now: a call of theirs is just being refused
        if self._settings.mail_to is None or self.outbox is None:
            return
        task = loop.create_task(self._mail(self.outbox, self._settings.mail_to, block), name="alarm")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _mail(self, outbox: Outbox, to: str, block: Block) -> None:
        try:
            await outbox.put_letter(block.account_id, letter_of(to, block), f"fraud-{block.id}", "toll fraud")
        except HouseError as error:
            log.error("nobody could be mailed of a block", block=block.id, reason=error.message)


def letter_of(to: str, block: Block) -> Letter:
    """What is mailed of a block."""
    caller = "".join(sign for sign in block.caller if sign.isprintable())[:64]
    hours = (block.until - block.since) / 3600
    text = (
        f"{caller} may not call abroad for {hours:.1f} hours: {block.evidence}.\n\n"
        "If a password was stolen, give the phone a new one (pbxd phones rotate). If all is well, lift the block:\n"
        f"pbxd fraud release {block.id}\n"
    )
    return Letter(to, f"pbxd: calls abroad of {caller} are blocked", text)


def rules_of(settings: FraudSettings) -> Rules:
    """What the settings under `security.fraud` say."""
    hours = settings.hours
    return Rules(
        enabled=settings.enabled,
        home=settings.country,
        prefixes=settings.prefixes,
        allowed=frozenset(settings.allowed),
        known=frozenset(settings.known),
        hours=Hours(_minute(hours.opens), _minute(hours.closes), frozenset(map(_DAYS.__getitem__, hours.days)),
            hours.timezone),
        night_calls=settings.night_calls,
        new_countries=settings.new_countries,
        burst_calls=settings.burst_calls,
        burst_s=settings.burst_s,
        short_s=settings.short_s,
        simultaneous=settings.simultaneous,
        rise_calls=settings.rise_calls,
        rise_minutes=settings.rise_minutes,
        rise_factor=settings.rise_factor,
        block_s=settings.block_s,
    )  # fmt: skip


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)
