"""The values of queues: rules, callers, operators, leases, and what the machine tells of them.

Times are seconds of one monotonic clock, whichever the caller of the machine goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pbxd.config.groups import QueueStrategy
from pbxd.services.queues.table import Activity, Place, Status

FIRST_ANNOUNCEMENT_S = 15.0
ANNOUNCEMENTS_S = 30.0
Strategy = QueueStrategy


class Exit(StrEnum):
    """How a caller left the queue."""

    ANSWERED = "answered"  # talked to an operator
    TIMEOUT = "timeout"
    ABANDON = "abandon"
    NO_AGENTS = "no_agents"
    QUEUE_FULL = "queue_full"
    EWT = "ewt"  # would have to wait longer than is sensible
    DIGIT = "digit"
    INTERRUPTED = "interrupted"  # the house stopped while they waited: nobody's doing but ours


class Verdict(StrEnum):
    """What becomes of an answer to an offer."""

    WON = "won"
    STALE = "stale"  # the offer was another's meanwhile, or is over
    UNKNOWN = "unknown"


class Why(StrEnum):
    """Why an offer was withdrawn, or an operator's state changed."""

    ASKED = "asked"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    UNREACHABLE = "unreachable"
    ON_CALL = "on_call"
    TAKEN = "taken"  # by another operator
    CALLER_LEFT = "caller_left"
    NOT_AVAILABLE = "not_available"
    AUTO_PAUSE = "auto_pause"
    OFFERED = "offered"
    ANSWERED = "answered"
    FINISHED = "finished"
    RESTED = "rested"
    PRESENCE = "presence"


MISSES = frozenset({Why.NO_ANSWER, Why.DECLINED})
"""Those that are the operator's own doing."""


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How one queue works. `max_callers` and `max_expected_wait_s` 0: no limit. `wait_when_empty`: callers wait also
    while no operator is logged in. `same_music`: all who wait hear the same, not each from its beginning.
    `music` is the folder of its own, if it has one."""

    name: str
    title: str = ""
    strategy: Strategy = Strategy.LONGEST_IDLE
    ring_s: float = 20.0
    max_wait_s: float = 600.0
    wrap_up_s: float = 10.0
    max_no_answer: int = 3
    announce_position: bool = False
    announce_first_s: float = FIRST_ANNOUNCEMENT_S
    announce_interval_s: float = ANNOUNCEMENTS_S
    max_callers: int = 0
    max_expected_wait_s: float = 0.0
    service_level_s: float = 20.0
    wait_when_empty: bool = True
    leave_digit: str = ""
    accept: bool = False
    whisper: bool = True
    same_music: bool = True
    music: str | None = None


@dataclass(slots=True)
class Caller:
    """Somebody who waits in a queue, or talks to one of its operators. `tried` are operators who did not answer."""

    id: str
    queue: str
    number: str
    name: str
    priority: int
    joined_at: float
    serial: int
    wait_when_empty: bool
    remote: bool = False  # the call is at a node of the edge, which rings whom it is offered to
    place: Place = Place.WAITING
    tried: set[str] = field(default_factory=set)
    offers: set[str] = field(default_factory=set)  # operators whose phones ring for it
    operator: str | None = None
    connected_at: float | None = None
    waited_s: float | None = None

    @property
    def rank(self) -> tuple[int, float, int]:
        """Where it stands: priority before patience."""
        return (-self.priority, self.joined_at, self.serial)

    @property
    def waits(self) -> bool:
        """Nobody has taken it yet."""
        return self.place in (Place.WAITING, Place.OFFERED)


@dataclass(frozen=True, slots=True)
class Lease:
    """One offer: who answers has to name its `epoch`. The id is the operator's as long as they are logged in."""

    id: str
    epoch: int
    operator: str
    caller: str
    queue: str
    offered_at: float
    until: float


@dataclass(slots=True)
class Operator:
    """Somebody who answers. `queues` are those they serve, by penalty; `serves` how often, `missed` offers in a row."""

    name: str
    status: Status = Status.OFFLINE
    activity: Activity = Activity.WAITING
    reachable: bool = False
    on_call: bool = False  # on one that is not of a queue
    afar: bool = False  # reachable at nodes only: no phone that the house itself could ring
    queues: dict[str, int] = field(default_factory=dict)
    lease_id: str = ""
    epoch: int = 0
    lease: Lease | None = None
    idle_since: float = 0.0
    rests_until: float = 0.0
    wraps_until: float = 0.0
    since: float = 0.0  # in this status
    did_since: float = 0.0  # in this activity
    missed: int = 0
    handled: int = 0
    turn: int = 0
    last_queue: str | None = None

    def free(self, now: float) -> bool:
        """Whether they may be offered a caller (annex C5 of the edge contract)."""
        return (
            self.status is Status.AVAILABLE
            and self.activity is Activity.WAITING
            and self.reachable
            and not self.on_call
            and now >= self.rests_until
        )

    def reaches(self, caller: Caller) -> bool:
        """Whether there is a phone that can be rung for that caller."""
        return caller.remote or not self.afar


@dataclass(frozen=True, slots=True)
class Seen:
    """What registrations and calls show of an operator."""

    reachable: bool
    on_call: bool = False
    afar: bool = False


# ---- what the machine tells


@dataclass(frozen=True, slots=True)
class Joined:
    caller: str
    queue: str
    position: int


@dataclass(frozen=True, slots=True)
class Offered:
    """Ring this operator for this caller."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Ring no more."""

    lease: Lease
    why: Why


@dataclass(frozen=True, slots=True)
class Claimed:
    """This operator has the caller: connect them, or tell the machine that it cannot be done."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Connected:
    lease: Lease
    waited_s: float


@dataclass(frozen=True, slots=True)
class Returned:
    """The operator who had the caller did not come: it waits again, at its old place."""

    lease: Lease
    why: Why


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the caller where they stand; `expected_s` where that is known."""

    caller: str
    queue: str
    position: int
    expected_s: float | None


@dataclass(frozen=True, slots=True)
class Left:
    """A caller's end in this queue, exactly once. `operator` and `talked_s` of those who were answered."""

    caller: str
    queue: str
    exit: Exit
    waited_s: float
    operator: str | None = None
    talked_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OperatorChanged:
    operator: str
    status: Status
    activity: Activity
    reachable: bool
    why: Why


Event = Joined | Offered | Withdrawn | Claimed | Connected | Returned | Announce | Left | OperatorChanged
Membership = Mapping[str, int]
"""Operators by name, with their penalty."""
