"""One fax as a machine: sound or datagrams and `now` in; sound, datagrams and events out. It ends by itself, always.

    session.hear(frame) or session.receive(datagram)          whatever came in the last 20 ms
    step([session, ...], now)                                 all that are due, in one call of the modems
    session.said or session.datagrams, session.take_events()  what is to go out, and what happened

A page counts when the far end confirmed it. `switch` puts T.38 in the place of sound, or the other way round, as long
as no page has begun: T.30 starts again over the new way.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from media import spandsp
from media.fax import (
    FaxEvent,
    FaxEventKind,
    FaxOptions,
    FaxOutcome,
    FaxPhase,
    FaxReason,
    FaxResult,
    FaxTransport,
)
from media.spandsp import FRAME, Channel, ChannelKind, Completion, ModemEvent, ModemEventKind, Statistics, T38Settings
from media.t30 import Conversation, Heard, frame_name
from media.tiff import count_pages
from media.udptl import UdptlReceiver, UdptlSender, UdptlTerms

log = logging.getLogger(__name__)

FRAME_OCTETS: Final = 2 * FRAME
TRANSCRIPT_MAX: Final = 4096  # events kept of one fax
REPEATS_MAX: Final = 10  # frames in a row that lost sound is filled with; then silence
FAREWELL_S: Final = 12.0  # after the last confirmation, for a DCN, or for the question once more
_SILENCE: Final = bytes(FRAME_OCTETS)

_REASONS: Final = {
    Completion.OK: FaxReason.OK,
    Completion.CANNOT_TRAIN: FaxReason.CANNOT_TRAIN,
    Completion.TX_NO_DIS: FaxReason.NO_FAX,
    Completion.TX_GOT_DCN: FaxReason.DISCONNECTED,
    Completion.TX_BAD_PAGE: FaxReason.DISCONNECTED,
    Completion.TX_BAD_DCS: FaxReason.PROTOCOL,
    Completion.TX_PHASE_B_DEAD: FaxReason.NO_RESPONSE,
    Completion.TX_PHASE_D_DEAD: FaxReason.NO_CONFIRMATION,
    Completion.TX_T5_EXPIRED: FaxReason.NO_CONFIRMATION,
    Completion.HDLC_CARRIER: FaxReason.NO_CARRIER,
    Completion.RX_NO_CARRIER: FaxReason.NO_CARRIER,
    Completion.RX_NO_EOL: FaxReason.NO_CARRIER,
    Completion.RX_NO_FAX: FaxReason.NO_CARRIER,
    Completion.RX_T2: FaxReason.NO_RESPONSE,
    Completion.RX_T2_DCN: FaxReason.NO_RESPONSE,
    Completion.RX_T2_PHASE_D: FaxReason.NO_CARRIER,
    Completion.RX_T2_PAGE: FaxReason.NO_CARRIER,
    Completion.RX_T2_NEXT_PAGE: FaxReason.NO_CARRIER,
    Completion.RX_T2_RR: FaxReason.NO_RESPONSE,
    Completion.INCOMPATIBLE: FaxReason.INCOMPATIBLE,
    Completion.RX_INCAPABLE: FaxReason.INCOMPATIBLE,
    Completion.TX_INCAPABLE: FaxReason.INCOMPATIBLE,
    Completion.NO_RESOLUTION: FaxReason.INCOMPATIBLE,
    Completion.NO_SIZE: FaxReason.INCOMPATIBLE,
    Completion.FILE_ERROR: FaxReason.BAD_FILE,
    Completion.NO_PAGE: FaxReason.BAD_FILE,
    Completion.BAD_TIFF: FaxReason.BAD_FILE,
    Completion.BAD_PAGE: FaxReason.BAD_FILE,
    Completion.BAD_TAG: FaxReason.BAD_FILE,
    Completion.BAD_TIFF_HEADER: FaxReason.BAD_FILE,
    Completion.NO_MEMORY: FaxReason.BAD_FILE,
    Completion.CALL_DROPPED: FaxReason.HUNG_UP,
}
_REPEATED: Final = frozenset({Completion.RETRY_DCN, Completion.T0_EXPIRED, Completion.T1_EXPIRED})
_UNANSWERED: Final = {  # a frame, as often as T.30 says it
    FaxPhase.CALL: FaxReason.NO_FAX,
    FaxPhase.NEGOTIATION: FaxReason.NO_RESPONSE,
    FaxPhase.PAGE: FaxReason.NO_CARRIER,
    FaxPhase.CONFIRMATION: FaxReason.NO_CONFIRMATION,
}


@dataclass(frozen=True, slots=True)
class FaxLimits:
    """Seconds that each phase may take, whatever the far end does. `silence_s` is how long nothing at all may come once
    the fax has begun; a sender of T.38 hears nothing while it sends a page, and waits for the page to end."""

    call_s: float = 60.0
    negotiation_s: float = 90.0
    page_s: float = 600.0
    confirmation_s: float = 60.0
    silence_s: float = 20.0
    whole_s: float = 4 * 3600.0

    def of(self, phase: FaxPhase) -> float:
        """That of this phase."""
        return {
            FaxPhase.CALL: self.call_s,
            FaxPhase.NEGOTIATION: self.negotiation_s,
            FaxPhase.PAGE: self.page_s,
            FaxPhase.CONFIRMATION: self.confirmation_s,
            FaxPhase.DONE: self.confirmation_s,
        }[phase]


@dataclass(frozen=True, slots=True)
class T38Terms:
    """What SDP agreed for one T.38 stream: how IFP packets are, and how they are sent."""

    settings: T38Settings = field(default_factory=T38Settings)
    udptl: UdptlTerms = field(default_factory=UdptlTerms)


class FaxSession:
    """One fax at one end, sending `document` or receiving into it (a TIFF, which is made).

    `outcome` is None until it has ended; then its channel is closed, `document` is whole up to the last page that was
    finished, and the call is to be hung up. Raises ValueError when there is nothing in `document` to be sent.
    """

    def __init__(
        self,
        options: FaxOptions,
        document: Path,
        now: float,
        *,
        sends: bool,
        transport: FaxTransport = FaxTransport.AUDIO,
        t38: T38Terms | None = None,
        limits: FaxLimits | None = None,
    ) -> None:
        self.options = options
        self.document = document
        self.sends = sends
        self.transport = transport
        self.outcome: FaxOutcome | None = None
        self.said = b""
        self.datagrams: list[bytes] = []
        self._events: list[FaxEvent] = []
        self.talk = Conversation(receives=not sends)
        self.receiver = UdptlReceiver()
        self._limits = limits or FaxLimits()
        self._pages = count_pages(document) - options.start_page if sends else 0
        if sends and self._pages < 1:
            raise ValueError(f"{document} has no page {options.start_page + 1}")
        self._began = self._phase_since = self._heard_at = now
        self._phase = FaxPhase.CALL
        self._transcript: list[FaxEvent] = []
        self._ident = ""
        self._last = Statistics(0, False, 0, 0, 0, None, None, 0, 0, 0, 0)
        self._sender = UdptlSender()
        self._frames: list[bytes] = []
        self._repeated = 0
        self._frame = _SILENCE
        self._channel: Channel | None = None
        self._open(t38 or T38Terms())

    # ---- in

    def hear(self, frame: bytes | None) -> None:
        """20 ms of sound from the far end: 160 samples of 16 bits. None: they were lost. Once a step; a step without is
        taken as lost, for the clock of T.30 goes with the sound."""
        if frame is not None and len(frame) == FRAME_OCTETS:
            self._frames.append(frame)

    def receive(self, datagram: bytes, now: float) -> None:
        """A datagram of T.38's port, whatever is in it."""
        packets = self.receiver.receive(datagram)
        if self._channel is None or self.transport is not FaxTransport.T38:
            return
        for sequence, packet in packets:
            self._channel.take(sequence, packet)
            self._heard_at = now

    def switch(self, transport: FaxTransport, now: float, t38: T38Terms | None = None) -> bool:
        """Goes on over `transport`, agreed anew: T.30 begins again. False: a page was confirmed, or it has ended. Ask
        `switchable` before it is agreed on."""
        if self._channel is None or self.talk.confirmed or self.talk.refused:
            return False
        self._channel.terminate()
        self._channel.close()
        self.transport = transport
        self.talk.phase = FaxPhase.CALL
        self._heard_at = self._phase_since = now
        self._open(t38 or T38Terms())
        self._tell(FaxEvent(FaxEventKind.TRANSPORT, now - self._began, transport=transport))
        return True

    def take_events(self) -> list[FaxEvent]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    @property
    def switchable(self) -> bool:
        """Whether no page has begun."""
        return not (self.talk.confirmed or self.talk.refused) and self.talk.phase in {
            FaxPhase.CALL,
            FaxPhase.NEGOTIATION,
        }

    @property
    def transmits(self) -> bool:
        """Whether its modem talks, and nothing that comes meanwhile matters: T.30 goes one way at a time, but for the
        tones before it."""
        quiet = self.talk.phase is FaxPhase.CALL or self.said in (b"", _SILENCE)
        return self.outcome is None and not quiet

    def hang_up(self, now: float, reason: FaxReason = FaxReason.HUNG_UP) -> None:
        """The call has ended, or is ended, for this reason. Nothing happens to a fax that has an outcome."""
        self._stop(reason, now, "")

    def cancel(self, now: float) -> None:
        """Nobody wants it any more."""
        self.hang_up(now, FaxReason.CANCELLED)

    # ---- a step

    def begin_step(self, now: float) -> Channel | None:
        """For `step`: its modem, with what was heard."""
        self.datagrams, self.said = [], b""
        if self._channel is not None and self.transport is FaxTransport.AUDIO:
            if self._frames:
                self._heard_at, self._repeated, self._frame = now, 0, self._frames[-1]
            else:
                self._repeated += 1
                self._frames = [self._frame if self._repeated <= REPEATS_MAX else _SILENCE]
            self._channel.hear(b"".join(self._frames))
        self._frames = []
        return self._channel

    def end_step(self, now: float) -> None:
        """For `step`: what its modem made of it."""
        channel = self._channel
        if channel is None:
            return
        self.said = channel.said
        if self.transport is FaxTransport.T38:
            self.datagrams = [self._sender.send(packet, now) for packet in channel.sent]
            if not self.datagrams and (again := self._sender.again(now)) is not None:
                self.datagrams = [again]
        self._note(channel.events, now)
        if self._channel is not None:
            self._look_at_clock(now)

    # ---- inside

    def _open(self, terms: T38Terms) -> None:
        kind = ChannelKind.AUDIO if self.transport is FaxTransport.AUDIO else ChannelKind.T38
        self._channel = Channel(
            kind,
            self.options,
            calling=self.sends,
            send=self.document if self.sends else None,
            receive=None if self.sends else self.document,
            t38=terms.settings,
        )
        self._sender, self.receiver = UdptlSender(terms.udptl), UdptlReceiver()

    def _note(self, events: Sequence[ModemEvent], now: float) -> None:
        for event in events:
            if event.kind is ModemEventKind.FRAME:
                self._note_frame(event, now)
            elif event.kind is ModemEventKind.PAGE:
                self.talk.page_ended()
            elif event.completion is not None:
                self._note_end(event.completion, now)

    def _note_frame(self, event: ModemEvent, now: float) -> None:
        at = now - self._began
        heard = self.talk.take(event.data, incoming=not event.outward)
        text = frame_name(event.data)
        self._tell(FaxEvent(FaxEventKind.FRAME, at, text=text, outward=event.outward))
        if text in {"CSI", "TSI"} and not event.outward:
            self._note_ident(event.data, at)
        if heard != _NOTHING:
            self._note_heard(heard, at)
        if self.talk.phase is not self._phase:
            self._phase = self.talk.phase
            self._tell(FaxEvent(FaxEventKind.PHASE, at, phase=self._phase))
            self._phase_since = now
        elif heard.confirmed or not event.outward:
            self._phase_since = now  # it goes on

    def _note_ident(self, frame: bytes, at: float) -> None:
        """The digits of an ident come in the order they are sent: the last one first (T.30 §5.3.6.2.4)."""
        ident = frame[3:].decode("ascii", "ignore")[::-1]
        ident = "".join(character for character in ident if character.isprintable()).strip()
        if ident and ident != self._ident:
            self._ident = ident
            self._tell(FaxEvent(FaxEventKind.IDENT, at, text=ident))

    def _note_heard(self, heard: Heard, at: float) -> None:
        statistics = self._statistics()
        page = self.options.start_page + self.talk.confirmed
        if heard.agreed:
            kind = FaxEventKind.NEGOTIATED
        elif heard.untrained:
            kind = FaxEventKind.RETRAIN
        elif heard.refused:
            kind, page = FaxEventKind.PAGE_REFUSED, page + 1
        else:
            kind = FaxEventKind.PAGE_CONFIRMED
        self._tell(FaxEvent(kind, at, page=page, speed=statistics.speed, ecm=statistics.ecm))

    def _statistics(self) -> Statistics:
        if self._channel is not None:
            self._last = self._channel.statistics()
        return self._last

    def _note_end(self, completion: Completion, now: float) -> None:
        if self.talk.refused and completion is not Completion.OK and not self.talk.complete:
            reason = FaxReason.BAD_PAGES
        elif completion in _REPEATED:
            reason = _UNANSWERED[self.talk.reached]
        else:
            reason = _REASONS.get(
                completion, FaxReason.DISCONNECTED if "DCN" in completion.name else FaxReason.PROTOCOL
            )
        self._end(reason, now, spandsp.completion_text(completion))

    def _look_at_clock(self, now: float) -> None:
        phase = self.talk.phase
        if now - self._began > self._limits.whole_s:
            self._stop(FaxReason.STALLED, now, f"the fax took longer than {self._limits.whole_s:.0f} s")
        elif self.talk.complete and now - self._phase_since > FAREWELL_S:
            self._stop(FaxReason.OK, now, "no DCN came")
        elif now - self._phase_since > self._limits.of(phase):
            reason = FaxReason.NO_FAX if phase is FaxPhase.CALL else FaxReason.STALLED
            self._stop(reason, now, f"{phase.value} took longer than {self._limits.of(phase):.0f} s")
        elif now - max(self._heard_at, self._phase_since) > self._limits.silence_s and self._expects(phase):
            self._stop(FaxReason.MEDIA_LOST, now, f"nothing came for {self._limits.silence_s:.0f} s")

    def _expects(self, phase: FaxPhase) -> bool:
        """Whether something has to come now."""
        if phase is FaxPhase.CALL:
            return False
        return not (self.sends and self.transport is FaxTransport.T38 and phase is FaxPhase.PAGE)

    def _stop(self, reason: FaxReason, now: float, detail: str) -> None:
        """Ends it from this side, after what is still to be told."""
        channel = self._channel
        if channel is not None:
            channel.terminate()
            self._note([event for event in channel.events if event.kind is not ModemEventKind.ENDED], now)
            self._end(reason, now, detail)

    def _end(self, reason: FaxReason, now: float, detail: str) -> None:
        channel = self._channel
        if channel is None:
            return
        statistics = self._statistics()
        channel.terminate()
        channel.close()
        self._channel = None
        confirmed = self.talk.confirmed
        total = self._pages or (confirmed if self.talk.complete else 0)
        result, reason = self._result(reason, confirmed)
        self._tell(FaxEvent(FaxEventKind.ENDED, now - self._began, text=reason.value))
        self.outcome = FaxOutcome(
            result=result,
            reason=reason,
            pages_total=total,
            pages_confirmed=confirmed,
            speed=statistics.speed,
            ecm=statistics.ecm,
            remote_ident=self._ident,
            duration_s=now - self._began,
            transport=self.transport,
            resolution=statistics.resolution,
            retries=self.talk.refused + statistics.ecm_retries,
            detail=detail,
            transcript=tuple(self._transcript),
        )

    def _result(self, reason: FaxReason, confirmed: int) -> tuple[FaxResult, FaxReason]:
        """What counts is the answer to the last page: after it, how the call ends is of no matter (T.30 §5.3.6.1.8)."""
        if self.talk.complete and (not self.sends or confirmed == self._pages):
            return FaxResult.SUCCESS, FaxReason.OK
        if reason is FaxReason.OK:
            reason = FaxReason.NO_CONFIRMATION
        if confirmed:
            return FaxResult.PARTIAL, reason
        return (FaxResult.CANCELLED if reason is FaxReason.CANCELLED else FaxResult.FAILED), reason

    def _tell(self, event: FaxEvent) -> None:
        self._events.append(event)
        if len(self._transcript) < TRANSCRIPT_MAX:
            self._transcript.append(event)


_NOTHING: Final = Heard()


class Stepped(Protocol):
    """What `step` takes further: a session, or a gateway."""

    def begin_step(self, now: float) -> Channel | None: ...
    def end_step(self, now: float) -> None: ...


def step(sessions: Sequence[Stepped], now: float) -> list[Stepped]:
    """Takes all of them 20 ms further. Those that broke, which is logged: they are not to be stepped again."""
    due = [(session, channel) for session in sessions if (channel := session.begin_step(now)) is not None]
    spandsp.step([channel for _, channel in due])
    broken: list[Stepped] = []
    for session, _ in due:
        try:
            session.end_step(now)
        except Exception:  # one that stumbles must not take the others with it
            log.exception("a fax broke off by a fault of ours")
            broken.append(session)
    return broken


def at_page(options: FaxOptions, page: int) -> FaxOptions:
    """The same, from this page on (0 is the first): how a retry resumes."""
    return replace(options, start_page=page)


def remove_empty(document: Path) -> bool:
    """Takes away the file of a fax that brought no page. Whether one is left."""
    if document.exists() and not count_pages(document):
        document.unlink()
    return document.exists()
