"""What the edge works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pbxd.calls.record import CallRecord
from pbxd.calls.routing import Hours, Route
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account
from pbxd.directory.remote import RemoteDigests
from pbxd.flows.sessions import FlowSessions
from pbxd.objects import Objects
from pbxd.services.cdr import CallRecords
from pbxd.services.monitor import Monitor
from pbxd.services.prompts import SystemPrompts
from pbxd.services.queues import Queues
from pbxd.services.reach import NodeContact, Reach
from pbxd.services.remote import RemoteCalls
from pbxd.services.traces import Traces


@dataclass(slots=True)
class MediaDesk:
    """What `/media` and `/admin/tts` work with. `message` finds the sound of the message that a call (an account's id,
    the call's) left in a mailbox; no object is larger than `most_octets`."""

    objects: Objects
    prompts: SystemPrompts
    message: Callable[[str, str], Path | None]
    most_octets: int


class Gate(Protocol):
    """Who lets calls in, within their limits."""

    def enter(self, record: CallRecord, user: str | None, trunk: str | None, found: Route, source: str) -> None:
        """Lets in a call that `user` or `trunk` begins, and counts it. Raises HouseError, and then holds nothing."""

    def leave(self, record: CallRecord, now: float) -> None:
        """A call is over: what it holds is given back."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The collaborators. `wall` is the time in seconds since the epoch, `now` monotonic."""

    directory: Directory
    digests: RemoteDigests
    calls: RemoteCalls
    reach: Reach
    flows: FlowSessions
    flow_names: Callable[[Account], Collection[str]]  # the flows that an account may use
    housed: Callable[[Account, float], Sequence[NodeContact]]  # what is registered at the house itself, at a time
    live_record: Callable[[str], CallRecord | None]  # of a call that is up, by its id in the house
    records: CallRecords
    traces: Traces
    queues: Queues
    flush: Callable[[], None]  # sends what SIP has to say by now
    media: MediaDesk
    monitor: Monitor
    hours: Hours
    wall: Callable[[], float]
    now: Callable[[], float]
    gate: Gate | None = None  # None: there are no limits
