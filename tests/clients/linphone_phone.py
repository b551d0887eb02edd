"""Linphone's console phone (Debian's linphone-cli): driven over its standard input, sound from and to files.

It refuses 127.0.0.1 as its own address, and plays its file once: the file is longer than any call here.
Run as a program it stands between the test and the linphonec process it starts.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from tests.clients.agent import Agent, Command
from tests.clients.line import Kind, Verb
from tests.clients.sound import RATE, tone_wav

PROGRAM = "linphonec"
SOUND_S = 120.0
SIP_PORT, RTP_PORT = 5075, 12005
POLL_S = 0.02
ASK_S = 0.3
MAX_ASKED = 40  # it does not say that it was refused
STOP_S = 5.0
WAV_HEADER_BYTES = 44
RECORDED_HZ = {"opus": 48_000, "G722": 16_000}
"""Those that are not RATE; the header of the file says it when the recording ends."""
RATES = {"opus": (48_000, 2), "G722": (8_000, 1)}
WORDS = (
    (re.compile(r"^(linphonec> )?registered, identity="), Kind.REGISTERED),
    (re.compile(r"Call \d+ with .* connected"), Kind.ESTABLISHED),
    (re.compile(r"Call \d+ with .* ended"), Kind.ENDED),
    (re.compile(r"Call \d+ with .* error"), Kind.ENDED),
)
SETTINGS = """\
[sip]
sip_port={sip_port}
sip_tcp_port={sip_port}
sip_tls_port=-1
bind_address={address}
contact="{user}" <sip:{user}@{address}>
guess_hostname=0
default_proxy=0
media_encryption=none
[rtp]
audio_rtp_port={rtp_port}
bind_address={address}
[sound]
use_files=1
echocancellation=0
[misc]
add_missing_audio_codecs=0
[video]
enabled=0
capture=0
display=0
[proxy_0]
reg_proxy=<{server}>
reg_route=<{server};lr>
reg_identity=sip:{user}@{domain}
reg_expires={expires}
reg_sendregister=1
[auth_info_0]
username={user}
passwd={password}
realm=*
"""


class LinphonePhone:
    """Translates the words of the test into linphonec's; one call at a time."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._line = agent.line
        self._home = Path(self._line.folder) / f"linphone-{os.getpid()}"
        for folder in (".local/share/linphone", ".config/linphone"):
            (self._home / folder).mkdir(parents=True)
        self._call = -1
        self._registered = threading.Event()

    def run(self) -> None:
        """Serve commands until told to quit."""
        settings = self._home / "rc"
        settings.write_text(self._settings())
        self._process = subprocess.Popen(
            [PROGRAM, "-c", str(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            env={**os.environ, "HOME": str(self._home)},
        )
        threading.Thread(target=self._report, daemon=True).start()
        self._tell("soundcard use files")
        self._tell(f"play {tone_wav(self._home, self._line.tone_hz, SOUND_S, dbfs=self._line.tone_dbfs)}")
        self._agent.emit(Kind.READY)
        while (command := self._agent.commands.get())["verb"] != Verb.QUIT:
            self._obey(command)
        self._tell("quit")
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._agent.leave()

    def _settings(self) -> str:
        line = self._line
        text = SETTINGS.format(
            sip_port=SIP_PORT,
            rtp_port=RTP_PORT,
            address=line.address,
            user=line.extension,
            server=line.server_uri,
            domain=line.domain,
            expires=line.expires_s,
            password=line.password,
        )
        for number, codec in enumerate(line.codecs):
            rate, channels = RATES.get(codec, (8_000, 1))
            text += f"[audio_codec_{number}]\nmime={codec}\nrate={rate}\nchannels={channels}\nenabled=1\n"
        return text

    def _tell(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def _obey(self, command: Command) -> None:
        match command["verb"]:
            case Verb.REGISTER:  # linphonec does by itself, and tells who asks
                threading.Thread(target=self._ask_until_registered, daemon=True).start()
            case Verb.DIAL:
                self._begin()
                self._tell(f"call {command['to']}")
            case Verb.HANG_UP:
                self._tell("terminate")
            case verb:
                self._agent.emit(Kind.ERROR, verb=verb, error=f"this phone cannot {command}")

    def _ask_until_registered(self) -> None:
        for _ in range(MAX_ASKED):
            if self._registered.wait(ASK_S):
                return
            self._tell("status register")
        self._agent.emit(Kind.REGISTRATION_FAILED)

    def _begin(self) -> None:
        self._call += 1
        record = self._home / f"record-{self._call}.wav"
        self._tell(f"record {record}")
        self._agent.emit(Kind.DIALLING, call=self._call)
        heard = self._home / f"heard-{self._call}.pcm"
        self._agent.recording(self._call, str(heard))
        threading.Thread(target=self._follow, args=(record, heard), daemon=True).start()

    def _report(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            print(text, end="", flush=True)
            for words, kind in WORDS:
                if words.search(text) is None:
                    continue
                if kind is Kind.REGISTERED:
                    if self._registered.is_set():
                        continue
                    self._registered.set()
                about = {} if kind is Kind.REGISTERED else {"call": self._call}
                self._agent.emit(kind, **about, reason=text.strip())

    def _follow(self, record: Path, heard: Path) -> None:
        """Append what linphonec records to what the test listens to, one sample at 8 kHz after the other."""
        taken, step = WAV_HEADER_BYTES, RECORDED_HZ.get(self._line.codecs[0], RATE) // RATE
        while True:
            time.sleep(POLL_S)
            if not record.exists():
                continue
            with record.open("rb") as file:
                file.seek(taken)
                news = file.read()
            if news := news[: len(news) // (2 * step) * 2 * step]:
                taken += len(news)
                with heard.open("ab") as ear:
                    ear.write(np.frombuffer(news, "<i2").reshape(-1, step).mean(axis=1).astype("<i2").tobytes())


if __name__ == "__main__":
    if not shutil.which(PROGRAM):
        sys.exit(f"{PROGRAM} is not installed; Debian's package linphone-cli has it")
    LinphonePhone(Agent()).run()
