"""What the watch for fraud knows outlives the house, and is told: on the bus, in the log, by mail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from sqlalchemy import insert

from pbxd.config import Config, ConfigError, load
from pbxd.directory.fraud import Outward, Pattern, Rules
from pbxd.directory.watch import CallerBlocked, CallerUnblocked, FraudWatch
from pbxd.errors import NotFound, Unavailable
from pbxd.events import Bus
from pbxd.outbox import Letter, Outbox
from pbxd.store import Store
from pbxd.store.schema import fraud_blocks, fraud_habits
from pbxd.vigil import Vigil, letter_of, rules_of
from tests.directory.test_fraud import MONDAY_3_AM, MONDAY_10_AM, RULES

DAY = 86_400


def outward(number: int, called: str = "+37122123456") -> Outward:
    return Outward(f"call_{number}", "acc_1", "1001", (called,))


def steal(watch: FraudWatch, wall: float = MONDAY_3_AM) -> list[bool]:
    """Which of five calls are let through."""
    return [watch.attempt(outward(number), wall + number) is None for number in range(5)]


async def loaded(store: Store, wall: float, bus: Bus | None = None) -> FraudWatch:
    watch = FraudWatch(store, bus or Bus(), RULES)
    await watch.load(wall)
    return watch


async def test_a_block_outlives_the_house_and_ends_in_time(store: Store) -> None:
    bus, told = Bus(), list[str]()
    bus.subscribe(CallerBlocked, lambda event: told.append(f"blocked {event.block.caller}"))
    bus.subscribe(CallerUnblocked, lambda event: told.append(f"free by {event.block.ended_by}"))
    watch = await loaded(store, MONDAY_3_AM, bus)
    assert steal(watch) == [True] * 3 + [False] * 2
    await store.drain()
    later = await loaded(store, MONDAY_3_AM + 60, bus)
    (block,) = later.blocks()
    assert (block.pattern, block.caller, block.ended_at) == (Pattern.NIGHT, "1001", None)
    assert later.attempt(outward(9), MONDAY_3_AM + 60) is not None
    later.tick(block.until)
    await store.drain()
    assert told == ["blocked 1001", "free by time"]
    (ended,) = (await loaded(store, block.until + 1)).blocks()
    assert (ended.ended_by, ended.refused) == ("time", 2)  # the first one, and one after the restart
    assert not (await loaded(store, block.until + 1)).fraud.blocks


async def test_a_block_whose_time_ran_out_while_nobody_was_here_is_over(store: Store) -> None:
    watch = await loaded(store, MONDAY_3_AM)
    steal(watch)
    await store.drain()
    later = await loaded(store, MONDAY_3_AM + DAY)
    assert not later.fraud.blocks
    assert len(later.blocks()) == 1


async def test_what_was_learnt_outlives_the_house(store: Store) -> None:
    watch = await loaded(store, MONDAY_10_AM)
    assert watch.attempt(outward(1), MONDAY_10_AM) is None
    watch.ended("call_1", 60.0, MONDAY_10_AM + 60)
    watch.tick(MONDAY_10_AM + 60)
    await store.drain()
    later = await loaded(store, MONDAY_10_AM + DAY)
    habits = later.fraud.habits["acc_1", ""]
    assert habits.countries == {"LV": MONDAY_10_AM}
    assert later.fraud.habits["acc_1", "1001"].seen_calls == 1
    assert steal(later, MONDAY_10_AM + DAY + 12 * 3600) == [True] * 4 + [False]  # known; but five at a time


async def test_a_lift_is_kept_with_what_it_taught(store: Store) -> None:
    watch = await loaded(store, MONDAY_3_AM)
    steal(watch)
    (block,) = watch.blocks()
    with pytest.raises(NotFound):
        watch.lift("blk_x", "anna", MONDAY_3_AM + 10)
    assert watch.lift(block.id, "anna", MONDAY_3_AM + 10).ended_by == "anna"
    await store.drain()
    later = await loaded(store, MONDAY_3_AM + 20)
    assert [block.ended_by for block in later.blocks()] == ["anna"]
    assert later.attempt(outward(8), MONDAY_3_AM + 20) is None


async def test_what_the_store_spoils_is_left_alone(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    habit = {"account_id": "a", "caller": "x", "calls": 1, "minutes": 1.0, "seen_calls": 1, "seen_minutes": 1.0,
        "since": 0.0}  # fmt: skip
    block = {"account_id": "a", "caller": "x", "evidence": "", "since": 0.0, "until": 9e9, "refused": 1}
    await store.commit([
        (insert(fraud_habits), habit | {"id": "h1", "countries": "{"}),
        (insert(fraud_blocks), block | {"id": "b1", "pattern": "moon"}),
    ])  # fmt: skip
    watch = await loaded(store, MONDAY_3_AM)
    assert not watch.fraud.habits
    assert not watch.blocks()
    assert "the habits h1 of the store are not readable" in caplog.text
    assert "the block b1 of the store is not readable" in caplog.text


# ---- the settings and the mail


def settings(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "fraud.yaml"
    file.write_text(f"security: {{fraud: {{{text}}}}}\n")
    return load(file)


def test_the_defaults_of_the_file_are_those_of_the_rules() -> None:
    assert rules_of(Config().security.fraud) == Rules()


def test_settings_become_rules(tmp_path: Path) -> None:
    rules = rules_of(
        settings(
            tmp_path,
            "country: US, prefixes: ['+', '011'], allowed: [US, CA], known: ['+881'], night_calls: 1, "
            "hours: {opens: '08:30', closes: '24:00', days: [mon, sun], timezone: America/New_York}",
        ).security.fraud
    )
    assert (rules.home, rules.prefixes, rules.night_calls) == ("US", ("+", "011"), 1)
    assert set(rules.allowed) == {"US", "CA"}
    assert set(rules.known) == {"+881"}
    hours = rules.hours
    assert (hours.opens, hours.closes, set(hours.days), hours.timezone) == (510, 1440, {0, 6}, "America/New_York")


@pytest.mark.parametrize(
    "text",
    [
        "country: Germany",
        "hours: {opens: '20:00', closes: '07:00'}",
        "hours: {timezone: Mars/Olympus}",
        "prefixes: []",
        "allowed: [de]",
        "night_calls: 0",
        "mail_to: nobody",
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        settings(tmp_path, text)


class Post:
    """An outbox that keeps letters, or is away."""

    def __init__(self, away: bool = False) -> None:
        self.letters: list[tuple[str, Letter, str]] = []
        self._away = away

    async def put_letter(self, account_id: str, letter: Letter, key: str, summary: str) -> None:
        if self._away:
            raise Unavailable("mail cannot be sent: no mail server is configured (mail.server)")
        self.letters.append((account_id, letter, key))


@pytest.mark.parametrize("mail_to", ["ops@example.com", None])
async def test_a_block_is_mailed_to_whom_the_settings_say(store: Store, tmp_path: Path, mail_to: str | None) -> None:
    text = "country: DE, hours: {timezone: Europe/Berlin}" + (f", mail_to: {mail_to}" if mail_to else "")
    vigil, post = Vigil(settings(tmp_path, text), store, Bus(), print), Post()
    vigil.outbox = cast(Outbox, post)
    steal(vigil.watch)
    await vigil.settle()
    if mail_to is None:
        assert not post.letters
        return
    ((account, letter, key),) = post.letters
    (block,) = vigil.watch.blocks()
    assert (account, letter.to, key) == ("acc_1", "ops@example.com", f"fraud-{block.id}")
    assert letter.subject == "pbxd: calls abroad of 1001 are blocked"
    assert "4 calls out of hours to countries never called before: LV" in letter.text
    assert f"pbxd fraud release {block.id}" in letter.text


async def test_a_mail_that_cannot_be_sent_stops_nothing(store: Store, tmp_path: Path) -> None:
    text = "country: DE, hours: {timezone: Europe/Berlin}, mail_to: ops@example.com"
    vigil = Vigil(settings(tmp_path, text), store, Bus(), print)
    vigil.outbox = cast(Outbox, Post(away=True))
    steal(vigil.watch)
    await vigil.settle()
    assert len(vigil.watch.blocks()) == 1


@pytest.mark.parametrize("end_calls", [True, False])
async def test_calls_abroad_that_are_up_are_ended_once_each(store: Store, tmp_path: Path, end_calls: bool) -> None:
    text = "country: DE, hours: {timezone: Europe/Berlin}" + ("" if end_calls else ", end_calls: false")
    ended: list[str] = []
    vigil = Vigil(settings(tmp_path, text), store, Bus(), ended.append)
    for key in ("call_a", "call_b/1", "call_b/2", "call_c", "call_d"):
        other = "1002" if key == "call_c" else "1001"
        vigil.watch.attempt(Outward(key, "acc_1", other, ("+37122123456",)), MONDAY_3_AM)
        assert not ended
    await asyncio.sleep(0)
    assert ended == (["call_a", "call_b"] if end_calls else [])


def test_a_reload_changes_the_rules(tmp_path: Path) -> None:
    vigil = Vigil(settings(tmp_path, "night_calls: 2"), cast(Store, _NoStore()), Bus(), print)
    vigil.apply(settings(tmp_path, "night_calls: 7"))
    assert vigil.watch.fraud.rules.night_calls == 7


class _NoStore:
    def upsert(self, _table: object) -> None:
        """Nothing is written."""


def test_a_caller_cannot_put_lines_into_the_mail() -> None:
    watch = FraudWatch(cast(Store, _NoStore()), Bus(), RULES)
    verdict = None
    for number in range(5):
        verdict = watch.fraud.attempt(("a", "evil\r\nBcc: x"), str(number), ("+37122123456",), MONDAY_3_AM)
        if verdict.block is not None:
            break
    assert verdict is not None
    assert verdict.block is not None
    assert "\n" not in letter_of("ops@example.com", verdict.block).subject
