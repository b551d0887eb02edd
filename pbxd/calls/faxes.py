"""A fax on a leg: it begins in sound, goes over to T.38 where both want to, and the call ends with it.

Who answers a fax asks for T.38 as soon as it hears the caller's CNG, or after a while without; who calls leaves the
asking to the far side for a moment after its CED; where T.38 is a must, or the trunk says so, the call begins with it,
and it is asked for at once. A refusal changes nothing: the fax goes on in G.711, unless T.38 is a must. Once a page has
begun, whatever carries it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from media.fax import FaxEvent, FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxResult, FaxTransport
from media.fax_session import FaxLimits, FaxSession
from media.faxing import Fax, FaxEngine
from media.spandsp import Tone
from media.wire import WireError
from pbxd.calls.call import Call
from pbxd.calls.policy import LAWS
from pbxd.calls.stage import Stage

ASK_UNHEARD_S: Final = 3.0  # who answers asks so long after, without having heard CNG
ASK_AFTER_CED_S: Final = 1.5  # who calls asks so long after CED, unless the far side does
ASK_AGAIN_S: Final = 0.25  # while the call is not established yet
DRAIN_S: Final = 0.4  # what was said last is on its way still

Progress = Callable[[Sequence[FaxEvent]], None]
Over = Callable[[FaxOutcome], None]


class Side(Enum):
    """What the house does with the pages."""

    SENDS = "sends"
    RECEIVES = "receives"


@dataclass(frozen=True, slots=True)
class FaxTask:
    """One fax to be sent from `document`, or received into it."""

    side: Side
    document: Path
    options: FaxOptions
    limits: FaxLimits


class FaxAct:
    """Sends or receives one fax on a stage. `over` hears the outcome, once, whatever happens; `progress` what happens
    before. `hand_over` calls in the event loop's thread what the thread of the modems has to tell."""

    def __init__(
        self,
        engine: FaxEngine,
        task: FaxTask,
        hand_over: Callable[[Callable[[], None]], None],
        over: Over,
        progress: Progress | None = None,
    ) -> None:
        self._engine = engine
        self._task = task
        self._hand_over = hand_over
        self._over = over
        self._progress = progress
        self._stage: Stage | None = None
        self._fax: Fax | None = None
        self._transport = FaxTransport.AUDIO
        self._asked = False
        self._plain = False  # G.711 has been asked for
        self._left = False
        self.outcome: FaxOutcome | None = None

    # ---- Act

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        stage.leg.prepare_for_fax(self)
        stage.answer(now)
        if stage.closed:
            return
        if self._insists and not self.takes_images():
            self._tell(FaxOutcome(FaxResult.FAILED, FaxReason.NEGOTIATION_FAILED, detail="T.38 is not allowed here"))
            stage.later(0.0, self._hang_up)
            return
        self.agreed(now)
        if not self.takes_images():
            return
        if self._insists or stage.leg.negotiation.policy.fax is FaxMode.T38:
            stage.later(0.0, self._ask)
        elif self._task.side is Side.RECEIVES:
            stage.later(ASK_UNHEARD_S, self._ask)

    def digit(self, digit: str, now: float) -> None:
        """Tones of modems are no digits."""

    def talking(self, talks: bool) -> None:
        """Nor are they speech."""

    def leave(self, now: float) -> None:
        self._left = True
        if self._fax is not None:
            self._fax.hang_up()
        elif self.outcome is None:
            self._tell(FaxOutcome(FaxResult.FAILED, FaxReason.NEGOTIATION_FAILED, detail="no media was agreed"))

    # ---- FaxUser

    def may_change(self) -> bool:
        return self._fax is None or self._fax.switchable

    def takes_images(self) -> bool:
        allowed = self._stage is None or self._stage.leg.negotiation.policy.images
        return allowed and self._task.options.mode.images

    def agreed(self, now: float) -> None:
        stage = self._stage
        if stage is None or stage.leg.plan is None or self._left:
            return
        t38 = stage.leg.negotiation.t38
        transport = FaxTransport.AUDIO if t38 is None else FaxTransport.T38
        if t38 is None and stage.leg.plan.codec not in LAWS:  # it was up before, for a voice
            if not self._plain:
                self._plain = True
                stage.leg.ask_anew(now)
            return
        if self._fax is not None and transport is self._transport:
            return
        self._transport = transport
        try:
            port = stage.leg.media.fax(transport)
            if self._fax is not None:
                self._fax.switch(transport, port, t38)
                return
            session = FaxSession(
                self._task.options,
                self._task.document,
                now,
                sends=self._task.side is Side.SENDS,
                transport=transport,
                t38=t38,
                limits=self._task.limits,
            )
        except (ValueError, WireError) as error:  # no pages to send; the media is closed already
            self._tell(FaxOutcome(FaxResult.FAILED, FaxReason.BAD_FILE, detail=str(error)))
            stage.later(0.0, self._hang_up)
            return
        self._fax = self._engine.add(session, port, self._told, self._heard)

    def image_refused(self, status: int, now: float) -> None:
        if self._insists and self._fax is not None:
            self._fax.hang_up(FaxReason.NEGOTIATION_FAILED)

    # ---- for who wants it no more

    def cancel(self) -> None:
        """Ends it; `over` hears that it was cancelled."""
        if self._fax is not None:
            self._fax.hang_up(FaxReason.CANCELLED)

    # ---- inside

    @property
    def _insists(self) -> bool:
        """Whether a no to T.38 ends the fax."""
        return self._task.options.mode is FaxMode.T38

    def _ask(self, now: float) -> None:
        """Asks for T.38, once, when the call is up."""
        stage = self._stage
        if stage is None or self._asked or self._transport is FaxTransport.T38 or not self.may_change():
            return
        if not stage.leg.session.established:
            stage.later(ASK_AGAIN_S, self._ask)
            return
        self._asked = True
        stage.leg.offer_image(now)

    def _heard(self, tone: Tone) -> None:
        """In the thread of the modems."""
        self._hand_over(lambda: self._heard_tone(tone))

    def _heard_tone(self, tone: Tone) -> None:
        stage = self._stage
        if stage is None or stage.closed or not self.takes_images():
            return
        if tone is Tone.CNG and self._task.side is Side.RECEIVES:
            stage.later(0.0, self._ask)
        elif tone is Tone.CED and self._task.side is Side.SENDS:
            stage.later(ASK_AFTER_CED_S, self._ask)

    def _told(self, events: Sequence[FaxEvent], outcome: FaxOutcome | None) -> None:
        """In the thread of the modems."""
        self._hand_over(lambda: self._take(events, outcome))

    def _take(self, events: Sequence[FaxEvent], outcome: FaxOutcome | None) -> None:
        if self._progress is not None:
            self._progress(events)
        if outcome is None:
            return
        self._tell(outcome)
        if self._stage is not None and not self._stage.closed:
            self._stage.later(DRAIN_S, self._hang_up)

    def _hang_up(self, now: float) -> None:
        stage, outcome = self._stage, self.outcome
        if stage is None or outcome is None:
            return
        pages = "1 page" if outcome.pages_confirmed == 1 else f"{outcome.pages_confirmed} pages"
        reason = f"the fax is over: {outcome.result.value}, {outcome.reason.value}, {pages}"
        stage.hangup(now, reason)

    def _tell(self, outcome: FaxOutcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self._over(outcome)


def undialled(call: Call) -> FaxOutcome:
    """The outcome of a fax whose call was never answered."""
    record = call.record
    reason = _REASONS.get(record.sip_status or 0, FaxReason.REJECTED)
    return FaxOutcome(FaxResult.FAILED, reason, detail=record.reason or "")


_REASONS: Final = {
    486: FaxReason.BUSY,
    600: FaxReason.BUSY,
    408: FaxReason.NO_ANSWER,
    480: FaxReason.NO_ANSWER,
    487: FaxReason.NO_ANSWER,
    404: FaxReason.NO_ROUTE,
    484: FaxReason.NO_ROUTE,
    488: FaxReason.NEGOTIATION_FAILED,
    606: FaxReason.NEGOTIATION_FAILED,
}
