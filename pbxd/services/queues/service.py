"""The queues of the house: a machine for each account, driven by live calls, registrations and the clock.

What a machine tells is carried out here, in order, and never while it is still deciding: calls ring and hear, the bus
hears what happened, and timers are set anew.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from media.script import Line
from pbxd.calls.facilities import Facilities
from pbxd.calls.record import CallChanged, CallRecord, Change, Role
from pbxd.directory.model import Account, Aor
from pbxd.directory.registrar import PhoneRegistered, PhoneUnregistered
from pbxd.errors import Conflict, NotFound
from pbxd.ids import new_id
from pbxd.logs import get_logger
from pbxd.services.queues.archive import Archive
from pbxd.services.queues.elsewhere import Elsewhere, NoNodes
from pbxd.services.queues.line import QueueLine, Wishes
from pbxd.services.queues.machine import Acd
from pbxd.services.queues.model import (
    Announce,
    Claimed,
    Event,
    Exit,
    Joined,
    Lease,
    Left,
    Membership,
    Offered,
    OperatorChanged,
    QueueRules,
    Returned,
    Seen,
    Verdict,
    Why,
    Withdrawn,
)
from pbxd.services.queues.plain import plain, restored
from pbxd.services.queues.remote import RemoteLine
from pbxd.services.queues.statistics import Day
from pbxd.services.queues.table import Control, Status
from pbxd.services.queues.waiter import Waiter
from pbxd.services.queues.wallboard import (
    CallerView,
    OperatorView,
    QueueNews,
    QueueView,
    caller_view,
    operator_view,
    queue_view,
)
from pbxd.sip.timers import TimerHandle
from pbxd.store import Store

log = get_logger(part="queues")

LOOK_S = 1.0
SAVE_S = 0.5  # at the least between two times that a state is written down
LONGEST_S = 14_400.0  # that a conversation at a node may last beyond a restart, when nothing is said of it
ROW_S = 0.002  # more for each operator and caller of it, so that a large one costs no more than a small one


class LiveCall(Protocol):
    """A call that is up."""

    record: CallRecord


@dataclass(slots=True)
class Branch:
    """The queues of one account."""

    account_id: str
    acd: Acd
    lines: dict[str, Waiter] = field(default_factory=dict)  # by call
    pumping: bool = False
    dirty: bool = False
    saved_at: float = -math.inf
    timer: TimerHandle | None = None
    soon: bool = False  # a look at its operators is about to come
    saving: TimerHandle | None = None


class Queues:
    """`calls` are those that are up, `music` is for who waits (account, folder of the queue's own, whether all hear the
    same), `today` names the day (`2026-03-01`)."""

    def __init__(
        self,
        facilities: Facilities,
        store: Store,
        calls: Callable[[], Iterable[LiveCall]],
        music: Callable[[str, str | None, bool], Sequence[Line]],
        today: Callable[[], str] = lambda: time.strftime("%Y-%m-%d"),
    ) -> None:
        self._calls = calls
        self._music = music
        self._today = today
        self._looking: TimerHandle | None = None
        self._stopping = False
        self.elsewhere: Elsewhere = NoNodes()
        self._branches: dict[str, Branch] = {}
        self._at_nodes: dict[str, RemoteLine] = {}  # by call
        self.archive = Archive(store)
        self.facilities = facilities
        self.exits: Counter[str] = Counter({one.value: 0 for one in Exit})
        self.offers: Counter[str] = Counter({one.value: 0 for one in (*_OFFER_ENDS, Why.ANSWERED)})
        facilities.bus.subscribe(CallChanged, self._call_changed)
        facilities.bus.subscribe(PhoneRegistered, lambda event: self._phone_changed(event.aor))
        facilities.bus.subscribe(PhoneUnregistered, lambda event: self._phone_changed(event.aor))

    # ---- life

    async def load(self, now: float, wall: float, alive: Container[str]) -> list[Left]:
        """Takes up what the last process knew: who is logged in or rests, what was counted today. Its calls died with
        it, when it last wrote something down, but for those at nodes that are `alive`; how they left. Raises
        StoreError."""
        lefts: list[Left] = []
        for account_id, (state, saved_at) in (await self.archive.states()).items():
            died = now - max(0.0, wall - saved_at)
            try:
                acd = restored(state, self._lease_id, random.SystemRandom(), died)
            except ValueError as error:
                log.warning("the queues begin anew", account=account_id, reason=str(error))
                continue
            back = acd.interrupt(died, alive)
            lefts += [one for one in acd.events_to_send() if isinstance(one, Left) and one.caller not in back]
            self._branches[account_id] = Branch(account_id, acd, dirty=True)
        self.exits.update(left.exit.value for left in lefts)
        return lefts

    def stop(self) -> None:
        """Calls are about to be hung up by the house: who waits has not given up."""
        self._stopping = True

    def configure(self, account_id: str, queues: Mapping[str, tuple[QueueRules, Membership]], now: float) -> None:
        """Takes up the queues of an account; an account without any needs nothing."""
        if not queues and account_id not in self._branches:
            return
        branch = self._branch(account_id)
        branch.acd.configure(queues, now)
        self._look(branch, now)
        self._pump(branch, now)
        if self._looking is None:
            self._keep_looking(now)

    def save(self, now: float) -> None:
        """Writes down what has changed."""
        for branch in self._branches.values():
            self._save(branch, now)

    # ---- on calls

    def act(self, account: Account, queue: str, record: CallRecord, wishes: Wishes) -> QueueLine | None:
        """What the house does with a call to a queue; None: there is no such queue."""
        rules = self._rules(account.id, queue)
        return None if rules is None else QueueLine(self, account, rules, record, wishes)

    def at_node(
        self, account: Account, queue: str, record: CallRecord, wishes: Wishes, waited_s: float
    ) -> RemoteLine | None:
        """A caller whose node asks how it stands; the first time it begins to wait. None: there is no such queue."""
        now, line = self.facilities.clock(), self._at_nodes.get(record.id)
        if line is None:
            rules = self._rules(account.id, queue)
            if rules is None:
                return None
            line = self._at_nodes[record.id] = RemoteLine(self, account, rules, record, wishes, waited_s)
            line.asked(now)
            self.enter(line, now)
        line.asked(now)
        self._pump(self._branch(account.id), now)
        return line

    def left_at_node(self, record: CallRecord, exit_: Exit, known_as: str = "") -> None:
        """A node says that its caller is out of the queue, or the call is over. `known_as` is the id of the call before
        the house was restarted."""
        now, line = self.facilities.clock(), self._at_nodes.pop(record.id, None)
        branch = self._branches.get(record.account_id)
        if line is not None:
            line.leave(exit_, now)
        elif branch is not None:
            talked = branch.acd.callers.get(known_as or record.id)
            if talked is not None and talked.remote:
                record.queue, record.queue_exit, record.operator = talked.queue, Exit.ANSWERED.value, talked.operator
                record.queue_wait_s = round(talked.waited_s or 0.0, 3)
                branch.acd.leave(talked.id, now)
                self._pump(branch, now)
            elif record.queue is not None and record.queue_exit is None:  # waited before a restart, and not since
                record.queue_exit = exit_.value

    def music(self, account_id: str, rules: QueueRules) -> Sequence[Line]:
        return self._music(account_id, rules.music, rules.same_music)

    def enter(self, line: Waiter, now: float) -> Exit | None:
        """Desk: the caller waits from now on, or is told that it may not by its `left`."""
        branch, record, wishes = self._branch(line.account.id), line.record, line.wishes
        branch.lines[record.id] = line
        self._look(branch, now)
        refusal = branch.acd.join(
            record.id,
            line.queue,
            now,
            number=record.caller,
            name=record.caller_name,
            priority=wishes.priority,
            wait_when_empty=wishes.wait_when_empty,
            remote=line.remote,
            waited_s=line.waited_s,
        )
        self._pump(branch, now)
        return refusal

    def leave(self, line: Waiter, exit_: Exit, now: float) -> None:
        branch = self._branch(line.account.id)
        gone = self._stopping and exit_ is Exit.ABANDON
        branch.acd.leave(line.record.id, now, Exit.INTERRUPTED if gone else exit_)
        self._pump(branch, now)

    def confirm(self, line: Waiter, lease: Lease, now: float) -> bool:
        branch = self._branch(line.account.id)
        won = branch.acd.confirm(lease.id, lease.epoch, now) is Verdict.WON
        self._pump(branch, now)
        return won

    def connected(self, line: Waiter, lease: Lease, now: float) -> bool:
        branch = self._branch(line.account.id)
        fits = branch.acd.connected(lease, now)
        self._pump(branch, now)
        return fits

    def failed(self, line: Waiter, lease: Lease, why: Why, now: float) -> None:
        branch = self._branch(line.account.id)
        branch.acd.failed(lease, why, now)
        self._pump(branch, now)

    # ---- for operators, and for who acts for them

    def control(self, account: Account, user: str, event: Control, queues: Membership | None = None) -> OperatorView:
        """Raises NotFound for a user or queue that is not there, Conflict for what is not possible now."""
        now, branch = self.facilities.clock(), self._branch(account.id)
        name = self._user(account, user)
        for queue in queues or ():
            if queue not in branch.acd.queues:
                raise NotFound(f"there is no queue {queue}")
        self._look(branch, now, also=name)
        if not branch.acd.control(name, event, now, queues):
            raise Conflict(f"{name} is offline: {event.value} needs a login")
        self._pump(branch, now)
        return operator_view(branch.acd, branch.acd.roster.get(name), now)

    def answers(self, account: Account, user: str) -> bool:
        """Whether the user is an operator: a queue names them, or they serve one."""
        branch = self._branches.get(account.id)
        if branch is None:
            return False
        operator = branch.acd.roster.operators.get(user)
        return bool(branch.acd.queues_of(user)) or (operator is not None and bool(operator.queues))

    def confirm_lease(self, account: Account, lease_id: str, epoch: int) -> OperatorView:
        """An answer from outside. Raises NotFound for an unknown lease, Conflict for a stale one."""
        now, branch = self.facilities.clock(), self._branch(account.id)
        self._look(branch, now)
        verdict = branch.acd.confirm(lease_id, epoch, now)
        self._pump(branch, now)
        if verdict is Verdict.UNKNOWN:
            raise NotFound("there is no such lease")
        if verdict is Verdict.STALE:
            raise Conflict("the offer of this epoch is over")
        operator = next(one for one in branch.acd.roster if one.lease_id == lease_id)
        return operator_view(branch.acd, operator, now)

    def claim(self, account: Account, user: str, call: str) -> OperatorView:
        """The first operator gets the caller. Raises NotFound, Conflict."""
        now, branch = self.facilities.clock(), self._branch(account.id)
        name = self._user(account, user)
        self._look(branch, now)
        verdict = branch.acd.claim(name, call, now)
        self._pump(branch, now)
        if verdict is Verdict.UNKNOWN:
            raise NotFound("there is no such operator or caller")
        if verdict is Verdict.STALE:
            raise Conflict("the caller is another operator's, or this operator cannot take it")
        return operator_view(branch.acd, branch.acd.roster.get(name), now)

    # ---- what there is to see

    def accounts(self) -> list[str]:
        return list(self._branches)

    def queues(self, account_id: str) -> list[QueueView]:
        acd, now = self._branch(account_id).acd, self.facilities.clock()
        return [queue_view(acd, name, now) for name in acd.queues]

    def queue(self, account_id: str, name: str) -> QueueView:
        """Raises NotFound."""
        acd = self._branch(account_id).acd
        if name not in acd.queues:
            raise NotFound(f"there is no queue {name}")
        return queue_view(acd, name, self.facilities.clock())

    def callers(self, account_id: str, queue: str | None = None) -> list[CallerView]:
        acd, now = self._branch(account_id).acd, self.facilities.clock()
        ranked = sorted(acd.callers.values(), key=lambda one: one.rank)
        return [caller_view(acd, one, now) for one in ranked if queue in (None, one.queue)]

    def caller(self, account_id: str, call: str) -> CallerView | None:
        """One of them; None: that call is in no queue."""
        acd, now = self._branch(account_id).acd, self.facilities.clock()
        found = acd.callers.get(call)
        return None if found is None else caller_view(acd, found, now)

    def operators(self, account_id: str) -> list[OperatorView]:
        """Everybody a queue names, and who serves one."""
        branch, now = self._branch(account_id), self.facilities.clock()
        acd = branch.acd
        for name in {name for queue in acd.queues.values() for name in queue.members}:
            acd.roster.get(name)
        self._look(branch, now, everybody=True)
        self._pump_soon(branch, now)
        return [operator_view(acd, one, now) for one in sorted(acd.roster, key=lambda one: one.name)]

    def operator(self, account: Account, user: str) -> OperatorView:
        """Raises NotFound."""
        branch, now = self._branch(account.id), self.facilities.clock()
        name = self._user(account, user)
        self._look(branch, now, also=name)
        self._pump_soon(branch, now)
        return operator_view(branch.acd, branch.acd.roster.get(name), now)

    def call_named(self, account_id: str, name: str) -> str | None:
        """The call in a queue of this id, or of this Call-ID."""
        branch = self._branches.get(account_id)
        for call, line in branch.lines.items() if branch is not None else ():
            legs = line.record.legs
            if name == call or (legs and legs[0].sip_call_id == name):
                return call
        return None

    def busy(self, account_id: str) -> set[str]:
        """Users who have a phone in any call, here or at a node."""
        records = (call.record for call in self._calls())
        legs = (leg for record in records if record.account_id == account_id for leg in record.legs)
        return {leg.party for leg in legs if leg.ended_at is None} | set(self.elsewhere.busy(account_id))

    async def days(self, account_id: str, since: str, until: str) -> list[Day]:
        """Figures by day, today's as they are now. Raises StoreError."""
        acd = self._branch(account_id).acd
        past = [one for one in await self.archive.days(account_id, since, until) if one.name != acd.day.name]
        return [*past, acd.day] if since <= acd.day.name <= until else past

    def total(self, of: Callable[[Acd], int]) -> int:
        """Over all accounts."""
        return sum(of(branch.acd) for branch in self._branches.values())

    # ---- inside

    def _rules(self, account_id: str, queue: str) -> Callable[[], QueueRules] | None:
        """Those of a queue as they are each time, or were at last."""
        branch = self._branches.get(account_id)
        if branch is None or queue not in branch.acd.queues:
            return None
        acd, last = branch.acd, branch.acd.queues[queue].rules
        return lambda: acd.queues[queue].rules if queue in acd.queues else last

    def _branch(self, account_id: str) -> Branch:
        found = self._branches.get(account_id)
        if found is None:
            acd = Acd(self._lease_id, random.SystemRandom())
            acd.roster.day.name = self._today()
            found = self._branches[account_id] = Branch(account_id, acd)
        return found

    def _lease_id(self) -> str:
        return new_id("lease", self.facilities.wall(self.facilities.clock()))

    def _user(self, account: Account, user: str) -> str:
        """The user of that name, id or extension. Raises NotFound."""
        aor = self.facilities.directory.aor(account, user)
        if aor is None:
            raise NotFound("there is no such user")
        return aor.user

    def _pump(self, branch: Branch, now: float) -> None:
        """Carries out what the machine says, until it has nothing to say."""
        if branch.pumping:
            return
        branch.pumping = True
        try:
            while events := branch.acd.events_to_send():
                branch.dirty = True
                for event in events:
                    self._carry_out(branch, event, now)
        finally:
            branch.pumping = False
        due = branch.acd.timer
        if branch.timer is not None:
            branch.timer.cancel()
            branch.timer = None
        if due is not None:
            branch.timer = self.facilities.stack.schedule(max(due, now), lambda later: self._due(branch, later))
        self._save_soon(branch, now)

    def _pump_soon(self, branch: Branch, now: float) -> None:
        """Who only looks rings nobody by that, but what was seen has to be carried out."""
        self.facilities.stack.schedule(now, lambda later: self._pump(branch, later))

    def _save_soon(self, branch: Branch, now: float) -> None:
        """Who is told that they are logged in is so, whatever happens to the process."""
        if branch.dirty and branch.saving is None:
            rows = len(branch.acd.callers) + len(branch.acd.roster.operators)
            due = max(now, branch.saved_at + SAVE_S + ROW_S * rows)
            branch.saving = self.facilities.stack.schedule(due, lambda later: self._save(branch, later))

    def _save(self, branch: Branch, now: float) -> None:
        if branch.saving is not None:
            branch.saving.cancel()
            branch.saving = None
        if branch.dirty:
            branch.dirty, branch.saved_at = False, now
            self.archive.save(branch.account_id, plain(branch.acd, now), self.facilities.wall(now))
            self.archive.save_day(branch.account_id, branch.acd.day)

    def _due(self, branch: Branch, now: float) -> None:
        self._look(branch, now)
        branch.acd.handle_timer(now)
        self._pump(branch, now)

    def _carry_out(self, branch: Branch, event: Event, now: float) -> None:
        self._note(event)
        line = branch.lines.get(_call_of(event))
        if line is not None:
            try:
                _instruct(line, event, now)
            except Exception:
                log.exception("a caller in a queue could not be served", call=line.record.id)
            if isinstance(event, Left):
                branch.lines.pop(event.caller, None)
        self.facilities.bus.publish(QueueNews(branch.account_id, self.facilities.wall(now), event))

    def _note(self, event: Event) -> None:
        match event:
            case Joined(caller, queue, position):
                log.info("caller waits", call=caller, queue=queue, position=position)
            case Left():
                self.exits[event.exit] += 1
                seconds = round(event.waited_s, 1)
                log.info(
                    "caller left the queue",
                    call=event.caller,
                    queue=event.queue,
                    exit=event.exit,
                    waited_s=seconds,
                    operator=event.operator,
                    talked_s=round(event.talked_s, 1),
                )
            case Claimed():
                self.offers[Why.ANSWERED] += 1
            case Withdrawn(lease, why) | Returned(lease, why):
                self.offers[why] += 1
                if why not in (Why.TAKEN, Why.CALLER_LEFT):
                    log.info("operator not reached", call=lease.caller, operator=lease.operator, reason=why)
            case OperatorChanged() if event.why in (Why.ASKED, Why.AUTO_PAUSE):
                log.info("operator changed", operator=event.operator, status=event.status, reason=event.why)
            case _:
                pass

    # ---- who is where

    def _look(self, branch: Branch, now: float, *, also: str = "", everybody: bool = False) -> None:
        """Tells the machine which operators can be reached, and who is on a call that is not of a queue."""
        roster = branch.acd.roster
        wanted = {one.name: one for one in roster if everybody or one.status is not Status.OFFLINE or one.name == also}
        if also and also not in wanted:
            wanted[also] = roster.get(also)
        if not wanted:
            return
        away = self.elsewhere.busy(branch.account_id)
        busy = {name for name in away if name in wanted and wanted[name].lease is None}
        for call in self._calls():
            record = call.record
            if record.account_id != branch.account_id:
                continue
            for leg in record.legs:
                if leg.ended_at is None and leg.party in wanted:
                    lease = wanted[leg.party].lease
                    if leg.role is Role.CALLER or lease is None or lease.caller != record.id:
                        busy.add(leg.party)
        branch.acd.see({name: self._seen(Aor(branch.account_id, name), name in busy, now) for name in wanted}, now)

    def _seen(self, aor: Aor, on_call: bool, now: float) -> Seen:
        here = bool(self.facilities.registrar.bindings(aor, now))
        afar = not here and self.elsewhere.reachable(aor, now)
        return Seen(here or afar, on_call, afar)

    def _call_changed(self, event: CallChanged) -> None:
        """Operators who begin or end a call are looked at at once, when the call is where the change says it is."""
        branch = self._branches.get(event.record.account_id)
        if event.change is Change.ENDED:
            self.left_at_node(event.record, Exit.ABANDON)
        if branch is None or event.change is Change.MOVED:
            return
        operators = branch.acd.roster.operators
        parties = (operators.get(leg.party) for leg in event.record.legs)
        if any(one is not None and one.status is not Status.OFFLINE for one in parties):
            self._soon(branch)

    def _phone_changed(self, aor: Aor) -> None:
        branch = self._branches.get(aor.account_id)
        if branch is not None and aor.user in branch.acd.roster.operators:
            self._soon(branch)

    def _soon(self, branch: Branch) -> None:
        """Once for all that happens in this turn."""
        if branch.soon:
            return
        branch.soon = True
        self.facilities.stack.schedule(self.facilities.clock(), lambda now: self._look_at(branch, now))

    def _look_at(self, branch: Branch, now: float) -> None:
        branch.soon = False
        self._look(branch, now)
        self._pump(branch, now)

    def _keep_looking(self, now: float) -> None:
        """What is due every second."""
        self._looking = self.facilities.stack.schedule(now + LOOK_S, self._keep_looking)
        today = self._today()
        for branch in self._branches.values():
            if branch.acd.day.name != today:
                self.archive.save_day(branch.account_id, branch.acd.begin_day(today, now))
                branch.dirty = True
            self._look_at(branch, now)
            for line in tuple(branch.lines.values()):
                line.look(now)
            self._let_go(branch, now)

    def _let_go(self, branch: Branch, now: float) -> None:
        """Of who talked at a node before a restart, and whose node says nothing of it."""
        for caller in tuple(branch.acd.callers.values()):
            if caller.id not in branch.lines and now - caller.joined_at >= LONGEST_S:
                branch.acd.leave(caller.id, now)
                self._pump(branch, now)


_OFFER_ENDS = (Why.NO_ANSWER, Why.DECLINED, Why.UNREACHABLE, Why.ON_CALL, Why.TAKEN, Why.CALLER_LEFT, Why.NOT_AVAILABLE)


def _call_of(event: Event) -> str:
    match event:
        case Offered(lease) | Withdrawn(lease, _) | Claimed(lease) | Returned(lease, _):
            return lease.caller
        case Announce() | Left():
            return event.caller
        case _:
            return ""


def _instruct(line: Waiter, event: Event, now: float) -> None:
    match event:
        case Offered(lease):
            line.offer(lease, now)
        case Withdrawn(lease, why):
            line.withdraw(lease, why, now)
        case Claimed(lease):
            line.claim(lease, now)
        case Returned(lease, _):
            line.returned(lease, now)
        case Announce():
            line.announce(event.position, event.expected_s, now)
        case Left():
            line.left(event, now)
        case _:
            pass
