"""What holds in a conference room, and what happens there, as others hear of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from media.rooms import Room


class Announce(StrEnum):
    """How those in a room hear who comes and goes."""

    NONE = "none"
    BEEP = "beep"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class ConferenceRules:
    """The rules of one room. `pin` lets members in, `host_pin` hosts; None asks nobody. `music` is the folder for those
    who wait, where it is not the account's."""

    pin: str | None = None
    host_pin: str | None = None
    wait_for_host: bool = False
    max_members: int = 100
    announce: Announce = Announce.BEEP
    muted: bool = False
    record: bool = False
    music: str | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ConferenceRules:
        """From the options of an extension, which the configuration has checked."""
        return cls(**{**options, "announce": Announce(options.get("announce", Announce.BEEP))})


class ConferenceChange(StrEnum):
    OPENED = "opened"
    JOINED = "joined"
    LEFT = "left"
    TALKING = "talking"
    SILENT = "silent"
    CHANGED = "changed"  # muted, deafened, louder, locked, recorded
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class ConferenceChanged:
    """Published on the bus. `call_id` is that of the member it is about, or empty."""

    change: ConferenceChange
    account_id: str
    room: str
    call_id: str = ""


class RoomRecorder(Protocol):
    """Who records a conference when its rules, a host or the API want that."""

    def begin_room(self, account_id: str, name: str, room: Room, on_end: Callable[[], None]) -> str:
        """The id of the recording; `on_end` is told when it has ended. Raises Unavailable."""

    def stop_room(self, recording_id: str) -> None:
        """Ends it; one that has ended is passed over."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member, as the API shows it."""

    call_id: str
    caller: str
    caller_name: str
    host: bool
    muted: bool
    deaf: bool
    gain_db: float
    talking: bool
    joined_at: float


@dataclass(frozen=True, slots=True)
class ConferenceView:
    """One room, as the API shows it."""

    name: str
    account_id: str
    locked: bool
    recording: str | None
    opened_at: float
    members: tuple[MemberView, ...]
    waiting: int
