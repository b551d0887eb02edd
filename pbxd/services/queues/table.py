"""The state machines of queues, in one place: a caller who waits, what an operator does, what an operator may do.

    caller     WAITING ⇄ OFFERED → CLAIMED → TALKING        (any → LEFT; CLAIMED → WAITING: the phone did not come)
    activity   WAITING ⇄ OFFERING → IN_CALL → WRAP_UP → WAITING
    status     OFFLINE → AVAILABLE ⇄ ON_BREAK               (any → OFFLINE)

A transition that is not here does not happen: it came too late, or is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Status(StrEnum):
    """What an operator said of themselves."""

    OFFLINE = "offline"
    AVAILABLE = "available"
    ON_BREAK = "on_break"


class Activity(StrEnum):
    """What an operator does."""

    WAITING = "waiting"
    OFFERING = "offering"
    IN_CALL = "in_call"
    WRAP_UP = "wrap_up"


class Control(StrEnum):
    """What an operator, or somebody for them, asks for."""

    LOGIN = "login"
    LOGOUT = "logout"
    AVAILABLE = "available"
    PAUSE = "pause"
    UNPAUSE = "unpause"


class Place(StrEnum):
    """How far a caller has come."""

    WAITING = "waiting"
    OFFERED = "offered"  # one phone or more ring
    CLAIMED = "claimed"  # one operator has it, and they do not hear each other yet
    TALKING = "talking"
    LEFT = "left"


class Step(StrEnum):
    """What happens to a caller."""

    OFFER = "offer"
    NOBODY = "nobody"  # the last phone that rang rings no more
    CLAIM = "claim"
    RETURN = "return"
    CONNECT = "connect"
    LEAVE = "leave"


class Turn(StrEnum):
    """What happens to an operator."""

    OFFERED = "offered"
    WITHDRAWN = "withdrawn"
    CLAIMED = "claimed"
    RETURNED = "returned"
    FINISHED = "finished"
    RESTED = "rested"


CALLER: Mapping[tuple[Place, Step], Place] = {
    (Place.WAITING, Step.OFFER): Place.OFFERED,
    (Place.OFFERED, Step.OFFER): Place.OFFERED,
    (Place.OFFERED, Step.NOBODY): Place.WAITING,
    (Place.WAITING, Step.CLAIM): Place.CLAIMED,
    (Place.OFFERED, Step.CLAIM): Place.CLAIMED,
    (Place.CLAIMED, Step.RETURN): Place.WAITING,
    (Place.CLAIMED, Step.CONNECT): Place.TALKING,
    **{(place, Step.LEAVE): Place.LEFT for place in Place if place is not Place.LEFT},
}

OPERATOR: Mapping[tuple[Activity, Turn], Activity] = {
    (Activity.WAITING, Turn.OFFERED): Activity.OFFERING,
    (Activity.OFFERING, Turn.WITHDRAWN): Activity.WAITING,
    (Activity.WAITING, Turn.CLAIMED): Activity.IN_CALL,
    (Activity.OFFERING, Turn.CLAIMED): Activity.IN_CALL,
    (Activity.IN_CALL, Turn.RETURNED): Activity.WAITING,
    (Activity.IN_CALL, Turn.FINISHED): Activity.WRAP_UP,
    (Activity.WRAP_UP, Turn.RESTED): Activity.WAITING,
}

STATUS: Mapping[tuple[Status, Control], Status] = {
    **{(status, Control.LOGIN): Status.AVAILABLE for status in Status},
    **{(status, Control.LOGOUT): Status.OFFLINE for status in Status},
    **{(status, Control.AVAILABLE): Status.AVAILABLE for status in Status},
    (Status.AVAILABLE, Control.PAUSE): Status.ON_BREAK,
    (Status.ON_BREAK, Control.PAUSE): Status.ON_BREAK,
    (Status.AVAILABLE, Control.UNPAUSE): Status.AVAILABLE,
    (Status.ON_BREAK, Control.UNPAUSE): Status.AVAILABLE,
}
