"""Many people who call at once: a thread speaks SIP for all of them, another sends each one's tone and keeps what it
hears. Each has a pitch of its own, so that who listens to one knows whom."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np

from tests.clients import ears
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_sip import RawDialog, RawSip
from tests.clients.sound import RATE, ULAW, Samples, tone
from tests.clients.until import until

FIRST_HZ, STEP_HZ = 300.0, 50.0
PTIME_S = 0.020
HEADER = struct.Struct("!BBHII")
FRAME = round(RATE * PTIME_S)
A_SECOND = 50  # calls that are begun
SEVERAL_S = 10.0
AGAIN_S = 0.5
ANSWER_S = 20.0


@dataclass(slots=True)
class Caller:
    """One of them. `packets` are what it heard: time stamps and payloads."""

    number: str
    hz: float
    dialog: RawDialog
    rtp: socket.socket
    packets: list[tuple[int, bytes]] = field(default_factory=list)
    answered_at: float | None = None
    ended_at: float | None = None
    refused: int | None = None
    invite: str = ""  # its Via
    heard_of: bool = False  # the house has said something to it
    media: tuple[str, int] | None = None

    def heard(self, since: int = 0) -> Samples:
        """What came from packet `since` on, each packet at the place of its time stamp; what is missing is silence."""
        chosen = self.packets[since:]
        if not chosen:
            return np.zeros(0, dtype=np.int16)
        offsets = [(stamp - chosen[0][0]) & 0xFFFFFFFF for stamp, _ in chosen]
        assert max(offsets) < SEVERAL_S * RATE, f"{self.number}: the time of what it hears leaps"
        sound = np.zeros(max(offsets) + FRAME, dtype=np.int16)
        for offset, (_, payload) in zip(offsets, chosen, strict=True):
            sound[offset : offset + len(payload)] = ULAW.decode(payload)[: sound.size - offset]
        return sound

    def awaits(self, hz: float, *, timeout: float = 6.0) -> None:
        """Wait until that tone is all that it hears."""

        def begun() -> bool:
            return ears.listen(self.heard(max(0, len(self.packets) - 10)), hz).present > 0.9

        until(begun, f"{self.number} to hear {hz:g} Hz", timeout=timeout)


class Callers:
    """`count` callers at one address, which a trunk of the house is trusted by; use it as a context manager."""

    def __init__(self, address: str, server: tuple[str, int], count: int) -> None:
        self._sip = RawSip(address, server)
        self._closing = threading.Event()
        self._selector = selectors.DefaultSelector()
        self.all = [self._made(address, number) for number in range(count)]
        self._by_call = {one.dialog.call_id: one for one in self.all}
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._signal, self._sound)]

    def _made(self, address: str, number: int) -> Caller:
        rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rtp.bind((address, 0))
        rtp.setblocking(False)
        name = f"4930{number:04}"
        made = Caller(name, FIRST_HZ + STEP_HZ * number, RawDialog.calling(self._sip, name, "520"), rtp)
        self._selector.register(rtp, selectors.EVENT_READ, made)
        return made

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self.all:
            if one.answered_at is not None and one.ended_at is None:
                one.dialog.send("BYE")
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._selector.close()
        for one in self.all:
            one.rtp.close()
        with self._sip:
            pass

    def __getitem__(self, hz: float) -> Caller:
        """The one of that pitch. Raises IndexError."""
        return self.all[round((hz - FIRST_HZ) / STEP_HZ)]

    def call(self, *which: Caller) -> None:
        """These call, or all; wait until each is answered."""
        wanted = which or tuple(self.all)
        for one in wanted:
            one.invite, one.dialog.sequence = self._sip.via(), 2
            self._invite(one)
            self._closing.wait(1 / A_SECOND)
        deadline = time.monotonic() + ANSWER_S
        while silent := [one for one in wanted if one.answered_at is None]:
            refused = {one.number: one.refused for one in silent if one.refused is not None}
            assert not refused, f"callers were refused: {refused}"
            assert time.monotonic() < deadline, f"{len(silent)} of {len(wanted)} callers were not answered"
            self._closing.wait(AGAIN_S)
            for one in silent:
                if one.answered_at is None and not one.heard_of:
                    self._invite(one)  # RFC 3261 §17.1.1.2: a datagram may be lost

    def _invite(self, one: Caller) -> None:
        address, port = one.rtp.getsockname()
        headers = [*one.dialog.headers("INVITE", sequence=1, via=one.invite), ("Content-Type", "application/sdp")]
        self._sip.send(f"INVITE {one.dialog.target} SIP/2.0", headers, sdp(address, port, formats="0 101"))

    # ---- threads

    def _signal(self) -> None:
        while not self._closing.is_set():
            for message in self._sip.drain(PTIME_S):
                self._hear(message)

    def _hear(self, message: RawMessage) -> None:
        caller = self._by_call.get(message["Call-ID"])
        if caller is None:
            return
        status = message.status
        if status is None:
            if message.method != "ACK":
                self._sip.respond(message, 200)
            if message.method == "BYE":
                caller.ended_at = time.monotonic()
            return
        caller.heard_of = True
        if message.method == "INVITE" and 200 <= status < 300:
            caller.dialog.acknowledge(message)
            caller.media = message.media()
            caller.answered_at = time.monotonic()
        elif message.method == "INVITE" and status >= 300:
            caller.refused = status

    def _sound(self) -> None:
        frames = [ULAW.encode(tone(one.hz, PTIME_S)) for one in self.all]  # of whole periods: each is like the first
        due, number = time.monotonic(), 0
        while not self._closing.is_set():
            for index, one in enumerate(self.all):
                if one.media is not None and one.ended_at is None:
                    header = HEADER.pack(0x80, 0, number & 0xFFFF, number * FRAME & 0xFFFFFFFF, index + 1)
                    one.rtp.sendto(header + frames[index], one.media)
            number += 1
            due += PTIME_S
            while (left := due - time.monotonic()) > 0:
                self._receive(left)

    def _receive(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            try:
                data = key.fileobj.recv(2048)  # type: ignore[union-attr]
            except (BlockingIOError, ConnectionRefusedError):
                continue
            if len(data) > HEADER.size and data[1] & 0x7F == 0:
                key.data.packets.append((HEADER.unpack_from(data)[3], data[HEADER.size :]))


def pitch_of(samples: Samples) -> float | None:
    """The one tone of such callers that is in it, if there is but one."""
    window = samples[: samples.size // FRAME * FRAME].astype(np.float64)
    if not window.size:
        return None
    spectrum = np.abs(np.fft.rfft(window)) ** 2
    loudest = int(np.argmax(spectrum))
    hz = loudest * RATE / window.size
    if ears.level_dbfs(samples) < ears.AUDIBLE_DBFS or spectrum[loudest] < 0.9 * spectrum.sum():
        return None
    return round(hz / STEP_HZ) * STEP_HZ
