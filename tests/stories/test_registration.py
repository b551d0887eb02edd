"""Registering: several contacts, leaving, too short an interval, order, and phones behind address translators."""

import pytest

from tests.clients.lab import Lab
from tests.clients.line import Transport
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog, register, register_with


@pytest.mark.parametrize("make", list(Make), ids=lambda make: make.name.lower())
def test_a_phone_registers(lab: Lab, make: Make) -> None:
    phone = lab.phone(make, "1003")
    binding = lab.house.registrations()[0]
    assert binding["aor"] == "1003"
    assert binding["source"].startswith(f"udp:{phone.line.address}:")
    assert not binding["behind_nat"]


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_a_phone_registers_over_a_connection_and_leaves(lab: Lab, transport: Transport) -> None:
    phone = lab.phone(Make.PJSUA2, "1003", transport=transport)
    assert lab.house.registrations()[0]["source"].startswith(f"{transport}:")
    phone.unregister()
    assert lab.house.registrations() == []


def test_all_contacts_are_told_and_a_star_removes_them(lab: Lab) -> None:
    one, other = lab.raw(), lab.raw()
    register(one, "1004", "lab-1004")
    answer = register(other, "1004", "lab-1004")
    assert len(answer.all("Contact")) == 2 or answer["Contact"].count("<sip:") == 2
    answer = register(one, "1004", "lab-1004", contact="*", expires=0)
    assert answer.status == 200
    assert lab.house.registrations() == []


def test_too_short_an_interval(lab: Lab) -> None:
    answer = register(lab.raw(), "1004", "lab-1004", expires=5)
    assert answer.status == 423
    assert int(answer["Min-Expires"]) > 5
    assert lab.house.registrations() == []


@pytest.mark.parametrize("contact_host", ["192.0.2.77:5062", "no-such-host.invalid"])
def test_a_phone_behind_a_translator_is_reached_where_it_comes_from(lab: Lab, contact_host: str) -> None:
    phone = lab.raw()
    register(phone, "1004", "lab-1004", contact=f"<sip:1004@{contact_host};line=7>")
    assert lab.house.registrations()[0]["behind_nat"]
    caller = RawDialog.calling(lab.raw(address="127.0.0.11"), "outside", "1004")
    caller.send("INVITE", body=sdp("127.0.0.11", 20_000))
    invite = phone.request("INVITE")
    assert invite.target.startswith(f"sip:1004@{contact_host}")
    assert "line=7" in invite.target
    phone.respond(invite, 486, tag="raw")
    assert caller.sip.response(486, method="INVITE")


def test_an_old_register_does_not_undo_a_newer_one(lab: Lab) -> None:
    """RFC 3261 §10.3 step 7: same Call-ID, lower CSeq."""
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1004", "1004")
    dialog.sequence = 100
    assert register_with(dialog, "1004", "lab-1004").status == 200
    dialog.sequence = 10
    assert register_with(dialog, "1004", "lab-1004", expires=0).status in (400, 500)
    assert len(lab.house.registrations()) == 1


def test_a_keep_alive_is_answered_on_a_connection(lab: Lab) -> None:
    """RFC 5626 §4.4.1."""
    raw = lab.raw(tcp=True)
    raw.send_bytes(b"\r\n\r\n")
    assert raw.receive_bytes(2) == b"\r\n"
