"""The registrar, by the clauses of RFC 3261 §10.3, in virtual time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from pbxd.config.schema import RegistrarLimits
from pbxd.directory import registrar as registrar_module
from pbxd.directory.binding import read_q
from pbxd.directory.model import Aor, Device
from pbxd.directory.registrar import (
    PhoneRegistered,
    PhoneUnregistered,
    RegisterOutcome,
    Registrar,
    UnregisterReason,
    http_date,
)
from pbxd.events import Bus
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.message import Request
from pbxd.store import Store
from pbxd.store.schema import bindings
from tests.directory.requests import request, tcp, udp

NOW, WALL = 1000.0, 1_800_000_000.0
AOR = Aor("acc_1", "1001")
DEVICE = Device("dev_1", "acc_1", "1001", "lab.example", "", "", "1001")
LIMITS = RegistrarLimits(min_expires_s=60, default_expires_s=3600, max_expires_s=7200, max_contacts=3)
HOME = "<sip:1001@10.0.0.9:5062>"


class House:
    """A registrar, what it published, and a phone's hand on it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = Bus()
        self.events: list[object] = []
        self.bus.subscribe(PhoneRegistered, self.events.append)
        self.bus.subscribe(PhoneUnregistered, self.events.append)
        self.registrar = Registrar(store, self.bus, LIMITS)
        self.cseq = 0

    def register(
        self,
        *contacts: str,
        now: float = NOW,
        flow: Flow | None = None,
        headers: Sequence[str] = (),
        call_id: str = "call-1",
        cseq: int | None = None,
        aor: Aor = AOR,
        device: Device = DEVICE,
    ) -> RegisterOutcome:
        self.cseq += 1
        asked = request(contacts=contacts, headers=headers, call_id=call_id, cseq=self.cseq if cseq is None else cseq)
        return self.registrar.register(aor, device, asked, flow or udp(), now, WALL + now - NOW)

    def contacts(self, now: float = NOW) -> list[str]:
        return [str(binding.contact) for binding in self.registrar.bindings(AOR, now)]

    def reasons(self) -> list[UnregisterReason]:
        return [event.reason for event in self.events if isinstance(event, PhoneUnregistered)]

    async def restarted(self, now: float = NOW) -> House:
        """Another process on the same store."""
        await self.store.drain()
        house = House(self.store)
        await house.registrar.load(now, WALL + now - NOW)
        return house


@pytest.fixture
def house(store: Store) -> House:
    return House(store)


def values(outcome: RegisterOutcome) -> list[str]:
    return [value for name, value in outcome.headers if name == "Contact"]


async def test_a_phone_registers_and_is_told_so(house: House) -> None:
    outcome = house.register(HOME, headers=["Expires: 600", "User-Agent: Desk 1"])
    assert (outcome.status, outcome.reason) == (200, None)
    assert outcome.headers == (
        ("Contact", "<sip:1001@10.0.0.9:5062>;expires=600"),
        ("Date", "Fri, 15 Jan 2027 08:00:00 GMT"),
    )
    (binding,) = house.registrar.bindings(AOR, NOW)
    assert (binding.user_agent, binding.expires, binding.expires_at) == ("Desk 1", NOW + 600, WALL + 600)
    assert house.events == [
        PhoneRegistered(AOR, binding.contact, ("10.0.0.9", 5062), Transport.UDP, "Desk 1"),
    ]
    assert len(house.registrar) == 1


async def test_a_refresh_is_no_news(house: House) -> None:
    house.register(HOME)
    (first,) = house.registrar.bindings(AOR, NOW)
    house.register(HOME, now=NOW + 3000)
    (second,) = house.registrar.bindings(AOR, NOW + 3000)
    assert first is second
    assert second.expires == NOW + 6600
    assert len(house.events) == 1


@pytest.mark.parametrize(
    ("contact", "headers", "granted"),
    [
        (HOME, [], 3600),  # ours
        (HOME, ["Expires: 120"], 120),
        (f"{HOME};expires=90", ["Expires: 120"], 90),  # the Contact's own word goes first
        (f"{HOME};expires=60", [], 60),
        (HOME, ["Expires: 100000"], 7200),  # shortened
        (f"{HOME};expires=99999999999999", [], 7200),
        (f"{HOME};expires=soon", [], 3600),  # nonsense is an hour (step 7)
        (HOME, ["Expires: soon"], 3600),
        (f"{HOME};expires", [], 3600),
    ],
)
async def test_how_long_a_registration_lasts(house: House, contact: str, headers: list[str], granted: int) -> None:
    assert values(house.register(contact, headers=headers)) == [f"{HOME};expires={granted}"]


@pytest.mark.parametrize("expires", [1, 59])
async def test_too_brief_is_a_423_and_changes_nothing(house: House, expires: int) -> None:
    house.register(HOME)
    outcome = house.register("<sip:1001@10.0.0.9:6000>", f"{HOME};expires={expires}")
    assert (outcome.status, outcome.headers) == (423, (("Min-Expires", "60"),))
    assert house.contacts() == ["sip:1001@10.0.0.9:5062"]


async def test_a_question_is_answered_with_all_contacts(house: House) -> None:
    assert values(house.register()) == []
    house.register(f"{HOME};q=0.5", '<sip:1001@10.0.0.9:5070>;q=0.7;+sip.instance="<urn:uuid:1>";methods="INVITE"')
    assert values(house.register(now=NOW + 100)) == [
        '<sip:1001@10.0.0.9:5070>;expires=3500;q=0.7;+sip.instance="<urn:uuid:1>";methods=INVITE',
        "<sip:1001@10.0.0.9:5062>;expires=3500;q=0.5",
    ]


async def test_the_most_wanted_contact_comes_first_then_the_latest(house: House) -> None:
    house.register("<sip:1001@10.0.0.9:1>;q=0.2", "<sip:1001@10.0.0.9:2>;q=0.9")
    house.register("<sip:1001@10.0.0.9:3>;q=0.9", now=NOW + 10)
    assert house.contacts(NOW + 10) == ["sip:1001@10.0.0.9:3", "sip:1001@10.0.0.9:2", "sip:1001@10.0.0.9:1"]


@pytest.mark.parametrize(
    ("text", "q"), [(None, 1000), ("1", 1000), ("1.0", 1000), ("0", 0), ("0.25", 250), (".5", 500), ("0.1239", 123)]
)
def test_a_qvalue_is_read(text: str | None, q: int) -> None:
    assert read_q(text) == q


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "2", "0,5", "1e3", "9" * 5000, "٣"])
def test_a_qvalue_that_is_nonsense_is_the_highest(text: str) -> None:
    assert read_q(text) == 1000


async def test_a_phone_deregisters(house: House) -> None:
    house.register(HOME, "<sip:1001@10.0.0.9:5070>")
    outcome = house.register(f"{HOME};expires=0")
    assert values(outcome) == ["<sip:1001@10.0.0.9:5070>;expires=3600"]
    assert values(house.register("<sip:1001@10.0.0.9:5070>", headers=["Expires: 0"])) == []
    assert house.reasons() == [UnregisterReason.ASKED, UnregisterReason.ASKED]
    assert len(house.registrar) == 0
    assert (
        house.registrar.register(AOR, DEVICE, request(contacts=[f"{HOME};expires=0"], cseq=99), udp(), NOW, WALL).status
        == 200
    )


async def test_a_star_removes_all(house: House) -> None:
    house.register(HOME, "<sip:1001@10.0.0.9:5070>")
    outcome = house.register("*", headers=["Expires: 0"], call_id="another")
    assert (outcome.status, values(outcome)) == (200, [])
    assert house.reasons() == [UnregisterReason.ASKED, UnregisterReason.ASKED]


@pytest.mark.parametrize("headers", [[], ["Expires: 60"], ["Expires: zero"]])
async def test_a_star_without_expires_0_is_refused(house: House, headers: list[str]) -> None:
    house.register(HOME)
    assert house.register("*", headers=headers).status == 400
    assert len(house.registrar) == 1


async def test_an_old_request_of_the_same_call_changes_nothing(house: House) -> None:
    house.register(HOME, cseq=5)
    for contacts, headers in (([HOME], []), ([f"{HOME};expires=0"], []), (["*"], ["Expires: 0"])):
        for cseq in (5, 4):
            outcome = house.register(*contacts, headers=headers, cseq=cseq)
            assert (outcome.status, outcome.reason) == (500, "CSeq Out Of Order")
    assert house.register("<sip:1001@10.0.0.9:9>", HOME, cseq=5).status == 500
    assert house.contacts() == ["sip:1001@10.0.0.9:5062"]  # all or nothing
    assert house.register(HOME, cseq=6).status == 200
    assert house.register(HOME, cseq=1, call_id="after a reboot").status == 200


async def test_the_same_contact_is_known_however_it_is_written(house: House) -> None:
    house.register("<sip:1001@Phone.Example:5062;transport=udp;ob>")
    house.register("<sip:%31001@PHONE.example:5062;transport=UDP;ob>", now=NOW + 1)
    assert len(house.registrar) == 1
    house.register("<sip:1001@phone.example;transport=udp>")  # no port is not port 5060 (§19.1.4)
    assert len(house.registrar) == 2


async def test_the_same_contact_twice_in_one_request_is_one(house: House) -> None:
    assert values(house.register(HOME, f"{HOME};expires=600")) == ["<sip:1001@10.0.0.9:5062>;expires=600"]
    assert len(house.registrar) == 1


async def test_a_phone_that_moved_replaces_its_old_contact(house: House) -> None:
    instance = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
    house.register(f"<sip:1001@10.0.0.9:5062>{instance};reg-id=1")
    house.register(f"<sip:1001@10.0.0.9:7777>{instance};reg-id=1", call_id="call-2")
    assert house.contacts() == ["sip:1001@10.0.0.9:7777"]
    assert house.reasons() == [UnregisterReason.REPLACED]
    house.register(f"<sip:1001@10.0.0.9:8888>{instance};reg-id=2", call_id="call-2")
    assert len(house.contacts()) == 2  # a second flow of the same phone (RFC 5626 §4.2)


async def test_one_contact_too_many_replaces_the_least_recent(house: House) -> None:
    for port in (1, 2, 3):
        house.register(f"<sip:1001@10.0.0.9:{port}>;expires={port * 1000}", now=NOW + port)
    house.register("<sip:1001@10.0.0.9:1>", now=NOW + 4)  # refreshed
    house.register("<sip:1001@10.0.0.9:4>;expires=60", now=NOW + 5)
    assert sorted(house.contacts(NOW + 5)) == [f"sip:1001@10.0.0.9:{port}" for port in (1, 3, 4)]
    assert house.reasons() == [UnregisterReason.CROWDED_OUT]


async def test_more_contacts_than_allowed_in_one_request_are_refused(house: House) -> None:
    outcome = house.register(*(f"<sip:1001@10.0.0.9:{port}>" for port in (1, 2, 3, 4)))
    assert (outcome.status, outcome.reason) == (403, "Too Many Contacts")
    assert len(house.registrar) == 0


@pytest.mark.parametrize("contact", ["<tel:+4930123456>", "<mailto:me@example.com>", f"<sip:{'x' * 1100}@10.0.0.9>"])
async def test_a_contact_that_cannot_be_called_is_refused(house: House, contact: str) -> None:
    assert house.register(HOME, contact).status == 400
    assert len(house.registrar) == 0


async def test_nobody_registers_to_another_users_address(house: House) -> None:
    for aor in (Aor("acc_1", "1002"), Aor("acc_2", "1001")):
        outcome = house.register(HOME, aor=aor)
        assert (outcome.status, outcome.reason) == (403, "Not Your Address")
    assert len(house.registrar) == 0


# ---- where a phone is called


@pytest.mark.parametrize(
    ("contact", "flow", "host", "port", "transport", "behind_nat"),
    [
        ("<sip:1001@10.0.0.9:5062>", udp(), "10.0.0.9", 5062, Transport.UDP, False),
        ("<sip:1001@10.0.0.9>", udp(), "10.0.0.9", 5060, Transport.UDP, False),
        ("<sip:1001@10.0.0.9:6000>", udp(port=40000), "10.0.0.9", 6000, Transport.UDP, False),  # listens elsewhere
        ("<sip:1001@192.168.1.5:5060>", udp("203.0.113.7", 40001), "203.0.113.7", 40001, Transport.UDP, True),
        ("<sip:1001@198.51.100.5:5060>", udp("203.0.113.7", 40001), "203.0.113.7", 40001, Transport.UDP, True),
        ("<sip:1001@phone.invalid>", udp("203.0.113.7", 40001), "203.0.113.7", 40001, Transport.UDP, True),
        ("<sip:1001@[2001:db8::5]:5060>", udp("2001:db8::5", 5060), "2001:db8::5", 5060, Transport.UDP, False),
        ("<sip:1001@[2001:DB8:0::5]:5070>", udp("2001:db8::5", 5060), "2001:db8:0::5", 5070, Transport.UDP, False),
        ("<sip:1001@10.0.0.9:5070;transport=tcp>", udp(), "10.0.0.9", 5070, Transport.TCP, False),
        ("<sip:1001@10.0.0.9;transport=tls>", udp(), "10.0.0.9", 5061, Transport.TLS, False),
        ("<sips:1001@10.0.0.9>", udp(), "10.0.0.9", 5061, Transport.TLS, False),
        ("<sip:1001@10.0.0.9:5062;transport=ws>", udp(), "10.0.0.9", 5062, Transport.UDP, False),
        ("<sip:1001@10.0.0.9:5060;transport=tcp>", tcp(), "10.0.0.9", 40000, Transport.TCP, False),
        ("<sip:1001@192.168.1.5:5060>", tcp("203.0.113.7"), "203.0.113.7", 40000, Transport.TCP, True),
    ],
)
async def test_where_a_phone_is_called(
    house: House, contact: str, flow: Flow, host: str, port: int, transport: Transport, behind_nat: bool
) -> None:
    house.register(contact, flow=flow)
    (binding,) = house.registrar.bindings(AOR, NOW)
    destination = binding.destination()
    assert (destination.host, destination.port, destination.transport) == (host, port, transport)
    assert destination.flow == (flow if transport is flow.transport else None)
    assert binding.behind_nat is behind_nat
    assert f"<{binding.contact}>" == contact  # the Request-URI is what the phone said


async def test_of_several_contacts_one_at_home_tells_that_the_others_are_where_they_say(house: House) -> None:
    house.register(HOME, "<sip:1001@10.0.0.44:5060>")
    destinations = [binding.destination() for binding in house.registrar.bindings(AOR, NOW)]
    assert {(each.host, each.port) for each in destinations} == {("10.0.0.9", 5062), ("10.0.0.44", 5060)}


# ---- connections


async def test_a_phone_that_only_its_connection_reached_goes_with_it(house: House) -> None:
    house.register("<sip:1001@192.168.1.5:5060;transport=tcp>", flow=tcp("203.0.113.7", 40000, connection=7))
    house.register("<sip:1001@10.0.0.9:40001;transport=tcp>", flow=tcp("10.0.0.9", 40001, connection=8), call_id="2")
    assert house.registrar.connection_lost(tcp(connection=9)) == 0
    assert house.registrar.connection_lost(tcp("203.0.113.7", 40000, connection=7)) == 1
    assert house.registrar.connection_lost(tcp("10.0.0.9", 40001, connection=8)) == 1
    assert house.reasons() == [UnregisterReason.CONNECTION_LOST] * 2
    assert house.registrar.connection_lost(tcp(connection=8)) == 0


async def test_a_phone_that_listens_is_kept_and_called_there(house: House) -> None:
    house.register("<sip:1001@10.0.0.9:5060;transport=tcp>", flow=tcp())
    assert house.registrar.connection_lost(tcp()) == 0
    (binding,) = house.registrar.bindings(AOR, NOW)
    assert binding.destination() == Destination(Transport.TCP, "10.0.0.9", 5060)


async def test_a_phone_that_came_back_over_another_connection_is_kept(house: House) -> None:
    contact = "<sip:1001@192.168.1.5:5060;transport=tcp>"
    house.register(contact, flow=tcp(connection=7))
    house.register(contact, flow=tcp(port=40001, connection=8))
    assert house.registrar.connection_lost(tcp(connection=7)) == 0
    (binding,) = house.registrar.bindings(AOR, NOW)
    assert binding.destination().port == 40001
    assert house.registrar.connection_lost(tcp(port=40001, connection=8)) == 1


async def test_udp_knows_no_connection(house: House) -> None:
    house.register(HOME)
    assert house.registrar.connection_lost(udp()) == 0
    assert len(house.registrar) == 1


# ---- time


async def test_a_phone_that_does_not_refresh_is_forgotten(house: House) -> None:
    house.register(f"{HOME};expires=600", "<sip:1001@10.0.0.9:5070>;expires=60")
    assert house.registrar.timer() == NOW + 60
    assert house.registrar.expire(NOW + 59.9) == 0
    assert house.contacts(NOW + 60) == ["sip:1001@10.0.0.9:5062"]  # true at once, before anybody cleans up
    assert house.registrar.expire(NOW + 60) == 1
    assert house.reasons() == [UnregisterReason.EXPIRED]
    assert house.registrar.timer() == NOW + 600


async def test_a_refresh_puts_the_end_off(house: House) -> None:
    house.register(f"{HOME};expires=600")
    house.register(f"{HOME};expires=600", now=NOW + 500)
    assert house.registrar.expire(NOW + 600) == 0
    assert house.registrar.timer() == NOW + 1100
    assert house.registrar.expire(NOW + 1100) == 1
    assert house.registrar.timer() is None


async def test_a_refresh_can_bring_the_end_nearer(house: House) -> None:
    house.register(f"{HOME};expires=6000")
    house.register(f"{HOME};expires=60", now=NOW + 1)
    assert house.registrar.timer() == NOW + 61
    assert house.registrar.expire(NOW + 61) == 1
    assert house.registrar.expire(NOW + 6000) == 0


async def test_those_who_come_and_go_leave_nothing(house: House) -> None:
    for number in range(3_000):
        house.register(f"<sip:1001@10.0.0.9:5062>;expires={7200 if number % 2 == 0 else 0}")
    assert len(house.registrar) == 0
    assert len(house.registrar._timetable) <= 1001
    assert not house.registrar._users


async def test_an_administrator_forgets_a_user(house: House) -> None:
    house.register(HOME, "<sip:1001@10.0.0.9:5070>")
    assert house.registrar.remove(AOR) == 2
    assert house.registrar.remove(AOR) == 0
    assert house.reasons() == [UnregisterReason.REMOVED] * 2


# ---- restart


async def test_bindings_survive_a_restart(house: House) -> None:
    house.register(f'{HOME};q=0.5;+sip.instance="<urn:uuid:1>"', headers=["User-Agent: Desk 1"])
    house.register("<sip:1001@192.168.1.5:5060;transport=tcp>;expires=60", flow=tcp("203.0.113.7"), call_id="2")
    later = await house.restarted(NOW + 30)
    tcp_binding, udp_binding = later.registrar.bindings(AOR, NOW + 30)
    assert udp_binding.destination() == Destination(Transport.UDP, "10.0.0.9", 5062)
    assert tcp_binding.destination() == Destination(Transport.TCP, "203.0.113.7", 40000)
    assert (udp_binding.q, udp_binding.instance, udp_binding.user_agent) == (500, "urn:uuid:1", "Desk 1")
    assert udp_binding.expires == pytest.approx(NOW + 3600)
    assert later.registrar.timer() == pytest.approx(NOW + 60)
    assert later.events == []
    assert later.register(HOME, cseq=0, now=NOW + 30).status == 500  # its CSeq is still known
    assert later.register(HOME, cseq=99, now=NOW + 30).status == 200
    assert len(later.registrar) == 2


async def test_what_expired_or_left_meanwhile_is_not_there_after_a_restart(house: House) -> None:
    house.register(f"{HOME};expires=60", "<sip:1001@10.0.0.9:5070>", "<sip:1001@10.0.0.9:5080>")
    house.register("<sip:1001@10.0.0.9:5080>;expires=0")
    later = await house.restarted(NOW + 61)
    assert later.contacts(NOW + 61) == ["sip:1001@10.0.0.9:5070"]
    await later.store.drain()
    assert [row.contact for row in await later.store.rows(select(bindings))] == ["sip:1001@10.0.0.9:5070"]


async def test_a_binding_that_cannot_be_read_is_removed(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.register(HOME)
    await house.store.drain()
    (row,) = await house.store.rows(select(bindings))
    broken = [{"contact": "nonsense"}, {"transport": "PIGEON"}, {"source": "x y"}, {"params": "x"}]
    for number, changes in enumerate(broken):
        house.store.write(house.store.upsert(bindings), row._asdict() | {"id": f"bnd_{number}"} | changes)
    later = await house.restarted()
    assert len(later.registrar) == 1
    assert len(caplog.messages) == len(broken)
    await later.store.drain()
    assert len(await later.store.rows(select(bindings))) == 1


async def test_the_wall_clock_may_jump_while_we_run(house: House) -> None:
    house.register(f"{HOME};expires=600")
    registrar = house.registrar
    asked = request(contacts=[f"{HOME};expires=600"], cseq=9)
    registrar.register(AOR, DEVICE, asked, udp(), NOW + 100, WALL - 1e6)
    assert registrar.expire(NOW + 699) == 0
    assert registrar.expire(NOW + 700) == 1


@pytest.mark.parametrize("by", [3600.0, -3600.0])
async def test_a_restart_after_the_clock_was_set_finds_what_is_left(house: House, by: float) -> None:
    house.register(f"{HOME};expires=600")
    house.registrar.clock_was_set(by)
    await house.store.drain()
    later = House(house.store)
    await later.registrar.load(NOW + 100, WALL + 100 + by)
    (binding,) = later.registrar.bindings(AOR, NOW + 100)
    assert binding.expires == pytest.approx(NOW + 600)
    assert binding.expires_at == WALL + 600 + by


async def test_a_clock_that_was_wrong_makes_no_binding_outlive_its_longest(house: House) -> None:
    house.register(f"{HOME};expires=600")
    await house.store.drain()
    later = House(house.store)
    await later.registrar.load(NOW, WALL - 1e6)  # a box without a clock of its own, before it has the time
    (binding,) = later.registrar.bindings(AOR, NOW)
    assert binding.expires == NOW + LIMITS.max_expires_s


def test_a_date_is_written_as_sip_wants_it() -> None:
    assert http_date(0) == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert http_date(WALL + 0.9) == "Fri, 15 Jan 2027 08:00:00 GMT"


async def test_ten_thousand_phones_cost_little(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is ten times what it takes here, so that only a change of kind fails it."""
    monkeypatch.setattr(registrar_module.log, "disabled", True)
    phones = [
        (Aor("acc_1", str(number)), Device("d", "acc_1", str(number), "r", "", "", str(number)), _refreshes(number))
        for number in range(2_000)
    ]
    for turn in range(2):
        began = time.process_time()
        for aor, device, requests in phones:
            house.registrar.register(aor, device, requests[turn], udp(), NOW + turn, WALL + turn)
        spent = time.process_time() - began
    assert len(house.registrar) == 2_000
    assert spent / 2_000 < 300e-6


def _refreshes(number: int) -> list[Request]:
    return [request(user=str(number), contacts=[f"<sip:{number}@10.0.0.9:5062>"], cseq=turn + 1) for turn in range(2)]
