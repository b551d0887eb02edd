"""Many accounts in one directory: each with its own of everything, none with anything of another's."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dialplan.hours import Moment, Opening
from pbxd.directory.accounts import Directory
from pbxd.directory.keys import Keys
from pbxd.directory.model import Account, Destination, DestinationKind
from pbxd.sip.digest import ha1
from pbxd.store import Store
from pbxd.store.schema import accounts, devices, domains, users
from pbxd.store.tenancy import numbers
from tests.directory.conftest import TEXT, WALL, Configure

OTHER = """
accounts:
  other:
    domains: [other.lab, sip.other.lab]
    phones:
      "1001": {password: other-1001, name: Otto, forward_busy: "1002", operator: true}
      "1002": {password: other-1002, mailbox: "1001"}
    mailboxes:
      "1001": {pin: "4711"}
    conferences:
      "700-701": {}
    schedules:
      shop: {timezone: Europe/Berlin, weekly: {mon-fri: "09:00-17:00"}, dates: {12-25: holiday}}
    numbers:
      "+12025550124": {user: "1001", schedule: shop, closed: {voicemail: "1001"}, max_channels: 2}
    ring_groups:
      all: {members: ["1001", "1002"]}
    queues:
      help: {members: ["1002"], max_wait_s: 60}
    call_limits:
      b: {scope: user, max: 2}
      a: {scope: account, direction: inbound, max: 10, period_s: 60, hard: false}
    trunks:
      gate: {proxy: "sip:192.0.2.9", sources: [192.0.2.9], register: {username: us, password: for-the-provider}}
    routes:
      - {match: "0.", trunk: gate}
    keys:
      theirs: {secret: other-secret, scopes: ["calls:read"]}
"""


@pytest.fixture
async def house(store: Store, configure: Configure) -> Directory:
    return await Directory.load(store, configure(TEXT + OTHER), WALL)


def other_of(house: Directory) -> Account:
    found = house.account_named("other")
    assert found is not None
    assert house.account_named(found.id) is found
    return found


async def test_an_account_is_known_by_its_domains(house: Directory) -> None:
    other = other_of(house)
    assert (other.name, other.realm, other.domain) == ("other", "other.lab", "other.lab")
    assert [house.account_for_host(host).slug for host in ("other.lab", "SIP.other.lab.", "nobody.test")] == [
        "other", "other", "lab",
    ]  # fmt: skip
    assert house.is_foreign(house.default_account, "other.lab")
    assert not house.is_foreign(other, "other.lab")
    assert not house.is_foreign(other, "127.0.0.1")  # the house's own address
    assert house.account_named("nobody") is None


async def test_the_same_extension_is_two_phones(house: Directory) -> None:
    lab, other = house.default_account, other_of(house)
    ours, theirs = house.device(lab, "1001"), house.device(other, "1001")
    assert ours is not None
    assert theirs is not None
    assert (ours.ha1_md5, theirs.ha1_md5) == (
        ha1("1001", "lab.example", "lab-1001"), ha1("1001", "other.lab", "other-1001"),
    )  # fmt: skip
    assert house.user(other, "1001") != house.user(lab, "1001")
    assert house.extension(other, "600") is None
    assert house.extension(lab, "701") is None
    assert house.extension(other, "701") is not None


async def test_a_phone_may_log_in_with_its_domain(house: Directory) -> None:
    other = other_of(house)
    device = house.login(other, "1001@other.lab")
    assert device is house.login(other, "1001")
    assert device is not None
    assert device.ha1("1001@other.lab", "SHA-256") == ha1("1001@other.lab", "other.lab", "other-1001", "SHA-256")
    assert device.ha1("1001", "MD5") == ha1("1001", "other.lab", "other-1001")
    for name in ("1001@lab.example", "1001@", "@other.lab", "1001@sip.other.lab", "2@other.lab", ""):
        assert house.login(other, name) is None
        assert device.ha1(name, "MD5") is None


async def test_each_account_has_its_own_of_everything(house: Directory) -> None:
    lab, other = house.default_account, other_of(house)
    user = house.user(other, "1001")
    assert user is not None
    assert (user.forward_busy, user.is_operator, user.dnd, user.mailbox) == ("1002", True, False, None)
    number = house.number("+12025550124")
    assert number is not None
    assert (number.account_id, number.max_channels) == (other.id, 2)
    assert (number.dest, number.closed) == (
        Destination(DestinationKind.USER, "1001"), Destination(DestinationKind.VOICEMAIL, "1001"),
    )  # fmt: skip
    assert house.numbers(other) == [number]
    assert [group.members for group in house.ring_groups(other)] == [("1001", "1002")]
    assert [queue.max_wait_s for queue in house.queues(other)] == [60]
    assert [(limit.name, limit.max_count, limit.period_s, limit.hard) for limit in house.limits(other)] == [
        ("a", 10, 60, False), ("b", 2, 0, True),
    ]  # fmt: skip
    for found in (house.numbers(lab), house.ring_groups(lab), house.queues(lab), house.schedules(lab)):
        assert found == []
    assert house.limits(lab) == ()
    assert set(house.mailboxes()) == {(other.id, "1001")}
    gate = house.trunk(other, "gate")
    assert gate is not None
    assert gate.register is not None
    assert house.trunk_for("192.0.2.9", None) is gate
    assert house.outbound(other, "0123") == (gate, "0123")
    assert house.outbound(lab, "0123") != (gate, "0123")
    assert gate in house.all_trunks()


async def test_a_schedule_is_evaluated_as_flows_do(house: Directory) -> None:
    spec = house.schedule(other_of(house), "shop")
    assert spec is not None
    assert spec.schedule.name == "shop"
    days = {"2026-11-23 10:00": Opening.OPEN, "2026-11-22 10:00": Opening.CLOSED, "2026-12-25 10:00": Opening.HOLIDAY}
    moments = {"2026-11-23 10:00": 1795424400, "2026-11-22 10:00": 1795338000, "2026-12-25 10:00": 1798189200}
    assert {day: spec.schedule.at(Moment(float(at))) for day, at in moments.items()} == days


async def test_pins_and_passwords_of_the_file_are_not_in_the_store(house: Directory, store: Store) -> None:
    assert house.mailboxes()
    text = ""
    for table in ("accounts", "users", "devices", "trunks", "mailbox_rules", "numbers"):
        rows = await store.rows(select(accounts.metadata.tables[table]))
        text += repr(rows)
    for secret in ("4711", "other-1001", "for-the-provider"):
        assert secret not in text


async def test_a_key_is_its_accounts(house: Directory, store: Store, configure: Configure) -> None:
    keys = await Keys.load(store, configure(TEXT + OTHER), house.ids, WALL)
    theirs, ours = keys.check("other-secret"), keys.check("lab-admin")
    assert theirs is not None
    assert ours is not None
    assert (theirs.account_id, ours.account_id) == (other_of(house).id, house.default_account.id)
    await keys.reload(configure(TEXT), house.ids, WALL)
    assert keys.check("other-secret") is None


async def test_an_account_that_is_declared_no_more_keeps_what_the_house_made(
    house: Directory, store: Store, configure: Configure
) -> None:
    other = other_of(house)
    ((made, _),) = await house.add_phones(other, ["1003"], WALL)
    await house.reload(configure(TEXT), WALL + 1)
    assert [phone.extension for phone in house.phones(other)] == [made]
    assert house.account_for_host("other.lab").slug == "lab"
    assert house.number("+12025550124") is None
    rows = await store.rows(select(accounts.c.slug, accounts.c.declared).order_by(accounts.c.slug))
    assert [tuple(row) for row in rows] == [("lab", True), ("other", False)]
    await house.reload(configure(TEXT + OTHER), WALL + 2)
    assert other_of(house).id == other.id
    assert [phone.extension for phone in house.phones(other)] == ["1001", "1002", "1003"]


async def test_a_number_moves_with_the_file(house: Directory, store: Store, configure: Configure) -> None:
    before = house.number("+12025550124")
    text = (TEXT + OTHER).replace('"+12025550124"', '"+12025550125"')
    await house.reload(configure('numbers:\n  "+12025550124": {user: "1001"}\n' + text), WALL + 1)
    after = house.number("+12025550124")
    assert before is not None
    assert after is not None
    assert after.account_id == house.default_account.id
    assert len(await store.rows(select(numbers))) == 2


async def test_rows_count_their_changes(house: Directory, store: Store, configure: Configure) -> None:
    async def revisions() -> dict[str, int]:
        found = await store.rows(select(users.c.name, users.c.revision).where(users.c.account_id == other_of(house).id))
        return {row.name: row.revision for row in found}

    assert await revisions() == {"1001": 1, "1002": 1}
    await house.reload(configure((TEXT + OTHER).replace("name: Otto", "name: Ottilie")), WALL + 1)
    assert await revisions() == {"1001": 2, "1002": 1}
    assert len(await store.rows(select(devices))) == 4
    assert len(await store.rows(select(domains))) == 4
