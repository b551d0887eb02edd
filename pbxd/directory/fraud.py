"""Toll fraud: whose stolen password calls dear numbers, seen by what no normal phone does.

Four patterns, each of one caller and of calls abroad or at premium rates alone: countries that the account has never
called, at night or many of them at once; a burst of short calls, or many at a time, to one range of numbers; and an
hour far above the busiest so far. Whoever shows one is blocked from such calls for a time. Times are seconds since the
epoch; nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from pbxd.directory.abroad import Abroad, abroad
from pbxd.errors import NotFound
from pbxd.ids import new_id

HOUR_S = 3600.0
NIGHT_S = 43_200.0
SETTLES_S = 86_400.0  # a country is known a day after it was first talked to
REMEMBERED = 512  # calls of one caller
MAX_ENDED = 500  # blocks that can be looked at
WHOLE_ACCOUNT = ""

Who = tuple[str, str]  # account id, caller


class Pattern(StrEnum):
    """What gave a caller away."""

    NIGHT = "night"
    NEW_COUNTRIES = "new_countries"
    BURST = "burst"
    SIMULTANEOUS = "simultaneous"
    RISE = "rise"


@dataclass(frozen=True, slots=True)
class Hours:
    """When people are at work: minutes of the day from `opens` to `closes`, on `days` (0 is Monday), in `timezone`;
    that of the machine where it is None."""

    opens: int = 7 * 60
    closes: int = 20 * 60
    days: frozenset[int] = frozenset(range(5))
    timezone: str | None = None

    def at_night(self, wall: float, timezone: str | None = None) -> bool:
        """Whether nobody is at work; by the clock of `timezone`, where an account has one of its own."""
        zone = timezone or self.timezone
        local = datetime.fromtimestamp(wall, ZoneInfo(zone) if zone else None)
        minute = local.hour * 60 + local.minute
        return local.weekday() not in self.days or not self.opens <= minute < self.closes


@dataclass(frozen=True, slots=True)
class Rules:
    """From where on it is too much. Counts are the calls that are still let through."""

    enabled: bool = True
    home: str | None = None
    prefixes: tuple[str, ...] = ("+", "00")
    allowed: frozenset[str] = frozenset()  # empty: every country
    known: frozenset[str] = frozenset()  # never new
    hours: Hours = Hours()
    night_calls: int = 3
    new_countries: int = 5
    burst_calls: int = 12
    burst_s: float = 600.0
    short_s: float = 15.0
    simultaneous: int = 4
    rise_calls: int = 40
    rise_minutes: float = 240.0
    rise_factor: float = 4.0
    block_s: float = NIGHT_S


@dataclass(frozen=True, slots=True)
class Outward:
    """A call that leaves the house. `caller` is the user, or where the call came from; `numbers` is whom they call, as
    dialled and as it goes to the provider; `key` names the call until it is over."""

    key: str
    account_id: str
    caller: str
    numbers: tuple[str, ...]

    @property
    def who(self) -> Who:
        """Whose habits it is held against."""
        return self.account_id, self.caller


@dataclass(slots=True)
class Block:
    """A caller who may not call abroad until `until`."""

    id: str
    account_id: str
    caller: str
    pattern: Pattern
    evidence: str
    since: float
    until: float
    refused: int = 0
    ended_at: float | None = None
    ended_by: str | None = None


@dataclass(slots=True)
class Habits:
    """What is usual: of an account the countries it calls, each since when; of a caller the calls and minutes of the
    busiest hour. What was seen within the last day, from `since` on, is not usual yet."""

    account_id: str
    caller: str
    countries: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    minutes: float = 0.0
    seen_calls: int = 0
    seen_minutes: float = 0.0
    since: float = 0.0

    def settle(self, wall: float) -> None:
        """What was seen a day ago is usual by now."""
        if self.since + SETTLES_S > wall:
            return
        self.calls, self.minutes = max(self.calls, self.seen_calls), max(self.minutes, self.seen_minutes)
        self.seen_calls, self.seen_minutes, self.since = 0, 0.0, wall


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is why a call may not be; `block` what was made of it, when it is new."""

    reason: str | None = None
    block: Block | None = None


@dataclass(slots=True)
class _Call:
    key: str
    at: float
    to: Abroad
    new: bool
    night: bool
    ended: bool = False
    short: bool = False
    minutes: float = 0.0


class Fraud:
    """The memory of who called what. `rules` may be replaced at any time, `changed` are habits yet to be kept. `zone`
    gives an account's own timezone, by its id; None where the rules have it."""

    def __init__(self, rules: Rules, zone: Callable[[str], str | None] = lambda _account_id: None) -> None:
        self.rules = rules
        self._zone = zone
        self.habits: dict[Who, Habits] = {}
        self.changed: dict[Who, Habits] = {}
        self.blocks: dict[Who, Block] = {}
        self.ended_blocks: deque[Block] = deque(maxlen=MAX_ENDED)
        self.made: dict[Pattern, int] = dict.fromkeys(Pattern, 0)
        self._calls: dict[Who, deque[_Call]] = {}
        self._live: dict[str, tuple[Who, _Call]] = {}

    # ---- calls

    def attempt(self, who: Who, key: str, numbers: Sequence[str], wall: float) -> Verdict:
        """Judges a call to `numbers`, forms of one, and counts it; `key` names it until it has `ended`."""
        rules = self.rules
        to = abroad(numbers, rules.prefixes, rules.home) if rules.enabled else None
        if to is None:
            return Verdict()
        block = self.blocks.get(who)
        if block is not None and block.until > wall:
            block.refused += 1
            return Verdict(f"calls abroad are blocked: {block.evidence}")
        if rules.allowed and to.country not in rules.allowed:
            return Verdict(f"calls to {to.country} are not allowed")
        night = rules.hours.at_night(wall, self._zone(who[0]))
        call = _Call(key, wall, to, self._is_new(who[0], to, wall), night)
        calls = self._calls.setdefault(who, deque(maxlen=REMEMBERED))
        calls.append(call)
        for pattern, evidence in self._patterns(who, call, calls, wall):
            calls.pop()
            return Verdict(evidence, self._block(who, pattern, evidence, wall))
        self._live[key] = who, call
        return Verdict()

    def ended(self, key: str, talked_s: float, wall: float) -> None:
        """A call is over; what was usual about it is learnt."""
        who, call = self._live.pop(key, (None, None))
        if who is None or call is None:
            return
        call.ended, call.minutes = True, talked_s / 60
        call.short = talked_s <= self.rules.short_s
        if talked_s > 0 and not call.night:
            account = self._habits((who[0], WHOLE_ACCOUNT))
            if call.to.country not in account.countries:
                account.countries[call.to.country] = call.at
                self.changed[who[0], WHOLE_ACCOUNT] = account
        self._learn(who, wall)

    def live(self, who: Who) -> list[str]:
        """The keys of a caller's calls abroad that are up."""
        return [key for key, (caller, _) in self._live.items() if caller == who]

    def tick(self, wall: float) -> list[Block]:
        """Ends the blocks whose time is over, and forgets callers who are quiet."""
        over = [self._end(who, "time", block.until) for who, block in list(self.blocks.items()) if block.until <= wall]
        for who in [who for who, calls in self._calls.items() if calls and calls[-1].at < wall - NIGHT_S]:
            if all(call.ended for call in self._calls[who]):
                del self._calls[who]
        return over

    def lift(self, block_id: str, by: str, wall: float) -> Block:
        """Ends a block; what led to it is forgotten, and the countries are known from now on. Raises NotFound."""
        who = next((who for who, block in self.blocks.items() if block.id == block_id), None)
        if who is None:
            raise NotFound("no such block is in force")
        account = self._habits((who[0], WHOLE_ACCOUNT))
        for call in self._calls.pop(who, ()):
            account.countries.setdefault(call.to.country, wall - SETTLES_S)
        self.changed[who[0], WHOLE_ACCOUNT] = account
        return self._end(who, by, wall)

    def restore(self, habits: Sequence[Habits], blocks: Sequence[Block], wall: float) -> None:
        """Takes up what was kept."""
        self.habits = {(one.account_id, one.caller): one for one in habits}
        for block in blocks:
            if block.ended_at is None and block.until > wall:
                self.blocks[block.account_id, block.caller] = block
            else:
                self.ended_blocks.append(block)

    # ---- inside

    def _patterns(self, who: Who, call: _Call, calls: deque[_Call], wall: float) -> Iterator[tuple[Pattern, str]]:
        """Each pattern that the calls show, this one among them, with its evidence."""
        rules, to = self.rules, call.to
        tonight = {one.to.country: one for one in calls if one.night and one.new and one.at > wall - NIGHT_S}
        at_night = sum(one.night and one.new and one.at > wall - NIGHT_S for one in calls)
        if call.night and call.new and at_night > rules.night_calls:
            yield Pattern.NIGHT, f"{at_night} calls out of hours to countries never called before: {_list(tonight)}"
        fresh = {one.to.country for one in calls if one.new and one.at > wall - HOUR_S}
        if call.new and len(fresh) > rules.new_countries:
            yield Pattern.NEW_COUNTRIES, f"{len(fresh)} countries never called before within an hour: {_list(fresh)}"
        same = [one for one in calls if one.to.range == to.range]
        short = sum(one.short and one.at > wall - rules.burst_s for one in same)
        if short >= rules.burst_calls:
            yield Pattern.BURST, f"{short} short calls to {to.range} within {rules.burst_s:.0f} s"
        live = sum(not one.ended for one in same)
        if live > rules.simultaneous:
            yield Pattern.SIMULTANEOUS, f"{live} calls at a time to {to.range}"
        count, minutes = _hour(calls, wall)
        usual = self._habits(who)
        usual.settle(wall)
        if count > max(rules.rise_calls, rules.rise_factor * usual.calls):
            yield Pattern.RISE, f"{count} calls abroad within an hour, {usual.calls} was the most before"
        if minutes > max(rules.rise_minutes, rules.rise_factor * usual.minutes):
            yield Pattern.RISE, f"{minutes:.0f} minutes abroad within an hour, {usual.minutes:.0f} was the most before"

    def _is_new(self, account_id: str, to: Abroad, wall: float) -> bool:
        if to.country in self.rules.known:
            return False
        habits = self.habits.get((account_id, WHOLE_ACCOUNT))
        since = habits.countries.get(to.country) if habits is not None else None
        return since is None or since + SETTLES_S > wall

    def _habits(self, who: Who) -> Habits:
        return self.habits.setdefault(who, Habits(*who))

    def _learn(self, who: Who, wall: float) -> None:
        """The hour that ends now was allowed: from tomorrow on it is the measure of others."""
        count, minutes = _hour(self._calls.get(who, ()), wall)
        habits = self._habits(who)
        habits.settle(wall)
        if count > habits.seen_calls or minutes > habits.seen_minutes:
            habits.seen_calls, habits.seen_minutes = max(habits.seen_calls, count), max(habits.seen_minutes, minutes)
            self.changed[who] = habits

    def _block(self, who: Who, pattern: Pattern, evidence: str, wall: float) -> Block:
        block = Block(new_id("blk", wall), *who, pattern, evidence, wall, wall + self.rules.block_s, refused=1)
        self.blocks[who] = block
        self.made[pattern] += 1
        return block

    def _end(self, who: Who, by: str, wall: float) -> Block:
        block = self.blocks.pop(who)
        block.ended_at, block.ended_by = wall, by
        self.ended_blocks.append(block)
        return block


def _hour(calls: Sequence[_Call] | deque[_Call], wall: float) -> tuple[int, float]:
    """Calls begun within an hour, and the minutes of those that have ended."""
    recent = [one for one in calls if one.at > wall - HOUR_S]
    running = sum((wall - one.at) / 60 for one in recent if not one.ended)
    return len(recent), running + sum(one.minutes for one in recent)


def _list(countries: Sequence[str] | set[str] | dict[str, _Call]) -> str:
    return ", ".join(sorted(countries)[:8])
