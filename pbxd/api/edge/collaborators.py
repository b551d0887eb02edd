"""What the edge works with, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from pbxd.api.house.collaborators import Door
from pbxd.calls.gate import Gate
from pbxd.calls.record import CallRecord
from pbxd.calls.routing import Hours
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account
from pbxd.directory.remote import RemoteDigests
from pbxd.directory.reports import Reports
from pbxd.flows.sessions import FlowSessions
from pbxd.objects import Objects
from pbxd.services.cdr import CallRecords
from pbxd.services.monitor import Monitor
from pbxd.services.prompts import SystemPrompts
from pbxd.services.queues import Queues
from pbxd.services.reach import NodeContact, Reach
from pbxd.services.remote import RemoteCalls
from pbxd.services.remote.kept import Kept
from pbxd.services.traces import Traces


@dataclass(slots=True)
class MediaDesk:
    """What `/media` and `/admin/tts` work with. `message` finds the sound of the message that a call (an account's id,
    the call's) left in a mailbox; no object is larger than `most_octets`."""

    objects: Objects
    prompts: SystemPrompts
    message: Callable[[str, str], Path | None]
    most_octets: int


@dataclass(frozen=True, slots=True)
class Edge:
    """The collaborators. `wall` is the time in seconds since the epoch, `now` monotonic."""

    directory: Directory
    digests: RemoteDigests
    calls: RemoteCalls
    kept: Kept
    reach: Reach
    flows: FlowSessions
    flow_names: Callable[[Account], Collection[str]]  # the flows that an account may use
    housed: Callable[[Account, float], Sequence[NodeContact]]  # what is registered at the house itself, at a time
    live_record: Callable[[str], CallRecord | None]  # of a call that is up, by its id in the house
    live_records: Callable[[], Sequence[CallRecord]]  # of all calls that are up, here and at nodes
    gate: Gate
    door: Door
    reports: Reports
    phones_at: Callable[[float], Collection[str]]  # the addresses (IP literals) that phones are registered from
    node: str  # what the house calls itself
    records: CallRecords
    traces: Traces
    queues: Queues
    flush: Callable[[], None]  # sends what SIP has to say by now
    media: MediaDesk
    monitor: Monitor
    hours: Hours
    wall: Callable[[], float]
    now: Callable[[], float]
