"""A stolen password at night, and an office in its week: virtual time, the real rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from pbxd.directory.abroad import Abroad, abroad
from pbxd.directory.fraud import SETTLES_S, Fraud, Hours, Pattern, Rules, Verdict
from pbxd.errors import NotFound

BERLIN = ZoneInfo("Europe/Berlin")
RULES = Rules(home="DE", hours=Hours(timezone="Europe/Berlin"))
ANNA = ("acc_1", "1001")
BEN = ("acc_1", "1002")


def at(text: str) -> float:
    """Seconds since the epoch of a time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


MONDAY_3_AM = at("2026-03-02T03:00")
MONDAY_10_AM = at("2026-03-02T10:00")


@dataclass
class Caller:
    """Places calls one after the other."""

    fraud: Fraud
    who: tuple[str, str] = ANNA
    number: int = 0
    open: list[str] = field(default_factory=list)

    def call(self, number: str, wall: float, talked_s: float | None = 60.0, ended: float | None = None) -> Verdict:
        """Without `talked_s` it stays up."""
        self.number += 1
        key = f"{self.who}{self.number}"
        verdict = self.fraud.attempt(self.who, key, (number,), wall)
        if talked_s is not None:
            self.fraud.ended(key, talked_s, ended or wall + talked_s)
        return verdict


# ---- where a number leads


@pytest.mark.parametrize(
    ("numbers", "home", "found"),
    [
        (["+4930123456"], "DE", None),
        (["030123456"], "DE", None),
        (["004930123456"], "DE", None),
        (["110"], "DE", None),
        (["1002"], None, None),
        (["+4930123456"], None, Abroad("DE", "+493012")),
        (["0044 20 7946 0018"], "DE", Abroad("GB", "+442079")),
        (["+12025550123"], "DE", Abroad("US", "+120255")),
        (["+18095551234"], "US", Abroad("DO", "+180955")),  # the same code, another country
        (["+37128123456"], "DE", Abroad("LV", "+371281")),
        (["+88213123456"], "DE", Abroad("+882", "+882131")),
        (["+881612345678"], "DE", Abroad("+881", "+881612")),
        (["09001234567"], "DE", Abroad("DE", "+499001", premium=True)),
        (["+499001234567"], "DE", Abroad("DE", "+499001", premium=True)),
        (["9004420794600", "004420794600"], "DE", Abroad("GB", "+442079")),  # as it goes to the provider
        (["+"], "DE", Abroad("unknown", "+")),
        (["+999123456789"], "DE", Abroad("unknown", "+999123")),
        (["+1" * 40], "DE", Abroad("unknown", "+111111")),
    ],
)
def test_where_a_number_leads(numbers: list[str], home: str | None, found: Abroad | None) -> None:
    assert abroad(numbers, ("+", "00"), home) == found


def test_a_house_says_what_its_own_prefix_is() -> None:
    assert abroad(["011442079460018"], ("+", "011"), "US") == Abroad("GB", "+442079")
    assert abroad(["0119460018"], ("+", "00"), "IT") is None  # Torino


# ---- a night with a stolen password


def test_a_night_of_stolen_calls_is_stopped_after_the_configured_few() -> None:
    rng, fraud = Random(7), Fraud(RULES)
    thief, wall, through = Caller(fraud), MONDAY_3_AM, 0
    islands = ("+88213", "+2526", "+2377", "+37122", "+50937", "+8816", "+6742", "+4477")
    while wall < MONDAY_3_AM + 4 * 3600:
        number = rng.choice(islands) + "".join(rng.choices("0123456789", k=7))
        talked = rng.choice([0.0, 5.0, 300.0, 1800.0])
        through += thief.call(number, wall, talked).reason is None
        wall += rng.uniform(5, 40)
        fraud.tick(wall)
    assert through == RULES.night_calls
    (block,) = fraud.blocks.values()
    assert (block.pattern, block.caller) == (Pattern.NIGHT, "1001")
    assert "4 calls out of hours to countries never called before" in block.evidence
    assert block.refused > 300
    assert fraud.made[Pattern.NIGHT] == 1
    assert Caller(fraud).call("+4930123456", wall).reason is None  # at home anybody may call
    assert Caller(fraud, BEN).call("+442079460018", wall).reason is None  # and others anywhere


def test_a_block_ends_by_itself_and_the_next_night_is_no_better() -> None:
    fraud = Fraud(RULES)
    thief = Caller(fraud)
    for second in range(10):
        thief.call("+37122123456", MONDAY_3_AM + second)
    assert not fraud.tick(MONDAY_3_AM + 3 + RULES.block_s - 1)
    (over,) = fraud.tick(MONDAY_3_AM + 3 + RULES.block_s)
    assert (over.ended_by, over.refused) == ("time", 7)
    day = 86_400
    assert [thief.call("+37122123456", MONDAY_3_AM + day + s).reason is None for s in range(5)] == [True] * 3 + [
        False
    ] * 2


def test_who_calls_one_number_again_and_again_at_noon_is_stopped_too() -> None:
    fraud = Fraud(RULES)
    thief = Caller(fraud)
    verdicts = [thief.call(f"+3712212345{n % 10}", MONDAY_10_AM + 30 * n, 4.0) for n in range(20)]
    assert sum(verdict.reason is None for verdict in verdicts) == RULES.burst_calls
    assert fraud.made[Pattern.BURST] == 1
    assert verdicts[12].reason == "12 short calls to +371221 within 600 s"


def test_many_calls_at_a_time_to_one_range_are_stopped() -> None:
    fraud = Fraud(RULES)
    thief = Caller(fraud)
    verdicts = [thief.call(f"+3712212345{n}", MONDAY_10_AM + n, None) for n in range(8)]
    assert sum(verdict.reason is None for verdict in verdicts) == RULES.simultaneous
    assert next(iter(fraud.blocks.values())).evidence == "5 calls at a time to +371221"


def test_a_tour_of_the_world_within_an_hour_is_stopped() -> None:
    fraud = Fraud(RULES)
    thief = Caller(fraud)
    codes = ("371", "252", "237", "509", "674", "44", "33")
    verdicts = [thief.call(f"+{code}22123456", MONDAY_10_AM + 300 * n) for n, code in enumerate(codes)]
    assert [verdict.reason is None for verdict in verdicts] == [True] * 5 + [False] * 2
    assert fraud.made[Pattern.NEW_COUNTRIES] == 1


def test_a_rise_of_calls_and_one_of_minutes_are_seen() -> None:
    known = replace(RULES, known=frozenset({"GB"}))
    fraud = Fraud(known)
    busy = Caller(fraud)
    verdicts = [busy.call(f"+4420{n:08d}", MONDAY_10_AM + 60 * n, 40) for n in range(45)]
    assert sum(verdict.reason is None for verdict in verdicts) == 40
    assert verdicts[40].reason == "41 calls abroad within an hour, 0 was the most before"
    fraud = Fraud(known)
    busy = Caller(fraud)
    for n in range(8):
        busy.call(f"+442{n}79460018", MONDAY_10_AM + n, None)
    verdict = busy.call("+442979460018", MONDAY_10_AM + 1900, None)
    assert verdict.reason is not None
    assert verdict.reason.startswith("253 minutes abroad within an hour")


def test_what_was_busy_yesterday_is_usual_today_but_not_at_once() -> None:
    fraud = Fraud(replace(RULES, known=frozenset({"GB"})))
    sales = Caller(fraud)
    allowed = []
    for day, count in enumerate((40, 90, 150)):
        start = MONDAY_10_AM + day * 86_400
        results = [sales.call(f"+4420{n:08d}", start + 20 * n, 18) for n in range(count)]
        allowed.append(sum(verdict.reason is None for verdict in results))
    assert allowed == [40, 90, 150]  # each up to four times the busiest hour of the days before


# ---- what is learnt


def test_a_country_is_known_a_day_after_somebody_talked_to_it_in_office_hours() -> None:
    fraud = Fraud(RULES)
    Caller(fraud, BEN).call("+442079460018", MONDAY_10_AM)
    night = Caller(fraud)
    tuesday = [night.call("+442079460018", MONDAY_10_AM + 12 * 3600 + s).reason is None for s in range(5)]
    assert tuesday == [True] * 3 + [False] * 2  # ten in the evening of the same day: new yet
    fraud.tick(MONDAY_10_AM + 36 * 3600)
    late = MONDAY_10_AM + SETTLES_S + 12 * 3600 + 60
    assert [night.call("+442079460018", late + 60 * s).reason is None for s in range(8)] == [True] * 8


def test_who_calls_at_night_teaches_nothing() -> None:
    fraud = Fraud(RULES)
    Caller(fraud).call("+37122123456", MONDAY_3_AM)
    assert ("acc_1", "") not in fraud.habits
    assert set(fraud.changed) == {ANNA}  # how busy they were, but not with whom


def test_a_block_that_is_lifted_makes_its_countries_known() -> None:
    fraud = Fraud(RULES)
    anna = Caller(fraud)
    for second in range(5):
        anna.call("+37122123456", MONDAY_3_AM + second)
    (block,) = fraud.blocks.values()
    with pytest.raises(NotFound):
        fraud.lift("blk_other", "admin", MONDAY_3_AM + 9)
    assert fraud.lift(block.id, "admin", MONDAY_3_AM + 9) is block
    assert (block.ended_by, block.ended_at) == ("admin", MONDAY_3_AM + 9)
    assert all(anna.call("+37122123456", MONDAY_3_AM + 10 + 60 * n).reason is None for n in range(5))


def test_only_some_countries_may_be_called_where_that_is_said() -> None:
    fraud = Fraud(replace(RULES, allowed=frozenset({"AT", "CH"})))
    anna = Caller(fraud)
    assert anna.call("+4315123456", MONDAY_10_AM).reason is None
    assert anna.call("+442079460018", MONDAY_10_AM).reason == "calls to GB are not allowed"
    assert anna.call("030123456", MONDAY_10_AM).reason is None
    assert not fraud.blocks


def test_off_is_off() -> None:
    fraud = Fraud(replace(RULES, enabled=False, allowed=frozenset({"AT"})))
    assert all(Caller(fraud).call("+37122123456", MONDAY_3_AM + n, None).reason is None for n in range(50))


def test_the_memory_is_bounded() -> None:
    fraud = Fraud(replace(RULES, known=frozenset({"GB"}), rise_calls=10**6, rise_minutes=10.0**6))
    anna = Caller(fraud)
    for n in range(2000):
        anna.call(f"+4420{n:08d}", MONDAY_10_AM + n)
    assert len(fraud._calls[ANNA]) == 512
    assert not fraud._live
    fraud.tick(MONDAY_10_AM + 3 * 86_400)
    assert not fraud._calls


@pytest.mark.parametrize(
    ("when", "night"),
    [
        ("2026-03-02T06:59", True),
        ("2026-03-02T07:00", False),
        ("2026-03-02T19:59", False),
        ("2026-03-02T20:00", True),
        ("2026-03-07T12:00", True),  # Saturday
        ("2026-03-29T08:30", True),  # Sunday, and the clocks change
        ("2026-03-30T07:00", False),
    ],
)
def test_office_hours_are_those_of_the_account(when: str, night: bool) -> None:
    assert RULES.hours.at_night(at(when)) is night


def test_an_account_with_a_clock_of_its_own_goes_by_it() -> None:
    """Three at night in Berlin is eleven in the morning in Tokyo; and two in the afternoon is ten at night there."""
    zones = {"acc_2": "Asia/Tokyo"}
    for who, wall, night in (
        (ANNA, MONDAY_3_AM, True),
        (("acc_2", "1001"), MONDAY_3_AM, False),
        (ANNA, at("2026-03-02T14:00"), False),
        (("acc_2", "1001"), at("2026-03-02T14:00"), True),
    ):
        caller = Caller(Fraud(RULES, zones.get), who)
        verdicts = [caller.call(f"+4420555000{n}", wall + 60 * n) for n in range(5)]
        assert [verdict.reason is None for verdict in verdicts] == ([True] * 3 + [False] * 2 if night else [True] * 5)
        assert {block.pattern for block in caller.fraud.blocks.values()} == ({Pattern.NIGHT} if night else set())


# ---- an office in its week


def office(rng: Random) -> Iterator[tuple[float, tuple[str, str], str, float]]:
    """(wall, who, number, seconds): forty people for four weeks, by the default rules."""
    start = datetime(2026, 3, 2, tzinfo=BERLIN)
    usual = ("+4420", "+3314", "+4315", "+4144", "+12025", "+3902")
    for day in range(28):
        date = start + timedelta(days=day)
        weekend = date.weekday() >= 5
        for person in range(40):
            who = ("acc_1", f"10{person:02d}")
            traveller = person < 4  # sales: many calls abroad
            count = rng.randrange(0, 2 if weekend else (35 if traveller else 12))
            for _ in range(count):
                hour = rng.choice((8, 9, 9, 10, 10, 11, 11, 13, 14, 14, 15, 16, 17, 18, 21))
                wall = (date + timedelta(hours=hour, minutes=rng.randrange(60), seconds=rng.randrange(60))).timestamp()
                share = 0.7 if traveller else 0.1
                country = rng.choice(usual[:2] if hour == 21 else usual) if rng.random() < share else "+4930"
                if hour == 10 and rng.random() < 0.01:
                    country = rng.choice(("+81335", "+5511", "+972", "+27215", "+61298"))
                number = country + "".join(rng.choices("0123456789", k=6))
                yield wall, who, number, rng.choice((0.0, 0.0, 20.0, 90.0, 300.0, 1500.0))


@pytest.mark.parametrize("seed", range(5))
def test_an_office_is_never_blocked(seed: int) -> None:
    fraud = Fraud(RULES)
    live: list[tuple[float, str, float]] = []
    calls = sorted(office(Random(seed)))
    abroad_count = 0
    for number, (wall, who, dialled, seconds) in enumerate(calls):
        for ended in sorted(one for one in live if one[0] <= wall):
            fraud.ended(ended[1], ended[2], ended[0])
            live.remove(ended)
        fraud.tick(wall)
        verdict = fraud.attempt(who, str(number), (dialled,), wall)
        assert verdict.reason is None, (wall, who, dialled, verdict)
        abroad_count += not dialled.startswith("+4930")
        live.append((wall + 15 + seconds, str(number), seconds))
    assert abroad_count > 500
    assert not fraud.blocks
    assert set(fraud.habits["acc_1", ""].countries) >= {"GB", "FR", "AT", "CH", "US", "IT"}
