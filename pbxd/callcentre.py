"""Queues, put together: their service with the directory, the numbers that they answer, call flows, and figures."""

from __future__ import annotations

from dialplan.command import Enqueue
from media.script import Line, Prompt
from pbxd.calls.record import CallRecord
from pbxd.calls.stage import Act
from pbxd.config.groups import MusicMode
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, Extension, ExtensionKind, QueueSpec
from pbxd.metrics import Metrics
from pbxd.services.announcements import Announcement
from pbxd.services.cdr import CallRecords
from pbxd.services.queues import QueueRules, Queues, SignIn, Wishes
from pbxd.services.queues.line import QueueLine
from pbxd.services.queues.table import Activity, Place, Status
from pbxd.store import Store
from pbxd.telephony import Telephony


class CallCentre:
    """`open` it before SIP is answered, `close` it after the last call has ended."""

    def __init__(self, store: Store, telephony: Telephony, records: CallRecords) -> None:
        self._telephony = telephony
        self._records = records
        self._directory: Directory = telephony.facilities.directory
        calls, music = telephony.switch.calls, telephony.music

        def tunes(account_id: str, own: str | None, same: bool) -> list[Line]:
            return music.tunes(account_id, own, fixed=same)

        self.queues = Queues(telephony.facilities, store, calls.values, tunes)
        telephony.acts[ExtensionKind.QUEUE] = self._dialled
        telephony.acts[ExtensionKind.OPERATOR] = self._sign_in
        telephony.dialplans.flows.desk.enqueue = self._waiting

    async def open(self) -> None:
        """Takes up who was logged in, and says of the calls of the last process how they left. Raises StoreError."""
        now = self._telephony.now()
        for left in await self.queues.load(now, self._telephony.wall(now)):
            await self._records.left_queue(left.caller, left.queue, left.exit.value, left.waited_s, left.operator)
        self.reload()

    def reload(self) -> None:
        """Takes up what the directory says of queues and their members."""
        now = self._telephony.now()
        for account in self._directory.accounts():
            specs = self._directory.queues(account)
            self.queues.configure(account.id, {one.name: (rules_of(one), members_of(one)) for one in specs}, now)
        for gone in set(self.queues.accounts()) - {account.id for account in self._directory.accounts()}:
            self.queues.configure(gone, {}, now)

    def stop(self) -> None:
        """The calls that are still up are about to be hung up."""
        self.queues.stop()

    def close(self) -> None:
        """Writes down the last."""
        self.queues.save(self._telephony.now())

    def measure(self, metrics: Metrics) -> None:
        """Names what is counted."""
        queues = self.queues
        metrics.gauge("queue_waiting", "Callers who wait in queues", lambda: queues.total(
            lambda acd: sum(one.waits for one in acd.callers.values())))  # fmt: skip
        metrics.gauge("queue_talking", "Callers of queues who talk to operators", lambda: queues.total(
            lambda acd: sum(one.place is Place.TALKING for one in acd.callers.values())))  # fmt: skip
        metrics.counters("queue_exits", "Callers who left queues, by how", ["exit"], lambda: queues.exits)
        metrics.counters("queue_offers", "Calls that operators were offered, by what came of it", ["came"], lambda: (
            queues.offers))  # fmt: skip
        metrics.gauge("queue_operators_logged_in", "Operators who are logged in", lambda: queues.total(
            lambda acd: sum(one.status is not Status.OFFLINE for one in acd.roster)))  # fmt: skip
        metrics.gauge("queue_operators_free", "Operators who could be offered a call", lambda: queues.total(
            lambda acd: len(acd.roster.free(self._telephony.now()))))  # fmt: skip
        metrics.gauge("queue_operators_talking", "Operators in calls of queues", lambda: queues.total(
            lambda acd: sum(one.activity is Activity.IN_CALL for one in acd.roster)))  # fmt: skip

    # ---- inside

    def _account(self, account_id: str) -> Account:
        return self._directory.account_or_default(account_id)

    def _dialled(self, extension: Extension, record: CallRecord) -> Act:
        name = str(extension.options["queue"])
        found = self.queues.act(self._account(extension.account_id), name, record, Wishes(direct=True))
        return found or Announcement(Prompt("not-in-service"))

    def _sign_in(self, extension: Extension, record: CallRecord) -> Act:
        return SignIn(self.queues, self._account(extension.account_id), record)

    def _waiting(self, command: Enqueue, record: CallRecord) -> QueueLine | None:
        """The queue of that name, or the one at that number."""
        account = self._account(record.account_id)
        extension = self._directory.extension(account, command.queue)
        name = str(extension.options.get("queue")) if extension is not None else command.queue
        wishes = Wishes(command.priority, command.wait_when_empty, command.leave_digit)
        return self.queues.act(account, name, record, wishes)


def rules_of(spec: QueueSpec) -> QueueRules:
    """What the machine goes by."""
    return QueueRules(
        name=spec.name,
        title=spec.title,
        strategy=spec.strategy,
        ring_s=spec.agent_ring_timeout_s,
        max_wait_s=spec.max_wait_s,
        wrap_up_s=spec.wrap_up_s,
        max_no_answer=spec.max_no_answer,
        announce_position=spec.announce_position,
        announce_first_s=spec.announce_first_s,
        announce_interval_s=spec.announce_interval_s,
        max_callers=spec.max_callers,
        max_expected_wait_s=spec.max_expected_wait_s,
        service_level_s=spec.service_level_s,
        wait_when_empty=spec.wait_when_empty,
        leave_digit=spec.leave_digit,
        accept=spec.accept,
        whisper=spec.whisper,
        same_music=spec.moh_mode is MusicMode.STREAM,
        music=spec.music,
    )


def members_of(spec: QueueSpec) -> dict[str, int]:
    """The operators of a queue in its order, with their penalties."""
    return {name: spec.penalties.get(name, 0) for name in spec.members}
