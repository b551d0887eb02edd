"""A phone as a story sees it: dial, answer, listen. Whatever the library inside, the words are the same."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from tests.clients import ears
from tests.clients.line import Kind, Line, Verb
from tests.clients.sound import RATE, Samples
from tests.clients.until import until

ROOT = Path(__file__).resolve().parents[2]
QUIT_S = 5.0
SETTLE_S = 0.2
"""The stretch of sound by which a change of state is recognised."""
MAX_GAP_MS = 60.0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing the phone reported; `fields` depend on the kind."""

    kind: Kind
    fields: dict[str, Any]
    at: float
    """Monotonic time of arrival at the test."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended, as this phone saw it: the SIP status where the library tells it."""

    code: int | None
    reason: str


class Phone:
    """One phone in its own process; use it as a context manager."""

    def __init__(self, module: str, line: Line) -> None:
        self.line = line
        self._program = module.rpartition(".")[2]
        self._changed = threading.Condition()
        self._events: list[Event] = []
        self._over = False
        folder = Path(line.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / f"{self._program}-{line.extension}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, line.to_json()],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, name=f"phone {line.extension}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        self.wait(Kind.READY, timeout=15)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self._program} {self.line.extension} at {self.line.address}>"

    def _read(self) -> None:
        assert self._process.stdout
        for text in self._process.stdout:
            fields = json.loads(text)
            with self._changed:
                self._events.append(Event(Kind(fields.pop("kind")), fields, time.monotonic()))
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def command(self, verb: Verb, **arguments: object) -> None:
        """Send one command; what comes of it arrives as events."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise AssertionError(f"{self!r} died: {self.log_tail()}") from error

    def wait(self, *kinds: Kind, timeout: float = 5.0, call: int | None = None) -> Event:
        """The next event of one of `kinds` (of `call`, when given); each event is handed out once.

        Raises AssertionError when it does not come in time, when the phone reports an error, or when it dies.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self._events:
                    wanted = event.kind in kinds and call in (None, event.fields.get("call"))
                    if wanted:
                        self._events.remove(event)
                        return event
                    assert event.kind is not Kind.ERROR, f"{self!r} reports {event.fields}: {self.log_tail()}"
                assert not self._over, f"{self!r} died before {self._named(kinds)}: {self.log_tail()}"
                left = deadline - time.monotonic()
                assert left > 0, f"{self!r} had no {self._named(kinds)} in {timeout:g} s; pending {self._events}"
                self._changed.wait(left)

    @staticmethod
    def _named(kinds: tuple[Kind, ...]) -> str:
        return " or ".join(kinds)

    def seen(self, kind: Kind, call: int | None = None) -> bool:
        """Whether such an event waits to be taken."""
        with self._changed:
            return any(e.kind is kind and call in (None, e.fields.get("call")) for e in self._events)

    def log_tail(self) -> str:
        """The end of what the phone's library printed."""
        return self._log.read_text(errors="replace")[-3000:]

    def register(self, *, timeout: float = 8.0) -> Self:
        """Register and wait for the registrar's 200."""
        self.command(Verb.REGISTER)
        event = self.wait(Kind.REGISTERED, Kind.REGISTRATION_FAILED, timeout=timeout)
        assert event.kind is Kind.REGISTERED, f"{self!r} was refused: {event.fields}"
        return self

    def register_refused(self, *, timeout: float = 8.0) -> int | None:
        """Register in vain; returns the status of the refusal where the library tells it."""
        self.command(Verb.REGISTER)
        event = self.wait(Kind.REGISTERED, Kind.REGISTRATION_FAILED, timeout=timeout)
        assert event.kind is Kind.REGISTRATION_FAILED, f"{self!r} was let in"
        code = event.fields.get("code")
        return int(code) if code else None

    def unregister(self, *, timeout: float = 8.0) -> None:
        """Remove the binding and wait for the 200."""
        self.command(Verb.UNREGISTER)
        self.wait(Kind.UNREGISTERED, timeout=timeout)

    def dial(self, number: str) -> "Call":
        """Call a number of the house; a full SIP URI is dialled as it is."""
        self.command(Verb.DIAL, to=number if number.startswith("sip") else self.line.uri(number))
        return Call(self, int(self.wait(Kind.DIALLING).fields["call"]))

    def incoming(self, *, timeout: float = 5.0) -> "Call":
        """The next call that rings here."""
        event = self.wait(Kind.INCOMING, timeout=timeout)
        return Call(self, int(event.fields["call"]), caller=str(event.fields.get("from", "")))

    def message(self, number: str, text: str) -> int:
        """Send a SIP MESSAGE and return the final status."""
        self.command(Verb.MESSAGE, to=self.line.uri(number), text=text)
        return int(self.wait(Kind.MESSAGE_STATUS).fields["code"])

    def close(self) -> None:
        """Quit; a phone that does not leave is killed."""
        if self._process.poll() is None:
            try:
                self.command(Verb.QUIT)
                self._process.wait(QUIT_S)
            except (AssertionError, subprocess.TimeoutExpired):
                self._process.kill()
        self._process.wait()
        self._reader.join(QUIT_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            try:
                stream.close()
            except BrokenPipeError:
                continue

    def kill(self) -> None:
        """Die without a word to anybody, as a phone whose cable is pulled."""
        self._process.kill()
        self.close()


class Call:
    """One call on one phone."""

    def __init__(self, phone: Phone, index: int, *, caller: str = "") -> None:
        self.phone = phone
        self.index = index
        self.caller = caller
        self._recording: tuple[Path, int] | None = None

    def __repr__(self) -> str:
        return f"<call {self.index} of {self.phone!r}>"

    def _command(self, verb: Verb, **arguments: object) -> None:
        self.phone.command(verb, call=self.index, **arguments)

    def rings(self, *, timeout: float = 5.0) -> Self:
        """Wait until the far end rings (a 18x came)."""
        self.phone.wait(Kind.RINGING, timeout=timeout, call=self.index)
        return self

    def established(self, *, timeout: float = 8.0) -> Self:
        """Wait until the call is up on this side."""
        event = self.phone.wait(Kind.ESTABLISHED, Kind.ENDED, timeout=timeout, call=self.index)
        assert event.kind is Kind.ESTABLISHED, f"{self!r} ended instead: {event.fields}"
        return self

    def answer(self, code: int = 200) -> Self:
        """Answer, or refuse with a status of 300 and more."""
        self._command(Verb.ANSWER, code=code)
        return self.established() if code == 200 else self

    def answer_soon(self) -> None:
        """Answer without waiting for the ACK, which the story sends itself."""
        self._command(Verb.ANSWER, code=200)

    def hang_up(self) -> Ended:
        """End the call from this side, cancelling it if it is not up yet."""
        self._command(Verb.HANG_UP)
        return self.ended()

    def ended(self, *, timeout: float = 8.0) -> Ended:
        """Wait until the call is over on this side."""
        event = self.phone.wait(Kind.ENDED, timeout=timeout, call=self.index)
        code = event.fields.get("code")
        return Ended(int(code) if code else None, str(event.fields.get("reason", "")))

    def is_up(self) -> bool:
        """Whether this side has not noticed an end."""
        return not self.phone.seen(Kind.ENDED, self.index)

    def hold(self) -> None:
        """Put the far end on hold."""
        self._command(Verb.HOLD)

    def resume(self) -> None:
        """Take the far end back."""
        self._command(Verb.RESUME)

    def update(self) -> None:
        """Offer the session again by UPDATE (RFC 3311)."""
        self._command(Verb.UPDATE)

    def send_digits(self, digits: str) -> None:
        """RFC 4733 telephone events."""
        self._command(Verb.DIGITS, digits=digits)

    def receive_digits(self, count: int, *, timeout: float = 8.0) -> str:
        """The next `count` digits from the far end."""
        wait = self.phone.wait
        return "".join(str(wait(Kind.DIGIT, timeout=timeout, call=self.index).fields["digit"]) for _ in range(count))

    def refer(self, number: str) -> int:
        """Ask the house for a transfer; returns the status it gives."""
        self._command(Verb.REFER, to=self.phone.line.uri(number))
        return int(self.phone.wait(Kind.REFER_STATUS, call=self.index).fields["code"])

    def recorded(self) -> Samples:
        """Everything heard so far."""
        if self._recording is None:
            event = self.phone.wait(Kind.RECORDING, call=self.index)
            self._recording = Path(event.fields["path"]), int(event.fields["header_bytes"])
        path, header = self._recording
        data = path.read_bytes()[header:] if path.exists() else b""
        return np.frombuffer(data[: len(data) // 2 * 2], dtype="<i2")

    def heard_since(self, start: int, seconds: float) -> Samples:
        """`seconds` of sound from sample `start` on; less when the phone had nothing to play in that time."""
        wanted = round(seconds * RATE)
        deadline = time.monotonic() + seconds + SETTLE_S

        def enough() -> bool:
            return self.recorded().size - start >= wanted or time.monotonic() > deadline

        until(enough, f"{seconds:g} s of sound at {self!r}", timeout=seconds + 5)
        return self.recorded()[start : start + wanted]

    def listen(self, seconds: float) -> Samples:
        """What is heard in the next `seconds`."""
        return self.heard_since(self.recorded().size, seconds)

    def awaits(self, hz: float, *, timeout: float = 6.0) -> Self:
        """Wait until the tone has begun."""

        def begun() -> bool:
            return ears.listen(self.listen(SETTLE_S), hz).present > 0.9

        until(begun, f"{hz:g} Hz at {self!r}", timeout=timeout)
        return self

    def hears(
        self, hz: float, *, seconds: float = 0.8, dbfs: float = -15.0, max_gap_ms: float = MAX_GAP_MS
    ) -> ears.Heard:
        """Assert that the tone arrives: waits for its begin, then listens for `seconds`.

        The level must be within 3 dB of `dbfs`, nothing else may sound, no gap may exceed `max_gap_ms`.
        """
        self.awaits(hz)
        return self.judge(self.listen(seconds), hz, seconds=seconds, dbfs=dbfs, max_gap_ms=max_gap_ms)

    def judge(
        self,
        samples: Samples,
        hz: float,
        *,
        seconds: float,
        dbfs: float = -15.0,
        max_gap_ms: float = MAX_GAP_MS,
    ) -> ears.Heard:
        """Assert that `seconds` of this recording hold the tone as it was sent, and nothing else."""
        heard = ears.listen(samples, hz)
        assert heard.seconds > 0.9 * seconds, f"{self!r} went quiet: {heard}"
        assert heard.longest_gap_ms <= max_gap_ms, f"{self!r} heard a gap: {heard}"
        assert abs(heard.dbfs - dbfs) < 3, f"{self!r} heard a wrong level: {heard}"
        assert heard.purity > 0.9, f"{self!r} heard something else beside: {heard}"
        return heard

    def hears_nothing(self, *, seconds: float = 0.8) -> None:
        """Assert silence: waits for it to begin, then listens for `seconds`."""
        until(lambda: ears.level_dbfs(self.listen(SETTLE_S)) < ears.AUDIBLE_DBFS, f"silence at {self!r}", timeout=6)
        level = ears.level_dbfs(self.listen(seconds))
        assert level < ears.AUDIBLE_DBFS, f"{self!r} heard sound of {level:.1f} dBFS where silence was due"


def talk(one: Call, other: Call, *, seconds: float = 0.8, max_gap_ms: float = MAX_GAP_MS) -> None:
    """Assert that two phones hear each other's tone, at the same time, and only that."""
    ears_and_mouths = ((one, other.phone.line), (other, one.phone.line))
    for ear, mouth in ears_and_mouths:
        ear.awaits(mouth.tone_hz)
    starts = [ear.recorded().size for ear, _ in ears_and_mouths]
    for (ear, mouth), start in zip(ears_and_mouths, starts, strict=True):
        samples = ear.heard_since(start, seconds)
        ear.judge(samples, mouth.tone_hz, seconds=seconds, dbfs=mouth.tone_dbfs, max_gap_ms=max_gap_ms)
