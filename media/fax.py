"""The words of fax: what is asked of one, what happens in it, and how it ended. They know nothing of modems.

A page counts when the far end confirmed it (ITU-T T.30 §5.3.6: MCF, or PIP), never because it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntFlag, StrEnum
from pathlib import Path

IDENT_MAX = 20  # digits and blanks of TSI and CSI, T.30 §5.3.6.2.4
HEADER_MAX = 50  # characters of the line over each page
PAGES_MAX = 2000  # of one document


class FaxMode(StrEnum):
    """How pages are to travel, the most permissive first. AUTO begins in audio and goes over to T.38 when it hears a
    fax; T38 begins with it; G711 is audio on this side, whatever the other side of a call does; PASSTHROUGH is a call
    that nobody touches: audio from end to end."""

    AUTO = "auto"
    T38 = "t38"
    G711 = "g711"
    PASSTHROUGH = "passthrough"

    @property
    def images(self) -> bool:
        """Whether T.38 may be agreed."""
        return self in (FaxMode.AUTO, FaxMode.T38)


def strictest(*modes: FaxMode) -> FaxMode:
    """What counts where several have a say, a number and a trunk: who forbids wins, AUTO gives way to all."""
    return max(modes, key=list(FaxMode).index, default=FaxMode.AUTO)


class FaxTransport(Enum):
    """What carries the T.30 of a fax at a moment."""

    AUDIO = "audio"
    T38 = "t38"


class Resolution(IntFlag):
    """Lines per inch that a page may have; a sender gives what its TIFF holds, if the far end takes it."""

    STANDARD = 1  # 204 × 98
    FINE = 2  # 204 × 196
    SUPERFINE = 4  # 204 × 392


class Compression(IntFlag):
    """Image codings that may be agreed on."""

    MH = 1  # T.4, one-dimensional
    MR = 2  # T.4, two-dimensional
    MMR = 4  # T.6, with ECM only


class FaxPhase(Enum):
    """Where a fax is (T.30 §3). DONE: nothing more comes."""

    CALL = "call"  # A: nothing was heard from the far end's fax
    NEGOTIATION = "negotiation"  # B: DIS, DCS, training
    PAGE = "page"  # C: the page itself
    CONFIRMATION = "confirmation"  # D: what follows a page
    DONE = "done"  # E


class FaxResult(Enum):
    """How a fax ended. PARTIAL: at least one page arrived and was confirmed, but not all."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class FaxReason(Enum):
    """Why a fax ended as it did: a code for people, webhooks and the policy of retries."""

    OK = "ok"
    CANCELLED = "cancelled"
    HUNG_UP = "hung_up"  # the call ended in the middle
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NO_ROUTE = "no_route"
    REJECTED = "rejected"
    NEGOTIATION_FAILED = "negotiation_failed"  # SDP: neither T.38 nor G.711 could be agreed
    NO_FAX = "no_fax"  # nothing of a fax was heard at the far end
    NO_RESPONSE = "no_response"  # the far end stopped answering while parameters were agreed
    NO_CARRIER = "no_carrier"  # the page, or its carrier, stopped coming
    NO_CONFIRMATION = "no_confirmation"  # a page was sent and never confirmed
    STALLED = "stalled"  # our own limit on a phase or on the whole
    CANNOT_TRAIN = "cannot_train"
    INCOMPATIBLE = "incompatible"  # no common resolution, size, coding or role
    DISCONNECTED = "disconnected"  # DCN where none was due
    BAD_PAGES = "bad_pages"  # the far end refused pages as unreadable, again and again
    PROTOCOL = "protocol"  # an answer that T.30 does not allow
    BAD_FILE = "bad_file"  # the document cannot be read, or not be written
    MEDIA_LOST = "media_lost"  # no packet came any more

    @property
    def retryable(self) -> bool:
        """Whether another try may end otherwise."""
        return self not in _FINAL


_FINAL = frozenset({FaxReason.OK, FaxReason.CANCELLED, FaxReason.NO_ROUTE, FaxReason.BAD_FILE, FaxReason.INCOMPATIBLE})


@dataclass(frozen=True, slots=True)
class FaxOptions:
    """What is asked of one fax.

    `ident` is sent as TSI or CSI (digits, `+`, blanks, at most 20 characters), `header` is the text between date and
    page number over each page sent; empty: no line. `max_speed` in bit/s chooses
    modems: 14400 (V.17 and all below), 9600 (V.29 and V.27ter) or 4800 (V.27ter).
    `start_page` is the first page of the TIFF to send, from 0: how a retry resumes. Raises ValueError.
    """

    ident: str = ""
    header: str = ""
    mode: FaxMode = FaxMode.AUTO
    ecm: bool = True
    max_speed: int = 14400
    resolution: Resolution = Resolution.STANDARD | Resolution.FINE | Resolution.SUPERFINE
    compression: Compression = Compression.MH | Compression.MR | Compression.MMR
    start_page: int = 0

    def __post_init__(self) -> None:
        if self.max_speed not in SPEEDS:
            raise ValueError(f"{self.max_speed} bit/s is none of {', '.join(map(str, SPEEDS))}")
        if len(self.ident) > IDENT_MAX or not set(self.ident) <= _IDENT_CHARACTERS:
            raise ValueError(f"{self.ident!r} is no ident: up to {IDENT_MAX} digits, blanks and +")
        if len(self.header) > HEADER_MAX or not (
            (self.header.isascii() and self.header.isprintable()) or not self.header
        ):
            raise ValueError(f"a header line has up to {HEADER_MAX} ASCII characters, not {self.header!r}")
        if not 0 <= self.start_page < PAGES_MAX:
            raise ValueError(f"page {self.start_page} is none of 0 to {PAGES_MAX - 1}")
        if not self.resolution or not self.compression:
            raise ValueError("a fax needs at least one resolution and one compression")


SPEEDS = (14400, 9600, 4800)
_IDENT_CHARACTERS = frozenset("0123456789+ ")


class FaxEventKind(Enum):
    """What can happen in a fax."""

    PHASE = "phase"  # `phase`
    TRANSPORT = "transport"  # `transport` carries it from now on
    IDENT = "ident"  # `text`: the far end's TSI or CSI
    NEGOTIATED = "negotiated"  # `speed`, `ecm`: of the pages to come
    RETRAIN = "retrain"  # `speed`: slower, the line was too bad
    PAGE_CONFIRMED = "page_confirmed"  # `page`: its number from 1 on
    PAGE_REFUSED = "page_refused"  # `page` will be sent again (RTN)
    FRAME = "frame"  # `text`: a T.30 frame, `outward`
    ENDED = "ended"  # the outcome is there


@dataclass(frozen=True, slots=True)
class FaxEvent:
    """Something that happened `at` seconds after the fax began."""

    kind: FaxEventKind
    at: float
    phase: FaxPhase | None = None
    transport: FaxTransport | None = None
    text: str = ""
    page: int = 0
    speed: int = 0
    ecm: bool = False
    outward: bool = False


@dataclass(frozen=True, slots=True)
class FaxOutcome:
    """How a fax ended. `pages_total` is 0 where it is not known (receiving); `pages_confirmed` counts from the page
    that `start_page` named; `resolution`, like `speed`, is that of the last page. `detail` is one sentence for people,
    `transcript` what happened, for the picture of the call."""

    result: FaxResult
    reason: FaxReason
    pages_total: int = 0
    pages_confirmed: int = 0
    speed: int = 0
    ecm: bool = False
    remote_ident: str = ""
    duration_s: float = 0.0
    transport: FaxTransport = FaxTransport.AUDIO
    resolution: Resolution | None = None
    retries: int = 0
    detail: str = ""
    transcript: tuple[FaxEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class FaxReceived:
    """A fax that came in, whole or in part: where its pages are (None: there is not one), and how it went."""

    call_id: str
    account: str
    called: str
    caller: str
    tiff: Path | None
    outcome: FaxOutcome
