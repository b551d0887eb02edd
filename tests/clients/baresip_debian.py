"""The phone baresip as Debian packages it (1.0): headless, driven over its control port, sound from and to files.

Its null player stops for good at any re-INVITE, so it is deaf after hold and resume, whoever began it.
Run as a program it stands between the test and the baresip process it starts.
"""

import atexit
import json
import os
import queue
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.clients.agent import Agent, Command
from tests.clients.line import Kind, Srtp, Transport, Verb
from tests.clients.sound import RATE, tone_wav

PROGRAM = "baresip"
SOUND_S = 120.0
"""baresip hangs up when its source file ends: longer than any call here."""
CONTROL_PORT = 4444
SIP_PORT = 5060
START_S = 5.0
POLL_S = 0.02
WAV_HEADER_BYTES = 44
CODECS = {"opus": "opus/48000/2", "G722": "G722/16000/1", "L16/16000": "L16/16000/1"}
"""As baresip spells those that do not sound at 8000 Hz in one channel."""
ENCRYPTION = {Srtp.OFF: "", Srtp.OPTIONAL: ";mediaenc=srtp", Srtp.REQUIRED: ";mediaenc=srtp-mand"}
EVENTS = {
    "REGISTER_OK": Kind.REGISTERED,
    "REGISTER_FAIL": Kind.REGISTRATION_FAILED,
    "CALL_INCOMING": Kind.INCOMING,
    "CALL_RINGING": Kind.RINGING,
    "CALL_PROGRESS": Kind.RINGING,
    "CALL_ESTABLISHED": Kind.ESTABLISHED,
    "CALL_CLOSED": Kind.ENDED,
}
CONFIG = """\
poll_method epoll
sip_listen {address}:{sip_port}
sip_verify_server no
net_interface {address}
rtp_ports 20000-20400
rtcp_mux no
jitter_buffer_type fixed
jitter_buffer_delay 2-10
call_local_timeout 120
call_max_calls 4
audio_source aufile,{source}
audio_player aubridge,nil
audio_alert aubridge,nil
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
audio_buffer 20-160
snd_path {recordings}
module_path {modules}
module ctrl_tcp.so
ctrl_tcp_listen {address}:{control_port}
module opus.so
module g722.so
module l16.so
module srtp.so
module g711.so
module aufile.so
module aubridge.so
module sndfile.so
module_tmp account.so
module_app menu.so
"""


class ControlPort:
    """baresip's `ctrl_tcp`: netstrings of JSON, both ways."""

    def __init__(self, address: str) -> None:
        self._socket = _connected(address)
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, command: str, parameters: str = "") -> None:
        body = json.dumps({"command": command, "params": parameters}).encode()
        self._socket.sendall(b"%d:%s," % (len(body), body))

    def _read(self) -> None:
        for text in _netstrings(self._socket):
            print(text.decode(), flush=True)
            message = json.loads(text)
            if message.get("event"):
                self.events.put(message)


def _connected(address: str) -> socket.socket:
    deadline = time.monotonic() + START_S
    while True:
        try:
            connection = socket.create_connection((address, CONTROL_PORT))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
        else:
            return connection


def _netstrings(connection: socket.socket) -> Iterator[bytes]:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        while True:
            size, colon, rest = data.partition(b":")
            if not colon or len(rest) <= int(size):
                break
            yield rest[: int(size)]
            data = rest[int(size) + 1 :]


class DebianPhone:
    """Translates the words of the test into baresip's; one call at a time."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._line = agent.line
        self._home = Path(self._line.folder) / f"baresip-{os.getpid()}"
        self._home.mkdir(parents=True)
        self._recordings = Path(tempfile.mkdtemp(prefix="ear-", dir="/tmp"))  # in a long path baresip records nothing
        atexit.register(shutil.rmtree, self._recordings, ignore_errors=True)
        self._call = -1

    def run(self) -> None:
        """Serve commands until told to quit."""
        self._configure()
        log = (self._home / "log").open("wb")
        process = subprocess.Popen([PROGRAM, "-f", str(self._home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._control = ControlPort(self._line.address)
        threading.Thread(target=self._report, daemon=True).start()
        threading.Thread(target=self._follow_recordings, daemon=True).start()
        self._agent.emit(Kind.READY)
        while (command := self._agent.commands.get())["verb"] != Verb.QUIT:
            self._obey(command)
        self._control.send("quit")
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._agent.leave()

    def _configure(self) -> None:
        line = self._line
        source = tone_wav(self._recordings, line.tone_hz, SOUND_S, dbfs=line.tone_dbfs)
        modules = Path(str(shutil.which(PROGRAM))).resolve().parents[1] / "lib/baresip/modules"
        text = CONFIG.format(
            address=line.address,
            sip_port=SIP_PORT,
            control_port=CONTROL_PORT,
            source=source,
            recordings=self._recordings,
            modules=modules,
        )
        text += "module_app mwi.so\n" if line.lamp else ""
        (self._home / "config").write_text(text)
        (self._home / "accounts").touch()

    def _account(self) -> str:
        line = self._line
        codecs = ",".join(CODECS.get(codec, f"{codec}/8000/1") for codec in line.codecs)
        transport = "" if line.transport is Transport.UDP else f";transport={line.transport}"
        return (
            f'<sip:{line.extension}@{line.domain}{transport}>;auth_pass={line.password};outbound="{line.server_uri}"'
            f";regint={line.expires_s};answermode=manual;audio_codecs={codecs}{ENCRYPTION[line.srtp]}"
        )

    def _obey(self, command: Command) -> None:
        match command["verb"]:
            case Verb.REGISTER:
                self._control.send("uanew", self._account())
            case Verb.DIAL:
                self._begin(Kind.DIALLING)
                self._control.send("dial", command["to"])
            case Verb.ANSWER if command["code"] == 200:
                self._control.send("accept")
            case Verb.ANSWER if command["code"] == 486:
                self._control.send("hangup")
            case Verb.HANG_UP:
                self._control.send("hangup")
            case verb:
                self._agent.emit(Kind.ERROR, verb=verb, error=f"this phone cannot {command}")

    def _begin(self, kind: Kind, **fields: object) -> None:
        self._call += 1
        self._agent.emit(kind, call=self._call, **fields)
        self._agent.recording(self._call, str(self._heard(self._call)))

    def _heard(self, call: int) -> Path:
        return self._home / f"heard-{call}.pcm"

    def _report(self) -> None:
        while True:
            event = self._control.events.get()
            kind, detail = EVENTS.get(event["type"]), str(event.get("param", ""))
            status = detail.partition(" ")[0]
            code = int(status) if status.isdecimal() else None
            if kind in (Kind.REGISTERED, Kind.REGISTRATION_FAILED):
                self._agent.emit(kind, code=code, reason=detail)
            elif kind is Kind.INCOMING:
                self._begin(kind, **{"from": event.get("peeruri")})
            elif kind:
                self._agent.emit(kind, call=self._call, code=code, reason=detail)

    def _follow_recordings(self) -> None:
        """Append what baresip records, in a file of its own naming, to the file of the call."""
        taken: dict[Path, int] = {}
        while True:
            for source in sorted(self._recordings.glob("*-dec.wav")):
                start = taken.get(source, WAV_HEADER_BYTES)
                with source.open("rb") as file:
                    channels, rate = struct.unpack_from("<HI", file.read(WAV_HEADER_BYTES).ljust(WAV_HEADER_BYTES), 22)
                    file.seek(start)
                    news = file.read()
                step = 2 * channels * rate // RATE
                news = news[: len(news) // step * step]
                if news:
                    taken[source] = start + len(news)
                    with self._heard(self._call).open("ab") as heard:
                        heard.write(_as_heard(news, step // 2))
            time.sleep(POLL_S)


def _as_heard(sound: bytes, values: int) -> bytes:
    """One sample of a listener for every `values` recorded ones, of all channels: their mean."""
    return bytes(np.frombuffer(sound, "<i2").reshape(-1, values).mean(axis=1).astype("<i2").tobytes())


if __name__ == "__main__":
    if not shutil.which(PROGRAM):
        sys.exit(f"{PROGRAM} is not installed; Debian's package baresip has it")
    DebianPhone(Agent()).run()
