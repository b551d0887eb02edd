"""A fax that goes through the house, T.38 on one side and sound on the other: libspandsp's gateway as a machine.

It steps as a session does; it ends with the call, for T.30 is between those outside.
"""

from __future__ import annotations

from typing import Final

from media.fax import FaxEvent, FaxEventKind, FaxOptions, FaxPhase
from media.fax_session import FRAME_OCTETS, REPEATS_MAX, TRANSCRIPT_MAX, T38Terms
from media.spandsp import Channel, ChannelKind, ModemEventKind
from media.t30 import Conversation, frame_name
from media.udptl import UdptlReceiver, UdptlSender

_SILENCE: Final = bytes(FRAME_OCTETS)


class FaxGateway:
    """Between a leg of sound (`hear`, `said`) and one of T.38 (`receive`, `datagrams`). `talk` tells how far they are,
    `transcript` what went by; an outward frame came from the side of sound."""

    def __init__(self, options: FaxOptions, now: float, t38: T38Terms | None = None) -> None:
        terms = t38 or T38Terms()
        self.said = b""
        self.datagrams: list[bytes] = []
        self.events: list[FaxEvent] = []
        self.transcript: list[FaxEvent] = []
        self.talk = Conversation(receives=False)
        self.receiver = UdptlReceiver()
        self._began = now
        self._sender = UdptlSender(terms.udptl)
        self._frames: list[bytes] = []
        self._frame, self._repeated = _SILENCE, 0
        self._channel: Channel | None = Channel(ChannelKind.GATEWAY, options, calling=False, t38=terms.settings)

    def hear(self, frame: bytes | None) -> None:
        """20 ms of sound, as FaxSession's."""
        if frame is not None and len(frame) == FRAME_OCTETS:
            self._frames.append(frame)

    def receive(self, datagram: bytes, _now: float) -> None:
        """A datagram of T.38's port, whatever is in it."""
        packets = self.receiver.receive(datagram)
        if self._channel is not None:
            for sequence, packet in packets:
                self._channel.take(sequence, packet)

    def begin_step(self, _now: float) -> Channel | None:
        """For `step`: its modem, with what was heard."""
        self.events, self.datagrams, self.said = [], [], b""
        if self._frames:
            self._frame, self._repeated = self._frames[-1], 0
        else:
            self._repeated += 1
            self._frames = [self._frame if self._repeated <= REPEATS_MAX else _SILENCE]
        if self._channel is not None:
            self._channel.hear(b"".join(self._frames))
        self._frames = []
        return self._channel

    def end_step(self, now: float) -> None:
        """For `step`: what its modem made of it."""
        if self._channel is None:
            return
        self.said = self._channel.said
        self.datagrams = [self._sender.send(packet, now) for packet in self._channel.sent]
        if not self.datagrams and (again := self._sender.again(now)) is not None:
            self.datagrams = [again]
        for event in self._channel.events:
            if event.kind is ModemEventKind.FRAME:
                self._note(event.data, event.outward, now - self._began)

    @property
    def phase(self) -> FaxPhase:
        """Where the fax that goes by is."""
        return self.talk.phase

    def close(self) -> None:
        """The call is over."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _note(self, frame: bytes, outward: bool, at: float) -> None:
        self.talk.take(frame, incoming=True)
        event = FaxEvent(FaxEventKind.FRAME, at, text=frame_name(frame), outward=outward)
        self.events.append(event)
        if len(self.transcript) < TRANSCRIPT_MAX:
            self.transcript.append(event)
