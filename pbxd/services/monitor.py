"""The live monitor: what happens in the house, told as it happens to whoever watches. Nobody waits for a watcher, and
without one it costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pbxd.calls.admission import CallRefused
from pbxd.calls.record import CallChanged, CallRecord
from pbxd.directory.authentication import AuthenticationFailed
from pbxd.directory.bans import Banned, Unbanned
from pbxd.directory.doorman import PhoneMisconfigured, Slowed
from pbxd.directory.registrar import PhoneRegistered, PhoneUnregistered
from pbxd.directory.trunks import TrunkChanged
from pbxd.errors import Overloaded
from pbxd.events import Bus

MAX_WAITING = 1_000  # events that wait for one watcher
MAX_WATCHERS = 16
LOOK_S = 1.0  # between two looks at the counters of what was dropped

Told = dict[str, Any]
Tap = Callable[[Mapping[str, Any]], None]


class Topic(StrEnum):
    """What an event is about."""

    CALL = "call"
    REGISTRATION = "registration"
    TRUNK = "trunk"
    REFUSAL = "refusal"  # of a call, or of somebody's password
    DROP = "drop"  # of messages and packets: how many more
    BAN = "ban"
    LOG = "log"


@dataclass(slots=True, eq=False)
class Watcher:
    """Somebody who watches: the topics wanted, and the one account whose events these are; None sees all of the house.

    At most `MAX_WAITING` events wait; what does not fit is counted, and told in its place."""

    topics: frozenset[Topic] = frozenset(Topic)
    account_id: str | None = None
    lost: int = 0
    _waiting: deque[str] = field(default_factory=deque)
    _lost_now: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _over: bool = False

    def offer(self, text: str) -> None:
        """One event, as JSON."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            self._lost_now += 1
        else:
            self._waiting.append(text)
            self._news.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._news.set()

    async def next(self) -> list[str]:
        """What has come since the last time, waiting for it; nothing once it is over."""
        await self._news.wait()
        if not self._over:
            self._news.clear()
        texts = list(self._waiting)
        self._waiting.clear()
        if self._lost_now:
            texts.append(_text({"type": "lost", "count": self._lost_now}))
            self._lost_now = 0
        return texts


@dataclass(frozen=True, slots=True)
class Sights:
    """Where the monitor looks: the live calls, the counters of what was dropped by layer and reason, how many phones
    are registered, the time, and who lends an ear to the log for as long as somebody watches."""

    calls: Callable[[], Sequence[CallRecord]]
    drops: Callable[[], Mapping[str, Mapping[str, int]]]
    registered: Callable[[], int]
    wall: Callable[[], float]
    log: Callable[[Tap], AbstractContextManager[None]]


class Monitor:
    """Tells watchers. `watch` begins and `leave` ends; `stop` ends all."""

    def __init__(self, bus: Bus, sights: Sights) -> None:
        self._bus = bus
        self._sights = sights
        self._watchers: set[Watcher] = set()
        self._endings: list[Callable[[], None]] = []
        self._ear: AbstractContextManager[None] | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._seen: dict[tuple[str, str], int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._home = 0
        self._lost_by_others = 0
        self._stopped = False

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    @property
    def lost(self) -> int:
        """Events that watchers were too slow for, ever."""
        return self._lost_by_others + sum(watcher.lost for watcher in self._watchers)

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` from now on; first what there is. Raises Overloaded where too many watch."""
        if self._stopped or len(self._watchers) >= MAX_WATCHERS:
            raise Overloaded(f"{MAX_WATCHERS} watch already", retry_after_s=30)
        if not self._watchers:
            self._begin()
        self._watchers.add(watcher)
        calls = [_call(record) for record in self._sights.calls() if watcher.account_id in (None, record.account_id)]
        said = {"type": "hello", "at": self._sights.wall(), "calls": calls, "topics": sorted(watcher.topics)}
        if watcher.account_id is None:
            said["registrations"] = self._sights.registered()
        watcher.offer(_text(said))

    def leave(self, watcher: Watcher) -> None:
        """Tell it no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            self._lost_by_others += watcher.lost
            if not self._watchers:
                self._end()

    def stop(self) -> None:
        """All watchers have seen the end; nobody may watch any more."""
        self._stopped = True
        for watcher in self._watchers:
            watcher.end()

    # ---- while somebody watches

    def _begin(self) -> None:
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        tells: dict[type, Callable[[Any], None]] = {
            CallChanged: lambda event: self._tell(
                Topic.CALL, event.record.account_id, {"change": event.change.value, **_call(event.record)}
            ),
            PhoneRegistered: self._registered,
            PhoneUnregistered: self._unregistered,
            TrunkChanged: self._trunk,
            CallRefused: lambda event: self._tell(
                Topic.REFUSAL, None, {"what": "call", "source": event.source, "reason": event.reason}
            ),
            AuthenticationFailed: lambda event: self._tell(
                Topic.REFUSAL,
                None,
                {"what": "password", "source": event.source, "username": event.username, "reason": event.reason},
            ),
            PhoneMisconfigured: lambda event: self._tell(
                Topic.REFUSAL, None, {"what": "phone", "source": event.source, "username": event.username}
            ),
            Banned: lambda event: self._ban("banned", event.ban.name, event.ban.reason, event.ban.until),
            Unbanned: lambda event: self._ban("unbanned", event.ban.name, event.ban.ended_by, None),
            Slowed: lambda event: self._ban("slowed", event.name, event.cause.text, None),
        }
        self._endings = [self._bus.subscribe(kind, tell) for kind, tell in tells.items()]
        self._ear = self._sights.log(self._log)
        self._ear.__enter__()
        self._seen = self._drops()
        self._looking = self._loop.call_later(LOOK_S, self._look)

    def _end(self) -> None:
        for ending in self._endings:
            ending()
        self._endings = []
        if self._ear is not None:
            self._ear.__exit__(None, None, None)
        if self._looking is not None:
            self._looking.cancel()

    def _tell(self, topic: Topic, account_id: str | None, said: Told) -> None:
        """To all whom it concerns; what is of no account is for the house alone."""
        text: str | None = None
        for watcher in self._watchers:
            if topic in watcher.topics and watcher.account_id in (None, account_id):
                text = text or _text({"type": topic.value, "at": self._sights.wall(), "account": account_id, **said})
                watcher.offer(text)

    def _registered(self, event: PhoneRegistered) -> None:
        said = {"change": "registered", "user": event.aor.user, "contact": str(event.contact)}
        self._tell(
            Topic.REGISTRATION,
            event.aor.account_id,
            said | {"source": list(event.source), "transport": event.transport.value, "userAgent": event.user_agent},
        )

    def _unregistered(self, event: PhoneUnregistered) -> None:
        said = {"change": "unregistered", "user": event.aor.user, "contact": str(event.contact)}
        self._tell(Topic.REGISTRATION, event.aor.account_id, said | {"reason": event.reason.value})

    def _trunk(self, event: TrunkChanged) -> None:
        status = event.status
        self._tell(
            Topic.TRUNK,
            status.trunk.account_id,
            {"trunk": status.trunk.name, "state": status.state.value, "reason": status.reason},
        )

    def _ban(self, change: str, network: str, reason: str | None, until: float | None) -> None:
        self._tell(Topic.BAN, None, {"change": change, "network": network, "reason": reason, "until": until})

    def _log(self, line: Mapping[str, Any]) -> None:
        """A line of the log, from any thread."""
        if threading.get_ident() == self._home:
            self._logged(dict(line))
        elif self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._logged, dict(line))

    def _logged(self, line: Told) -> None:
        self._tell(Topic.LOG, None, {"line": line})

    def _drops(self) -> dict[tuple[str, str], int]:
        return {
            (layer, reason): count
            for layer, reasons in self._sights.drops().items()
            for reason, count in reasons.items()
        }

    def _look(self) -> None:
        found = self._drops()
        for (layer, reason), count in found.items():
            if more := count - self._seen.get((layer, reason), 0):
                self._tell(Topic.DROP, None, {"layer": layer, "reason": reason, "count": more})
        self._seen = found
        if self._loop is not None:
            self._looking = self._loop.call_later(LOOK_S, self._look)


def _call(record: CallRecord) -> Told:
    return {
        "id": record.id,
        "direction": record.direction.value,
        "caller": record.caller,
        "called": record.called,
        "startedAt": record.started_at,
        "answeredAt": record.answered_at,
        "endedAt": record.ended_at,
        "result": record.result.value if record.result else None,
        "sipStatus": record.sip_status,
        "reason": record.reason,
    }


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str).encode


def _text(said: Told) -> str:
    return _encode(said)
