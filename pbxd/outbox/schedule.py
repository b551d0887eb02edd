"""Who is tried when: a machine without clock or network. `now` is monotonic seconds, chance comes in as `roll` in 0…1.

An item that fails waits for its next pause. A destination where everyone would fail rests as a whole: then one item is
tried at a time, after 5 s, 10 s … 300 s, and the others wait without using up their tries. So a dead server costs one
connection, and items for other places never wait for it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from pbxd.outbox.verdict import Outcome, Verdict

FIRST_REST_S = 5.0
LAST_REST_S = 300.0
MAX_RETRY_AFTER_S = 14_400.0
JITTER = 0.2  # of a pause, both ways


@dataclass(frozen=True, slots=True)
class Rules:
    """`retry_s` are the pauses after each failure, the last of them again and again; nothing is tried once it is older
    than `max_age_s`. `per_destination` and `total` bound the deliveries under way, `max_waiting` how many there may
    be, `max_bytes` the size of one. What has ended can be looked at for `keep_s`."""

    retry_s: tuple[int, ...] = (60, 300, 900, 3600, 14_400)
    max_age_s: float = 172_800.0
    per_destination: int = 2
    total: int = 64
    max_waiting: int = 10_000
    max_bytes: int = 10_000_000
    keep_s: float = 604_800.0


@dataclass(slots=True)
class Entry:
    """What the schedule knows of an item. `born` and `due` are monotonic."""

    id: str
    destination: str
    attempts: int
    born: float
    due: float
    under_way: bool = False


@dataclass(slots=True)
class _Place:
    entries: int = 0
    under_way: int = 0
    failures: int = 0
    rests_until: float = float("-inf")
    ready: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done now: tries to begin, and items that grew too old while their destination rested."""

    start: tuple[Entry, ...]
    expired: tuple[Entry, ...]


class Schedule:
    """The items that have not ended. `rules` may be changed at any time."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._entries: dict[str, Entry] = {}
        self._places: dict[str, _Place] = {}
        self._waiting: list[tuple[float, str]] = []  # a heap; what no longer fits its entry is passed over
        self._under_way = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._entries

    def get(self, item_id: str) -> Entry | None:
        return self._entries.get(item_id)

    def oldest(self) -> float | None:
        """When the oldest item was born."""
        return min((entry.born for entry in self._entries.values()), default=None)

    def add(self, entry: Entry) -> None:
        """Take up an item, new or of an earlier run."""
        self._entries[entry.id] = entry
        self._places.setdefault(entry.destination, _Place()).entries += 1
        heapq.heappush(self._waiting, (entry.due, entry.id))

    def remove(self, item_id: str) -> Entry | None:
        """Let go of an item that is not under way; the entry, to be added again should that fail."""
        entry = self._entries.get(item_id)
        if entry is None or entry.under_way:
            return None
        self._forget(entry)
        return entry

    def hurry(self, item_id: str, now: float) -> None:
        """Try it at once, also where its destination rests."""
        entry = self._entries[item_id]
        self._places[entry.destination].rests_until = now
        entry.due = now
        heapq.heappush(self._waiting, (now, item_id))

    def rouse(self, destination: str, now: float) -> None:
        """A destination rests no longer."""
        if place := self._places.get(destination):
            place.rests_until = now

    def step(self, now: float) -> Step:
        """Begin what is due and allowed; what is returned in `start` is under way until `release`."""
        while self._waiting and self._waiting[0][0] <= now:
            due, item_id = heapq.heappop(self._waiting)
            if self._fits(due, item_id):
                place = self._places[self._entries[item_id].destination]
                heapq.heappush(place.ready, (due, item_id))
        started: list[Entry] = []
        expired: list[Entry] = []
        for place in sorted((one for one in self._places.values() if one.ready), key=lambda one: one.ready[0]):
            begun = self._begin(place, now)
            if begun and place.failures:
                expired += self._grown_old(place, now)
            started += begun
        return Step(tuple(started), tuple(expired))

    def _begin(self, place: _Place, now: float) -> list[Entry]:
        begun = []
        limit = 1 if place.failures else self.rules.per_destination
        while (
            place.ready and now >= place.rests_until and place.under_way < limit and self._under_way < self.rules.total
        ):
            due, item_id = heapq.heappop(place.ready)
            if not self._fits(due, item_id):
                continue
            entry = self._entries[item_id]
            entry.under_way = True
            entry.attempts += 1
            place.under_way += 1
            self._under_way += 1
            begun.append(entry)
        return begun

    def _grown_old(self, place: _Place, now: float) -> list[Entry]:
        old = [
            self._entries[item_id]
            for due, item_id in place.ready
            if self._fits(due, item_id) and now - self._entries[item_id].born >= self.rules.max_age_s
        ]
        for entry in old:
            self._forget(entry)
        return old

    def _fits(self, due: float, item_id: str) -> bool:
        entry = self._entries.get(item_id)
        return entry is not None and entry.due == due and not entry.under_way

    def next_try(self, item_id: str, now: float, roll: float, retry_after_s: float | None = None) -> float | None:
        """When an item that fails now is tried again; None when that try was its last."""
        entry = self._entries[item_id]
        pauses = self.rules.retry_s
        pause = pauses[min(max(entry.attempts, 1), len(pauses)) - 1] * (1 - JITTER + 2 * JITTER * roll)
        due = now + max(pause, min(retry_after_s or 0.0, MAX_RETRY_AFTER_S))
        return due if due - entry.born < self.rules.max_age_s else None

    def release(self, item_id: str, verdict: Verdict, now: float, due: float | None) -> None:
        """An item is no longer under way: it is tried again at `due`, or let go of when that is None."""
        entry = self._entries[item_id]
        place = self._places[entry.destination]
        self._set_down(entry, place)
        if verdict.outcome is Outcome.TEMPORARY and verdict.everyone:
            place.failures += 1
            first = min(FIRST_REST_S, self.rules.retry_s[0])
            place.rests_until = now + min(first * 2 ** min(place.failures - 1, 16), LAST_REST_S)
        else:
            place.failures = 0
            place.rests_until = now
        self._again(entry, due)

    def postpone(self, item_id: str, due: float) -> None:
        """A try that was begun did not happen, for a reason of our own."""
        entry = self._entries[item_id]
        entry.attempts -= 1
        self._set_down(entry, self._places[entry.destination])
        self._again(entry, due)

    def _set_down(self, entry: Entry, place: _Place) -> None:
        entry.under_way = False
        place.under_way -= 1
        self._under_way -= 1

    def _again(self, entry: Entry, due: float | None) -> None:
        if due is None:
            self._forget(entry)
        else:
            entry.due = due
            heapq.heappush(self._waiting, (due, entry.id))

    def _forget(self, entry: Entry) -> None:
        """Let go of an item, and of a destination that nobody is for."""
        del self._entries[entry.id]
        place = self._places[entry.destination]
        place.entries -= 1
        if not place.entries:
            del self._places[entry.destination]

    def timer(self) -> float | None:
        """When `step` has something to do next, if nothing else happens before."""
        while self._waiting and not self._fits(*self._waiting[0]):
            heapq.heappop(self._waiting)
        moments = [self._waiting[0][0]] if self._waiting else []
        if self._under_way < self.rules.total:
            moments += [
                place.rests_until
                for place in self._places.values()
                if place.ready and place.under_way < (1 if place.failures else self.rules.per_destination)
            ]
        return min(moments, default=None)
