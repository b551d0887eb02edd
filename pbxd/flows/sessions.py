"""Flows that a node carries out: it is told one command after the other, and says what came of each.

The same machine as on live calls. Whatever needs no media (turns of groups, tags, schedules, web requests, mail) is
done here at once; the node is given what is left. That it is to answer the call stands on the command before which it
is: its argument `answer`. A step that is repeated gets the answer it had; one that is not of the command that is out is
refused. Sessions are JSON in the store and go on after a restart.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select

from dialplan import command as commands
from dialplan.command import Cause, Command, Outcome, Reply
from dialplan.flow import Library
from dialplan.hours import Moment
from dialplan.machine import Machine
from dialplan.state import Ending, Facts, StateError
from pbxd.calls.facilities import Tracer
from pbxd.calls.record import CallRecord
from pbxd.errors import Conflict, Invalid, NotFound, Overloaded
from pbxd.flows.act import ENDS, add_tag
from pbxd.flows.desk import Desk
from pbxd.flows.trail import came_note, command_note
from pbxd.logs import get_logger
from pbxd.store import Store
from pbxd.store.schema import edge_sessions
from pbxd.trace import Topic

MOST_AT_ONCE = 50  # commands done here in a row
NO_MESSAGES = "messages to phones are sent on calls that are up here"
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"

log = get_logger(part="flows")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the node is told: do this, and say by `seq` what came of it. `done`: there is nothing to say any more."""

    command: str
    args: Mapping[str, Any]
    seq: int
    done: bool


@dataclass(slots=True)
class Session:
    """A flow that a node carries out. `stepped` is the step before: which command it was of, and a digest of what was
    said, so that it is known when it is said again. `machine` is None until somebody steps what came from the store."""

    account_id: str
    call: str
    flow: str
    machine: Machine | None
    touched: float  # seconds since the epoch
    answer: Answer
    saved: Mapping[str, Any] = field(default_factory=dict)  # the machine, as long as it is only that
    stepped: tuple[int, str] = (0, "")
    record: str = ""  # the id of the call in the house
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def key(self) -> str:
        return f"{self.account_id} {self.call}"

    def is_begun_again(self, record: CallRecord) -> bool:
        """Whether a node that begins it repeats itself: it ended at its beginning, and the call is the same."""
        return not self.stepped[1] and self.record == record.id

    @property
    def row_id(self) -> str:
        return "fls_" + hashlib.sha256(self.key.encode()).hexdigest()[:26]


@dataclass(slots=True)
class Bounds:
    """A session that is not stepped for `idle_s` is over; there are `most` at a time."""

    idle_s: float = 3600.0
    most: int = 10_000


class FlowSessions:
    """All of them. `library` is what is live now in an account, by its id; a session keeps the one that it began with.
    `wall` is the time in seconds since the epoch, `now` monotonic."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        library: Callable[[str], Library],
        tracer: Tracer,
        wall: Callable[[], float],
        now: Callable[[], float],
        bounds: Bounds,
    ) -> None:
        self.bounds = bounds
        self.endings: Counter[str] = Counter(dict.fromkeys((ending.value for ending in Ending), 0))
        self._desk = desk
        self._store = store
        self._library = library
        self._tracer = tracer
        self._wall = wall
        self._now = now
        self._save = store.upsert(edge_sessions)
        self._delete = store.delete_by_id(edge_sessions)
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[Answer]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def load(self) -> int:
        """Take up the sessions of the last run; how many go on. Raises StoreError."""
        oldest = self._wall() - self.bounds.idle_s
        for row in await self._store.rows(select(edge_sessions)):
            session = _session_of(row._asdict()) if row.touched_at >= oldest else None
            if session is not None:
                self._sessions[session.key] = session
            else:
                self._store.write(self._delete, {"key": row.id})
        return len(self._sessions)

    async def stop(self) -> None:
        """What is done here for a step is given up."""
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    # ---- for the edge

    def find(self, accounts: Iterable[str], call: str) -> list[Session]:
        """The sessions of a call in these accounts."""
        found = (self._sessions.get(f"{account} {call}") for account in accounts)
        return [session for session in found if session is not None]

    async def start(
        self, record: CallRecord, call: str, flow: str, account: str, variables: Mapping[str, Any], *, answered: bool
    ) -> Answer:
        """Begin a flow for a call that its node names `call`, or give the command that is out where it has begun.
        `account` is what flows know the account as. Raises NotFound, Conflict where the call is in another flow,
        Overloaded."""
        known = self._sessions.get(f"{record.account_id} {call}")
        if known is not None and not known.answer.done and known.flow != flow:
            raise Conflict(f"the call is in the flow {known.flow}")
        if known is not None and known.flow == flow and (not known.answer.done or known.is_begun_again(record)):
            async with known.turn:
                return known.answer
        library = self._library(record.account_id)
        if flow not in library.flows:
            raise NotFound("there is no such flow")
        if known is None:
            self._make_room()
        machine = Machine(library)
        begun = Session(
            record.account_id, call, flow, machine, self._wall(), Answer("noop", {}, 0, done=False), record=record.id
        )
        self._sessions[begun.key] = begun
        facts = Facts(record.id, record.caller, record.caller_name, record.called, account)
        first = machine.start(flow, facts, self._moment(record.account_id), variables, answered=answered)
        await begun.turn.acquire()  # at once, since nobody else has it: who asks meanwhile waits for the first command
        return await self._alone(self._begun(begun, machine, record, first))

    async def step(
        self,
        session: Session,
        record: CallRecord,
        outcome: str,
        data: Mapping[str, Any],
        seq: int | None,
        *,
        heard: tuple[str, Mapping[str, Any]] | None = None,
        came: Callable[[Answer], None] = lambda of: None,
    ) -> Answer:
        """What came of the command `seq`, or of the one that is out; `heard` is what the node said where that led to
        this outcome. `came` is told which command it was of, once that is taken for true and before anything follows
        from it. Raises Conflict for one that is not out, and Invalid for an outcome that there is not."""
        said = _digest(*(heard or (outcome, data)))
        return await self._alone(self._stepped(session, record, outcome, data, seq, said, came))

    def keep(self, session: Session, **more: Any) -> None:
        """The command that is out says this, too, from now on."""
        answer = session.answer
        session.answer = replace(answer, args={**answer.args, **more})
        self._write(session)

    def touch(self, session: Session) -> None:
        """Its node is there still."""
        session.touched = self._wall()

    async def _alone(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """To its end, even where whoever asked no longer waits: it will ask again, and finds the answer."""
        task = asyncio.get_running_loop().create_task(work, name="edge-flow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _begun(self, session: Session, machine: Machine, record: CallRecord, first: Command) -> Answer:
        try:
            return await self._advance(session, machine, record, first)
        finally:
            session.turn.release()

    async def _stepped(
        self,
        session: Session,
        record: CallRecord,
        outcome: str,
        data: Mapping[str, Any],
        seq: int | None,
        said: str,
        came: Callable[[Answer], None],
    ) -> Answer:
        async with session.turn:
            current = session.answer
            if seq is not None and seq != current.seq:
                if (seq, said) == session.stepped:
                    return current
                raise Conflict(f"that is of the command {seq}; the command {current.seq} is out")
            if current.done:
                return Answer("noop", {}, current.seq, done=True)
            reply = Reply.read(outcome, data)
            if reply.outcome is Outcome.RECORDED and current.args.get("mailbox"):
                reply = Reply(Outcome.DONE, reply.data)
            if reply.outcome is Outcome.ERROR and outcome != Outcome.ERROR.value:
                raise Invalid(f"outcome: {reply.data.get('reason', '')}")
            machine = self._machine(session)
            session.stepped = current.seq, said
            came(current)
            if machine is None:
                return self._broken(session, record)
            self._note(record, *came_note(machine.position, reply))
            command = machine.step(reply, self._moment(record.account_id))
            return await self._advance(session, machine, record, command)

    def forget(self, accounts: Collection[str], call: str) -> None:
        """The call is over, and so is what was left of its flow."""
        for session in self.find(accounts, call):
            machine = session.machine
            if not session.answer.done and machine is not None:
                machine.step(Reply(Outcome.HANGUP, {}), self._moment(session.account_id))
                self._count(machine)
            session.answer = Answer("noop", {}, session.answer.seq + (not session.answer.done), done=True)
            self._write(session)

    def sweep(self, wall: float) -> None:
        """Let go of what nobody steps; called every second or so."""
        for session in [one for one in self._sessions.values() if wall - one.touched >= self.bounds.idle_s]:
            self._drop(session)

    # ---- inside

    async def _advance(self, session: Session, machine: Machine, record: CallRecord, command: Command) -> Answer:
        """Do what can be done here, and give the node the first command that cannot."""
        answer = False
        for _ in range(MOST_AT_ONCE):
            self._note(record, Topic.COMMAND, command_note(machine.position, command))
            reply = await self._done_here(record, command)
            if session.answer.done:  # the call was over meanwhile
                return session.answer
            if reply is None:
                break
            answer = answer or isinstance(command, commands.Answer)
            self._note(record, *came_note(machine.position, reply))
            command = machine.step(reply, self._moment(record.account_id))
        else:
            command = commands.Hangup(Cause.ERROR)
        done = machine.ended or isinstance(command, commands.Hangup)
        if done:
            self._count(machine)
        record.flow = machine.position
        word, args = spoken(command)
        session.answer = Answer(word, args | ({"answer": True} if answer else {}), machine.sequence, done)
        self._write(session)
        return session.answer

    async def _done_here(self, record: CallRecord, command: Command) -> Reply | None:
        """What came of a command that needs no media; None for one that does."""
        desk = self._desk
        match command:
            case commands.Rotate(key=key, size=size):
                return Reply(Outcome.DONE, {"index": desk.turn(record.account_id, key, size)})
            case commands.Answer():  # the node answers before it does what comes next
                return Reply(Outcome.DONE, {})
            case commands.Tag(name=name):
                add_tag(record, name)
                return Reply(Outcome.DONE, {})
            case commands.SetHours(schedule=schedule, opening=opening, until=until):
                return _taken(desk.override(record.account_id, schedule, opening, until, f"call {record.id}"))
            case commands.Http():
                return await self._web(command)
            case commands.Message(via=commands.MessageVia.MAIL):
                return _taken(await self._mail(record.account_id, command))
            case commands.Message():
                return _taken(NO_MESSAGES)
        return None

    async def _web(self, command: commands.Http) -> Reply:
        asked: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        cancel = self._desk.ask(command, lambda reply: None if asked.done() else asked.set_result(reply))
        try:
            return await asked
        except asyncio.CancelledError:
            cancel()
            raise

    async def _mail(self, account_id: str, command: commands.Message) -> str | None:
        sent: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def taken(why: str | None) -> None:
            if not sent.done():
                sent.set_result(why)

        self._desk.send_mail(account_id, command.to, command.subject or "A message", command.text, taken)
        return await sent

    def _machine(self, session: Session) -> Machine | None:
        """Its machine, taken up from the store where that is needed; None where its flow has changed since."""
        if session.machine is None:
            try:
                session.machine = Machine.restore(self._library(session.account_id), session.saved)
            except StateError as error:
                log.warning("a flow of a node cannot go on", call=session.call, flow=session.flow, reason=str(error))
        return session.machine

    def _broken(self, session: Session, record: CallRecord) -> Answer:
        """Its flow is another one today: the call is ended rather than led somewhere."""
        word, args = spoken(commands.Hangup(Cause.ERROR))
        session.answer = Answer(word, args, session.answer.seq + 1, done=True)
        self._note(record, *came_note("", Reply(Outcome.ERROR, {"reason": "the flow was changed meanwhile"})))
        self.endings[Ending.FAILED.value] += 1
        self._write(session)
        return session.answer

    def _count(self, machine: Machine) -> None:
        if machine.ending is not None:
            self.endings[machine.ending.value] += 1

    def _moment(self, account_id: str) -> Moment:
        return self._desk.moment(account_id, self._now())

    def _note(self, record: CallRecord, topic: Topic, text: str) -> None:
        self._tracer.note(record.id, topic, text, self._now())

    def _make_room(self) -> None:
        if len(self._sessions) < self.bounds.most:
            return
        finished = next((session for session in self._sessions.values() if session.answer.done), None)
        if finished is None:
            raise Overloaded("as many flows as may be are under way")
        self._drop(finished)

    def _drop(self, session: Session) -> None:
        self._sessions.pop(session.key, None)
        self._store.write(self._delete, {"key": session.row_id})

    def _write(self, session: Session) -> None:
        session.touched = self._wall()
        machine = session.machine.state if session.machine is not None else session.saved
        answer = session.answer
        state = {
            "machine": {} if answer.done else machine,
            "stepped": list(session.stepped),
            "record": session.record,
            "answer": {"command": answer.command, "args": answer.args, "seq": answer.seq, "done": answer.done},
        }
        self._store.write(
            self._save,
            {
                "id": session.row_id,
                "account_id": session.account_id,
                "call_id": session.call,
                "flow": session.flow,
                "touched_at": session.touched,
                "state": json.dumps(state),
            },
        )


def spoken(command: Command) -> tuple[str, dict[str, Any]]:
    """A command in the words of the edge contract, with its arguments: a message for a mailbox is a recording with a
    `mailbox`. What the contract has no word for keeps the house's: voicemail, to listen to messages."""
    args = command.to_json()
    word = str(args.pop("command"))
    match command:
        case commands.Say():
            return "play", {"sounds": [args["sound"]], "early": args["early"]}
        case commands.Wait():
            return "noop", args
        case commands.Voicemail(action=commands.MailboxAction.LEAVE):
            return "record", args
        case commands.Hangup(cause=cause):
            status, q850, _ = ENDS[cause]
            return word, {**args, "code": status, "q850": q850}
    return word, args


def flow_id(account_id: str, name: str) -> str:
    """The id of a flow in an account: always the same for the same name."""
    number = int.from_bytes(hashlib.sha256(f"{account_id}\0{name}".encode()).digest()[:16], "big")
    return "flow_" + "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _session_of(row: Mapping[str, Any]) -> Session | None:
    """What a row says; None where it cannot be read."""
    try:
        said = json.loads(row["state"])
        number, step = said["stepped"]
        return Session(
            account_id=row["account_id"],
            call=row["call_id"],
            flow=row["flow"],
            machine=None,
            touched=row["touched_at"],
            answer=Answer(**said["answer"]),
            saved=dict(said["machine"]),
            stepped=(int(number), str(step)),
            record=str(said.get("record", "")),
        )
    except (ValueError, KeyError, TypeError) as error:
        log.warning("a flow of a node is not readable and is removed", call=row["call_id"], reason=str(error))
        return None


def _taken(why: str | None) -> Reply:
    return Reply(Outcome.DONE, {}) if why is None else Reply(Outcome.FAILED, {"reason": why})


def _digest(outcome: str, data: Mapping[str, Any]) -> str:
    said = json.dumps([outcome, data], sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
