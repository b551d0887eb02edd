"""What is written down of a call: who, when, how it sounded, and whose doing its end was."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from media.history import History


class Result(StrEnum):
    """Whose doing the end of a call was."""

    SUCCESS = "success"  # answered, and ended because someone hung up
    CLIENT = "client"  # the caller's: gave up, wrong number, not allowed
    SERVER = "server"  # ours: overload, no ports, drain, a fault
    UPSTREAM = "upstream"  # the called side's: busy, declined, unreachable, media died
    UNKNOWN = "unknown"  # the process died under it


class Direction(StrEnum):
    INTERNAL = "internal"
    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Role(StrEnum):
    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True)
class LegQuality:
    """How one leg's incoming sound was. Loss in per cent of expected packets, jitter and round trip in ms; bursts are
    of packets lost in a row. `least_mos` is that of the worst few seconds, `silent_s` how long nothing came at all
    though it should have."""

    packets_received: int
    packets_sent: int
    packets_lost: int
    loss_percent: float
    jitter_ms: float
    round_trip_ms: float | None
    remote_loss_percent: float | None
    mos: float | None
    loss_bursts: int = 0
    longest_burst: int = 0
    least_mos: float | None = None
    silent_s: float = 0.0


@dataclass(slots=True)
class LegRecord:
    """One SIP dialog of a call. Times are seconds since the epoch."""

    id: str
    role: Role
    party: str  # the extension, or the trunk's name
    sip_call_id: str
    remote: str  # "udp:127.0.0.1:5062"
    started_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    sip_status: int | None = None
    codec: str | None = None
    srtp: str | None = None  # the crypto suite; None: plain RTP
    quality: LegQuality | None = None
    history: History | None = field(default=None, repr=False, compare=False)  # of a leg that lives here


@dataclass(frozen=True, slots=True)
class Timeline:
    """The clock of one call: set by the house's when the call begins, running by the monotonic one from then on. So its
    durations are true whatever somebody does to the house's clock meanwhile."""

    wall: float
    now: float

    def __call__(self, now: float) -> float:
        """Seconds since the epoch at the monotonic time `now`."""
        return self.wall + now - self.now


@dataclass(slots=True)
class CallRecord:
    """One call. The call keeps it true while it lives; listeners of `CallChanged` read it and never write."""

    id: str
    account_id: str
    direction: Direction
    caller: str
    caller_name: str
    called: str
    started_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    result: Result | None = None
    sip_status: int | None = None
    q850: int | None = None
    reason: str | None = None  # in words, for people
    ended_by: str | None = None  # "caller", "callee" or "house"
    legs: list[LegRecord] = field(default_factory=list)
    flow: str | None = None  # the call flow, and the step it is at or ended at: "reception/welcome.1"
    tags: list[str] = field(default_factory=list)  # words that a call flow put on it
    queue: str | None = None  # the last one it waited in
    queue_exit: str | None = None  # how it left it: "answered", "timeout" ...
    queue_wait_s: float | None = None
    operator: str | None = None  # who answered there
    clock: Timeline | None = field(default=None, repr=False, compare=False)  # of a call that lives here


class Change(StrEnum):
    STARTED = "started"
    RINGING = "ringing"
    ANSWERED = "answered"
    HELD = "held"
    RESUMED = "resumed"
    MOVED = "moved"  # the house led its leg into another room
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class CallChanged:
    """Published on the bus at each change of a call's state; the last one is `ENDED`, exactly once."""

    change: Change
    record: CallRecord
