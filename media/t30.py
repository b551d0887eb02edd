"""The frames of T.30 as they go by: their names, the phase they stand for, and which pages they confirm. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from media.fax import FaxPhase

_CODE: Final = 2  # its octet in a frame, behind address and control (T.30 §5.3.6.1)
_FURTHER: Final = 3  # the second code of a PPS or EOR
_X: Final = 0xFE  # who has received a DIS sets the bit that this leaves out

NAMES: Final = {
    0x80: "DIS",
    0x40: "CSI",
    0x20: "NSF",
    0x82: "DCS",
    0x42: "TSI",
    0x22: "NSS",
    0x84: "CFR",
    0x44: "FTT",
    0x8E: "EOM",
    0x4E: "MPS",
    0x2E: "EOP",
    0x9E: "PRI-EOM",
    0x5E: "PRI-MPS",
    0x3E: "PRI-EOP",
    0xBE: "PPS",
    0xCE: "EOR",
    0x6E: "RR",
    0x8C: "MCF",
    0xCC: "RTP",
    0x4C: "RTN",
    0xAC: "PIP",
    0x2C: "PIN",
    0xBC: "PPR",
    0xEC: "RNR",
    0x1C: "ERR",
    0x12: "CTC",
    0xC4: "CTR",
    0xFA: "DCN",
    0x1A: "CRP",
    0xC2: "SUB",
    0xA2: "SID",
    0xC0: "PWD",
}
_LAST: Final = frozenset({"EOP", "PRI-EOP"})
_AFTER_PAGE: Final = frozenset({"EOM", "MPS", "EOP", "PRI-EOM", "PRI-MPS", "PRI-EOP"})
_ANEW: Final = frozenset({"EOM", "PRI-EOM"})  # parameters are agreed again after it
_CONFIRMS: Final = frozenset({"MCF", "RTP", "PIP"})  # the page is good, whatever else is asked for (T.30 §5.3.6.1.7)
_REFUSES: Final = frozenset({"RTN", "PIN", "ERR"})


def frame_name(frame: bytes) -> str:
    """What people call this frame; "PPS-MPS" for the two codes of one; its code in hexadecimal when it has no name."""
    if len(frame) <= _CODE:
        return "?"
    name = NAMES.get(frame[_CODE] & _X, f"{frame[_CODE]:02X}")
    if name in {"PPS", "EOR"} and len(frame) > _FURTHER:
        return f"{name}-{NAMES.get(frame[_FURTHER] & _X, 'NULL')}"
    return name


@dataclass(frozen=True, slots=True)
class Heard:
    """What a frame changed: a page was confirmed or refused, parameters were agreed, or training failed."""

    confirmed: bool = False
    refused: bool = False
    agreed: bool = False
    untrained: bool = False


class Conversation:
    """Follows the frames of both sides, and counts the pages that were confirmed: by an answer to what ends a page, to
    the sender as to the receiver. A receiver says with `page_ended` that a page came: what ends a page comes again when
    the answer was lost, and is answered again, but the page counts once."""

    __slots__ = ("_after", "_page", "_receives", "complete", "confirmed", "phase", "reached", "refused")

    def __init__(self, *, receives: bool) -> None:
        self._receives = receives
        self._page = False
        self.phase = self.reached = FaxPhase.CALL  # `reached`: where a DCN found it
        self.confirmed = 0
        self.refused = 0
        self.complete = False  # the last page of all was confirmed
        self._after = ""  # what was said behind the page that waits for its answer

    def take(self, frame: bytes, *, incoming: bool) -> Heard:
        """One frame, in the order in which they went by."""
        name = frame_name(frame)
        first, _, second = name.partition("-")
        if self.phase is FaxPhase.CALL and incoming:
            self.phase = FaxPhase.NEGOTIATION
        if self.phase is not FaxPhase.DONE:
            self.reached = self.phase
        if name == "DCN":
            self.phase = FaxPhase.DONE
        elif first in {"PPS", "EOR"}:
            self._end_page(second if second != "NULL" else "", name)
        elif name in _AFTER_PAGE:
            self._end_page(name, name)
        elif name == "CFR":
            self.phase = FaxPhase.PAGE
            return Heard(agreed=True)
        elif name == "FTT":
            return Heard(untrained=True)
        elif self.phase is FaxPhase.CONFIRMATION:
            return self._answer(name)
        elif name == "DCS" and self.phase is FaxPhase.PAGE:
            self.phase = FaxPhase.NEGOTIATION
        return Heard()

    def page_ended(self) -> None:
        """A page has been received, whatever its quality."""
        self._page = True

    def _end_page(self, after: str, name: str) -> None:
        """`after` is empty where only a part of the page has ended (PPS-NULL)."""
        self.phase = FaxPhase.CONFIRMATION
        self._after = "" if name.startswith("EOR") else after

    def _answer(self, name: str) -> Heard:
        if name in {"PPR", "CTR"} or (name in _CONFIRMS and not self._after):
            self.phase = FaxPhase.CONFIRMATION if self.complete else FaxPhase.PAGE  # it goes on with this page
            return Heard()
        if name in _CONFIRMS:
            return self._confirm(name)
        if name in _REFUSES:
            self.refused += 1
            self._after, self._page = "", False
            self.phase = FaxPhase.NEGOTIATION
            return Heard(refused=True)
        return Heard()

    def _confirm(self, name: str) -> Heard:
        counts = self._page or not self._receives
        self.confirmed += counts
        self.complete = self._after in _LAST
        if not self.complete:  # else DCN is next
            self.phase = FaxPhase.NEGOTIATION if name != "MCF" or self._after in _ANEW else FaxPhase.PAGE
        self._after, self._page = "", False
        return Heard(confirmed=counts)
