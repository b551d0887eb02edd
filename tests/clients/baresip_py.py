# mypy: allow-untyped-calls
"""The phone `baresip-python` (PyPI): calls, hold, digits; PCM in and out through its memory driver.

Run as a program it is the phone's own process.
"""

import asyncio
import io
import logging
import os
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from baresip import (
    Account,
    AudioNotActive,
    AudioRestarted,
    BaresipError,
    Call,
    Config,
    DigitEvent,
    Event,
    RegistrationError,
    Runtime,
    StackEvent,
    UserAgent,
)
from baresip.errors import split_status

from tests.clients.agent import Agent, Command
from tests.clients.line import Kind, Verb
from tests.clients.sound import RATE, read_wav, tone

AHEAD_BYTES = RATE * 2 // 5
"""Sound is written up to 200 ms ahead."""
TICK_S = 0.01
CODECS = {"opus": "opus/48000/2", "G722": "g722/16000/1"}
"""As this phone spells them."""


class BaresipPhone:
    """Translates the words of the test into the library's."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._line = agent.line
        self._calls: list[Call] = []
        self._ended_early: dict[int, StackEvent] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._runtime = Runtime()
        self._sound = tone(self._line.tone_hz, 1.0, dbfs=self._line.tone_dbfs).tobytes()
        if self._line.sound:
            self._sound = read_wav(Path(self._line.sound)).tobytes()

    async def run(self) -> None:
        """Serve commands until told to quit."""
        line = self._line
        await self._runtime.start(
            Config(
                net_interface=line.address,
                max_concurrent_calls=None,
                native_log_level="debug" if line.log_level else "info",
                sip_trace=line.log_level > 1,
                extra_config_text="sip_verify_server no\nrtp_ports 32000-32766\n",
            )
        )
        self._ua = await UserAgent.create(self._runtime, self._account())
        self._ua.on_incoming(self._incoming)
        self._runtime.subscribe(self._on_any_event)
        self._agent.emit(Kind.READY)
        while (command := await asyncio.to_thread(self._agent.commands.get))["verb"] != Verb.QUIT:
            self._keep(self._guarded(command))
        await self._leave()

    def _account(self) -> Account:
        line = self._line
        return Account(
            user=line.extension,
            domain=line.domain,
            password=line.password,
            registrar=f"{line.server_uri}",
            reg_interval=line.expires_s,
            transport=line.transport.value,
            audio_codecs=tuple(CODECS.get(codec, codec.lower()) for codec in line.codecs),
        )

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, command: Command) -> None:
        try:
            await self._obey(command)
        except BaresipError as error:
            self._agent.emit(Kind.ERROR, verb=command["verb"], error=repr(error))

    async def _obey(self, command: Command) -> None:
        match command["verb"]:
            case Verb.REGISTER:
                await self._register()
            case Verb.UNREGISTER:
                await self._ua.unregister()
                self._agent.emit(Kind.UNREGISTERED)
            case Verb.DIAL:
                self._adopt(await self._ua.dial(command["to"]), Kind.DIALLING)
            case verb:
                await self._obey_in_call(verb, self._calls[command["call"]], command)

    async def _obey_in_call(self, verb: str, call: Call, command: Command) -> None:
        match verb:
            case Verb.ANSWER if command["code"] == 200:
                await call.answer()
            case Verb.ANSWER if command["code"] == 486:
                await call.reject()
            case Verb.HANG_UP:
                await call.hangup()
            case Verb.HOLD:
                await call.hold()
            case Verb.RESUME:
                await call.resume()
            case Verb.DIGITS:
                await call.send_dtmf(command["digits"])
            case _:
                self._agent.emit(Kind.ERROR, verb=verb, error=f"this phone cannot {command}")

    async def _register(self) -> None:
        try:
            await self._ua.register()
        except RegistrationError as error:
            self._agent.emit(Kind.REGISTRATION_FAILED, code=error.status, reason=str(error))
        else:
            self._agent.emit(Kind.REGISTERED)

    def _incoming(self, call: Call) -> None:
        self._adopt(call, Kind.INCOMING)

    def _adopt(self, call: Call, kind: Kind) -> None:
        index = len(self._calls)
        self._calls.append(call)
        path = Path(self._line.folder) / f"heard-{os.getpid()}-{index}.pcm"
        call.on(lambda event: self._on_event(index, event))
        call.on_dtmf(lambda digit: self._on_digit(index, digit))
        self._agent.emit(kind, call=index, **({"from": call.peer} if kind is Kind.INCOMING else {}))
        self._agent.recording(index, str(path))
        if call.handle in self._ended_early:
            self._on_event(index, self._ended_early.pop(call.handle))
        else:
            self._keep(self._sounding(call, path))

    def _on_any_event(self, event: StackEvent) -> None:
        """A call may be refused before the library has handed it to us."""
        if event.event is Event.CALL_CLOSED and all(call.handle != event.call for call in self._calls):
            self._ended_early[event.call] = event

    def _on_digit(self, index: int, digit: DigitEvent) -> None:
        self._agent.emit(Kind.DIGIT, call=index, digit=digit.digit, duration_ms=digit.duration_ms)

    def _on_event(self, index: int, event: StackEvent) -> None:
        match event.event:
            case Event.CALL_RINGING | Event.CALL_PROGRESS:
                self._agent.emit(Kind.RINGING, call=index)
            case Event.CALL_ESTABLISHED:
                self._agent.emit(Kind.ESTABLISHED, call=index)
            case Event.CALL_CLOSED:
                code, reason = split_status(event.text or "")
                self._agent.emit(Kind.ENDED, call=index, code=code, reason=reason)

    async def _sounding(self, call: Call, path: Path) -> None:
        """Write the tone ahead and what is heard to the file, for as long as the call lives."""
        position = 0
        with path.open("wb", buffering=0) as heard:
            while call.state.value != "closed":
                with suppress(AudioNotActive, AudioRestarted):
                    position = self._exchange(call, heard, position)
                await asyncio.sleep(TICK_S)

    def _exchange(self, call: Call, heard: io.RawIOBase | io.FileIO, position: int) -> int:
        heard.write(call.audio.read(RATE * 2))
        short = AHEAD_BYTES - call.audio.info().tx_buffered
        if short <= 0:
            return position
        doubled = self._sound + self._sound
        written: int = call.audio.write(doubled[position : position + short])
        return (position + written) % len(self._sound)

    async def _leave(self) -> None:
        with suppress(BaresipError):
            for call in self._calls:
                if call.state.value != "closed":
                    await call.hangup()
        with suppress(BaresipError):
            await self._ua.unregister(timeout=2)
        await self._runtime.close()
        self._agent.leave()


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(BaresipPhone(Agent()).run())
