"""Voicemail, put together: its service with the recorder, the worker threads, the lamps and the numbers it answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from media.recorder import Recorder, Share
from media.transcription import WorkerTranscriber, installed
from pbxd.callbacks import ring_back
from pbxd.calls.targets import domain_of
from pbxd.config import Config
from pbxd.config.mailboxes import Lamp, Mailbox
from pbxd.directory.accounts import Directory
from pbxd.directory.declared import declarations
from pbxd.directory.model import Aor, ExtensionKind
from pbxd.metrics import Metrics
from pbxd.outbox import Outbox
from pbxd.services.voicemail import Voicemail
from pbxd.services.voicemail.dictation import Desk
from pbxd.services.voicemail.lamp import Lamps
from pbxd.store import DataDirectory, Store
from pbxd.telephony import Telephony
from pbxd.visits import visits_of

FOLDER = "voicemail"
SETTLE_S = 3.0
SETTLE_POLL_S = 0.02

Found = TypeVar("Found")


class Mailroom:
    """`open` it before SIP is answered, `serve` with the outbox, `stop` it after the last call has ended."""

    def __init__(
        self, config: Config, data: DataDirectory, store: Store, telephony: Telephony, recorder: Recorder
    ) -> None:
        self._telephony = telephony
        self._directory: Directory = telephony.facilities.directory
        self._recorder = Share(recorder)
        self._under_way = 0  # of what workers do for us
        self._settled = False
        self._declared: dict[tuple[str, str], Mailbox] = {}
        self._rules = config.voicemail
        desk = Desk(self._recorder, self._aside, self._hand_over)
        folder = data.path / FOLDER
        self.voicemail = Voicemail(store, folder, telephony.facilities, desk, config.voicemail)
        self.lamps = Lamps(
            self.voicemail.archive, telephony.switch.watchers, telephony.facilities.bus, telephony.now, self._domain
        )
        flows = telephony.dialplans.flows.desk
        flows.voicemail = visits_of(self.voicemail)
        flows.mailboxes = lambda account_id: [box.number for box in self.voicemail.boxes(account_id)]
        self.voicemail.post.ring = ring_back(telephony.facilities, telephony.switch.gate)
        telephony.switch.fallback = self.voicemail.fallback
        telephony.acts[ExtensionKind.VOICEMAIL_OWN] = self.voicemail.listen_own
        telephony.acts[ExtensionKind.VOICEMAIL_ANY] = self.voicemail.listen_any
        telephony.acts[ExtensionKind.VOICEMAIL_LEAVE] = self.voicemail.leave_at

    async def open(self, config: Config) -> None:
        """Loads the mailboxes, and delivers what was being said when the last process died. Raises StoreError."""
        await self.reload(config)
        await self.voicemail.recover()

    async def reload(self, config: Config) -> None:
        """Takes up other settings. Raises StoreError."""
        ids, said = self._directory.ids, declarations(config)
        self._declared = {
            (ids[account.slug], number): rules
            for account in said
            for number, rules in account.sections.mailboxes.items()
        }
        self._rules = config.voicemail
        await self.follow()
        self.lamps.unsolicited = frozenset(
            Aor(ids[account.slug], number)
            for account in said
            for number, phone in account.sections.phones.items()
            if phone.mwi is Lamp.UNSOLICITED
        )

    async def follow(self) -> None:
        """Takes up the mailboxes of the directory as they are now. Raises StoreError."""
        await self.voicemail.load({**self._directory.mailboxes(), **self._declared}, self._rules)

    def serve(self, outbox: Outbox) -> None:
        """From now on mail goes out."""
        self.voicemail.serve(outbox, WorkerTranscriber() if installed() else None)

    async def settle(self) -> None:
        """Waits for what was said at the last moment, 3 s at most: then owners are told of it. What takes longer is
        delivered at the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while len(self._recorder) or self._under_way or self.voicemail.telling:  # noqa: ASYNC110
                    await asyncio.sleep(SETTLE_POLL_S)
        self._settled = True
        await self.voicemail.stop()

    async def stop(self) -> None:
        """Nothing is begun any more."""
        self._settled = True

    def measure(self, metrics: Metrics) -> None:
        """Names what is counted."""
        voicemail, watchers = self.voicemail, self._telephony.switch.watchers
        metrics.counters("voicemail_calls", "Callers who were to leave a message", ["left"], lambda: {
            left.name.lower(): count for left, count in voicemail.post.left.items()})  # fmt: skip
        metrics.gauge("voicemail_new_messages", "Messages that nobody has heard", lambda: sum(
            box.counts.new for box in voicemail.boxes()))  # fmt: skip
        metrics.gauge("voicemail_messages", "Messages, heard and unheard", lambda: sum(
            box.counts.new + box.counts.old for box in voicemail.boxes()))  # fmt: skip
        metrics.gauge("voicemail_recording", "Recordings that go on", lambda: len(self._recorder))
        metrics.counter("voicemail_wrong_pins", "PINs that were wrong", lambda: voicemail.post.pins.wrong)
        metrics.counter("voicemail_lockouts", "Mailboxes locked after them", lambda: voicemail.post.pins.locked)
        metrics.gauge("sip_subscriptions", "Phones that want to hear of something", lambda: len(watchers.subscriptions))
        metrics.counter("sip_notifications", "NOTIFYs of subscriptions", lambda: watchers.subscriptions.notified)

    # ---- inside

    def _domain(self, account_id: str) -> str:
        account = self._directory.account_or_default(account_id)
        return domain_of(account)

    def _aside(self, work: Callable[[], Found], done: Callable[[Found | Exception], None]) -> None:
        """From then on nothing is begun that nobody would see to its end."""
        if self._settled:
            return

        def finished(result: Found | Exception) -> None:
            self._under_way -= 1
            done(result)
            self._telephony.transports.flush()

        self._under_way += 1
        self._telephony.workers(work, finished)

    def _hand_over(self, what: Callable[[], None]) -> None:
        if not self._settled:
            self._telephony.workers.hand_over(what)
