# mypy: allow-untyped-calls
"""The phone pyVoIP (PyPI): UDP and PCMU only, and odd in the ways real phones are odd.

Its ACK to a 2xx carries a random To tag, reuses the INVITE's branch and ignores Contact; it rings for one second
before it tells anybody; it cannot cancel a call that rings. Run as a program it is the phone's own process.
"""

import os
import threading
import time
from pathlib import Path

import numpy as np
from pyVoIP.VoIP import CallState, InvalidStateError, PhoneStatus, VoIPCall, VoIPPhone

from tests.clients.agent import Agent, Command
from tests.clients.line import Kind, Verb
from tests.clients.sound import tone

SOUND_S = 60.0
POLL_S = 0.01
FRAME = 160
SIP_PORT = 5060
RTP_PORTS = (20_000, 20_400)


class PyVoipPhone:
    """Translates the words of the test into the library's."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._calls: list[VoIPCall] = []
        line = agent.line
        host, _, port = line.server.rpartition(":")
        low, high = RTP_PORTS
        self._phone = VoIPPhone(
            host,
            int(port),
            line.extension,
            line.password,
            myIP=line.address,
            callCallback=self._incoming,
            sipPort=SIP_PORT,
            rtpPortLow=low,
            rtpPortHigh=high,
        )
        sound = tone(line.tone_hz, SOUND_S, dbfs=line.tone_dbfs)
        self._sound = bytes(((sound.astype(np.int32) + 128 >> 8) + 128).astype(np.uint8))

    def run(self) -> None:
        """Serve commands until told to quit."""
        self._agent.emit(Kind.READY)
        while (command := self._agent.commands.get())["verb"] != Verb.QUIT:
            try:
                self._obey(command)
            except InvalidStateError as error:
                self._agent.emit(Kind.ERROR, verb=command["verb"], error=str(error))
        if self._phone.NSD:
            self._phone.stop()
        self._agent.leave()

    def _obey(self, command: Command) -> None:
        match command["verb"]:
            case Verb.REGISTER:
                self._register()
            case Verb.UNREGISTER:
                self._phone.stop()
                self._agent.emit(Kind.UNREGISTERED)
            case Verb.DIAL:
                number = command["to"].removeprefix("sip:").partition("@")[0]
                call = self._phone.call(number)
                self._adopt(call, Kind.DIALLING)
                threading.Thread(target=self._accompany, args=(call,), daemon=True).start()
            case Verb.ANSWER if command["code"] == 200:
                self._calls[command["call"]].answer()
            case Verb.ANSWER if command["code"] == 486:
                self._calls[command["call"]].deny()
            case Verb.HANG_UP:
                self._calls[command["call"]].hangup()
            case verb:
                self._agent.emit(Kind.ERROR, verb=verb, error=f"this phone cannot {command}")

    def _register(self) -> None:
        self._phone.start()
        while self._phone.get_status() is PhoneStatus.REGISTERING:
            time.sleep(POLL_S)
        good = self._phone.get_status() is PhoneStatus.REGISTERED
        self._agent.emit(Kind.REGISTERED if good else Kind.REGISTRATION_FAILED)

    def _incoming(self, call: VoIPCall) -> None:
        self._adopt(call, Kind.INCOMING)
        self._accompany(call)  # the library forgets a call whose callback has returned

    def _adopt(self, call: VoIPCall, kind: Kind) -> None:
        self._calls.append(call)
        self._agent.emit(kind, call=len(self._calls) - 1)

    def _accompany(self, call: VoIPCall) -> None:
        """Report the state of a call, play the tone and record, until it ends."""
        index = self._calls.index(call)
        while call.state in (CallState.RINGING, CallState.DIALING):
            time.sleep(POLL_S)
        if call.state is CallState.ANSWERED:
            self._agent.emit(Kind.ESTABLISHED, call=index)
            call.write_audio(self._sound)
            path = Path(self._agent.line.folder) / f"heard-{os.getpid()}-{index}.pcm"
            self._agent.recording(index, str(path))
            self._record(call, path)
        self._agent.emit(Kind.ENDED, call=index)

    def _record(self, call: VoIPCall, path: Path) -> None:
        with path.open("wb", buffering=0) as heard:
            while call.state is CallState.ANSWERED:
                frame = np.frombuffer(call.read_audio(FRAME), dtype=np.uint8)
                heard.write(((frame.astype(np.int16) - 128) << 8).astype("<i2").tobytes())


if __name__ == "__main__":
    PyVoipPhone(Agent()).run()
