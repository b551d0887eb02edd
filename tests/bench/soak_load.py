"""What the soak does to the daemon: calls of all kinds begun at a steady rate, registrations, requests to the API."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from tests.bench.daemon import BenchError, Daemon
from tests.bench.soak_phones import HOST, Dialog, Line, Manner, Sound, Unexpected
from tests.clients.raw_message import sdp

PHONES = tuple(str(number) for number in range(1001, 1011))
BUSY, RINGING = "1010", "1009"
CALLABLE = PHONES[:8]
NOBODY = "7999"
ROOMS = range(700, 710)
TALK_S = (0.5, 3.0)
WORDS_S = 10.0  # for the first words of a house that has just begun, on a busy machine
HOLD_S = 0.5
REFRESH_S = 1.0  # one phone a second: each every ten seconds
API_S = 0.5
END_S = 30.0
SEED = 20518
READS = ("calls", "records?limit=20", "registrations", "phones", "trunks", "outbox", "settings")


@dataclass(slots=True)
class Outcome:
    """What the calls came to; `unlike` is how many did not go as their script says."""

    begun: int = 0
    unlike: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    surprises: Counter[str] = field(default_factory=Counter)

    def surprise(self, kind: str, error: BaseException) -> None:
        self.unlike += 1
        self.surprises[f"{kind}: {str(error) or type(error).__name__}"] += 1


def password(user: str) -> str:
    """As the lab has it."""
    return f"lab-{user}"


class Load:
    """The phones, the far end of the trunk, and what they do."""

    def __init__(self, daemon: Daemon, line: Line, far: Line, rate: float) -> None:
        self.outcome = Outcome()
        self._daemon, self._line, self._far, self._rate = daemon, line, far, rate
        self._random = random.Random(SEED)
        self._tasks: set[asyncio.Task[None]] = set()
        kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._phone_to_phone: 30,
            self._echo: 20,
            self._trunk: 15,
            self._prompt: 6,
            self._room: 6,
            self._menu: 6,
            self._mailbox: 3,
            self._recorded: 3,
            self._held: 8,
            self._hung_up: 5,
            self._busy: 6,
            self._nobody: 6,
            self._wrong_password: 4,
            self._cancelled: 6,
        }
        self.kinds, self._weights = list(kinds), list(kinds.values())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, daemon: Daemon, rate: float) -> AsyncIterator[Self]:
        server = (HOST, daemon.sip_port)
        async with Line.open(server, manner) as line, Line.open(server, manner, daemon.callee_port) as far:
            load = cls(daemon, line, far, rate)
            for user in PHONES:
                await load.register(user)
            yield load
            for task in load._tasks:
                task.cancel()

    async def run(self, seconds: float) -> None:
        """Begins calls at the rate for so long, and waits until they are over."""
        loop = asyncio.get_running_loop()
        beside = [loop.create_task(self._refresh()), loop.create_task(self._read_api())]
        start = loop.time()
        for number in itertools.count():
            due = start + number / self._rate
            if due - start > seconds:
                break
            await asyncio.sleep(max(0.0, due - loop.time()))
            (kind,) = self._random.choices(self.kinds, self._weights)
            task = loop.create_task(self.one(kind))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        for one in beside:
            one.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=END_S)
        for error in (*self._line.failures, *self._far.failures):
            self.outcome.surprise("called side", error)
        self._line.failures.clear()
        self._far.failures.clear()

    async def one(self, kind: Callable[[], Awaitable[None]]) -> None:
        """One call of this kind, counted."""
        name = kind.__name__.lstrip("_").replace("_", " ")
        self.outcome.begun += 1
        self.outcome.kinds[name] += 1
        try:
            await kind()
        except (Unexpected, BenchError, TimeoutError, OSError, AssertionError) as error:
            self.outcome.surprise(name, error)

    # ---- calls

    async def _phone_to_phone(self) -> None:
        await self._talk(self._random.choice(CALLABLE), self._random.choice(CALLABLE))

    async def _echo(self) -> None:
        await self._hear("600")

    async def _trunk(self) -> None:
        await self._talk(self._random.choice(CALLABLE), f"8{self._random.randrange(1000):03}")

    async def _held(self) -> None:
        await self._talk(self._random.choice(CALLABLE), self._random.choice(CALLABLE), hold=True)

    async def _prompt(self) -> None:
        await self._hear("900")

    async def _room(self) -> None:
        await self._hear(str(self._random.choice(ROOMS)))

    async def _menu(self) -> None:
        """The flow of the lab, left at any of its words."""
        await self._hear("500")

    async def _mailbox(self) -> None:
        await self._hear("*97")

    async def _hear(self, number: str) -> None:
        if not await self._talk(self._random.choice(CALLABLE), number, listens=True):
            raise Unexpected(f"{number} is silent")

    async def _hung_up(self) -> None:
        """Through the API, as a supervisor would."""
        async with self._overseen() as (dialog, call):
            await self._tell(call, "hangup")
            await dialog.answer_bye()

    async def _recorded(self) -> None:
        async with self._overseen() as (dialog, call):
            await self._tell(call, "recording", {})
            await asyncio.sleep(self._random.uniform(*TALK_S))
            _expect((await dialog.ask("BYE")).status, 200)

    @contextlib.asynccontextmanager
    async def _overseen(self) -> AsyncIterator[tuple[Dialog, str]]:
        """A call that is up, with the house's name for it."""
        user, number = self._random.choice(CALLABLE), self._random.choice(CALLABLE)
        async with Sound.open() as sound:
            with Dialog.open(self._line, user, number, password(user)) as dialog:
                answer = await dialog.ask("INVITE", sdp(HOST, sound.port, formats="0 8"))
                _expect(answer.status, 200)
                sound.to(answer.media())
                calls = await asyncio.to_thread(self._daemon.ask, "GET", "/house/v1/calls")
                mine = [one["id"] for one in calls["calls"] if one["legs"][0]["sip_call_id"] == dialog.call_id]
                _expect(len(mine), 1)
                yield dialog, mine[0]

    async def _tell(self, call: str, what: str, body: Any = None) -> None:
        await asyncio.to_thread(self._daemon.ask, "POST", f"/house/v1/calls/{call}/{what}", body)

    async def _busy(self) -> None:
        await self._refused(BUSY, 486)

    async def _nobody(self) -> None:
        await self._refused(NOBODY, 404)

    async def _wrong_password(self) -> None:
        await self._refused("600", 401, "wrong-password")

    async def _refused(self, number: str, status: int, secret: str | None = None) -> None:
        user = self._random.choice(CALLABLE)
        with Dialog.open(self._line, user, number, secret or password(user)) as dialog:
            answer = await dialog.ask("INVITE", sdp(HOST, 9, formats="0 8"))
            if secret and answer.status in (401, 403, 407):
                return
            _expect(answer.status, status)

    async def _cancelled(self) -> None:
        user = self._random.choice(CALLABLE)
        with Dialog.open(self._line, user, RINGING, password(user)) as dialog:
            _expect((await dialog.ask_and_cancel(sdp(HOST, 9, formats="0 8"))).status, 487)

    async def _talk(self, user: str, number: str, *, hold: bool = False, listens: bool = False) -> int:
        """A whole call; the packets heard. Who listens waits for the first of them: words may have to be made."""
        async with Sound.open() as sound:
            with Dialog.open(self._line, user, number, password(user)) as dialog:
                answer = await dialog.ask("INVITE", sdp(HOST, sound.port, formats="0 8"))
                _expect(answer.status, 200)
                sound.to(answer.media())
                if listens:
                    await sound.begun(WORDS_S)
                await asyncio.sleep(self._random.uniform(*TALK_S))
                for version, direction in ((2, "sendonly"), (3, "sendrecv")) if hold else ():
                    offer = sdp(HOST, sound.port, formats="0 8", direction=direction, version=version)
                    _expect((await dialog.ask("INVITE", offer)).status, 200)
                    await asyncio.sleep(HOLD_S)
                _expect((await dialog.ask("BYE")).status, 200)
        return sound.received

    # ---- beside the calls

    async def register(self, user: str) -> None:
        """Registers a phone, or refreshes it."""
        with Dialog.open(self._line, user, user, password(user)) as dialog:
            answer = await dialog.ask("REGISTER", more=[("Expires", "300")])
            _expect(answer.status, 200)

    async def _refresh(self) -> None:
        for user in itertools.cycle(PHONES):
            await asyncio.sleep(REFRESH_S)
            try:
                await self.register(user)
            except (Unexpected, TimeoutError) as error:
                self.outcome.surprise("registration", error)

    async def _read_api(self) -> None:
        for path in itertools.cycle(READS):
            await asyncio.sleep(API_S)
            try:
                await asyncio.to_thread(self._daemon.ask, "GET", f"/house/v1/{path}")
            except OSError as error:
                self.outcome.surprise("API", error)


def manner(number: str) -> Manner:
    """How the phone of that number behaves."""
    return {BUSY: Manner.BUSY, RINGING: Manner.RINGS}.get(number, Manner.ANSWERS)


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise Unexpected(f"{found}, not {wanted}")
