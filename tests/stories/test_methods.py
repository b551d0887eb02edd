"""The other methods: MESSAGE, REFER, UPDATE, PRACK, OPTIONS, and the session timer."""

import time

import pytest

from tests.clients.lab import Lab, connect, converse, end
from tests.clients.line import Kind, Verb
from tests.clients.phone import Phone, talk
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog, register


def test_a_message_reaches_the_other_phone(lab: Lab) -> None:
    one, other = lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002")
    assert one.message("1002", "Grüße, 你好") == 200
    event = other.wait(Kind.MESSAGE)
    assert event.fields["text"] == "Grüße, 你好"
    assert "1001@" in event.fields["from"]


def test_a_message_to_a_phone_that_is_off(lab: Lab) -> None:
    assert lab.phone(Make.PJSUA2, "1001").message("1009", "anybody?") in (404, 480)


def test_a_message_needs_a_password(lab: Lab) -> None:
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1001", "1002")
    raw.send(f"MESSAGE {dialog.target} SIP/2.0", [*dialog.headers("MESSAGE"), ("Content-Type", "text/plain")], "hello")
    assert raw.response(method="MESSAGE").status in (401, 407)


def test_a_transfer_is_declined_and_the_call_goes_on(lab: Lab) -> None:
    outgoing, incoming = converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002"))
    assert outgoing.refer("1003") == 603
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_an_update_in_a_call_is_answered_and_not_heard(lab: Lab) -> None:
    outgoing, incoming = converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002"))
    outgoing.update()
    assert transaction(outgoing.phone, "UPDATE")
    talk(outgoing, incoming)
    end(outgoing, incoming)


def transaction(phone: Phone, method: str, *, timeout: float = 5.0) -> bool:
    """Wait for a transaction of this method to end well; says whether the phone began it."""
    while True:
        event = phone.wait(Kind.TRANSACTION, timeout=timeout)
        if event.fields["method"] == method:
            return bool(event.fields["ours"])


@pytest.mark.parametrize("insisting", ["caller", "callee", "both"])
def test_ringing_is_acknowledged_when_a_side_insists(lab: Lab, insisting: str) -> None:
    one = lab.phone(Make.PJSUA2, "1001", reliable_provisional=insisting in ("caller", "both"))
    other = lab.phone(Make.PJSUA2, "1002", reliable_provisional=insisting in ("callee", "both"))
    outgoing = one.dial("1002").rings()
    incoming = other.incoming()
    if insisting in ("caller", "both"):
        assert transaction(one, "PRACK")
    if insisting in ("callee", "both"):
        assert not transaction(other, "PRACK")
    incoming.answer()
    outgoing.established()
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_a_session_is_refreshed_before_it_expires(lab: Lab) -> None:
    """RFC 4028: with 90 s the refresh comes after 45, from whichever side has promised it."""
    one = lab.phone(Make.PJSUA2, "1001", session_expires_s=90)
    other = lab.phone(Make.BARESIP_PY, "1002")
    outgoing, incoming = connect(one, other)
    talk(outgoing, incoming)
    begun = time.monotonic()
    while True:
        event = one.wait(Kind.TRANSACTION, timeout=60)
        if event.fields["method"] in ("UPDATE", "INVITE") and event.at - begun > 30:
            break
    assert outgoing.is_up()
    talk(outgoing, incoming)
    end(outgoing, incoming)


def test_a_session_interval_that_is_too_short(lab: Lab) -> None:
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "outside", "600")
    timer = [("Supported", "timer"), ("Session-Expires", "30"), ("Min-SE", "30")]
    answer, sent = dialog.invite(sdp("127.0.0.11", 20_000), extra=timer)
    dialog.acknowledge_failure(sent, answer)
    assert (answer.status, answer["Min-SE"]) == (422, "90")


def test_options_says_what_the_house_can(lab: Lab) -> None:
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1001", "600")
    dialog.send("OPTIONS")
    answer = raw.response(method="OPTIONS")
    assert answer.status == 200
    assert {"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS"} <= set(answer["Allow"].replace(" ", "").split(","))
    assert "100rel" in answer["Supported"]


@pytest.mark.parametrize(
    ("method", "extra", "status", "header"),
    [
        ("INVITE", ("Require", "telepathy"), 420, "Unsupported"),
        ("OPTIONS", ("Require", "telepathy"), 420, "Unsupported"),
        ("DANCE", ("Subject", "unknown method"), 405, "Allow"),
    ],
)
def test_what_the_house_does_not_know_is_said_so(
    lab: Lab, method: str, extra: tuple[str, str], status: int, header: str
) -> None:
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "outside", "600")
    dialog.send(method, extra=[extra])
    answer = raw.response(method=method)
    assert answer.status in ((405, 501) if status == 405 else (status,))
    if answer.status != 501:
        assert header in answer


def test_a_hop_too_many(lab: Lab) -> None:
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "outside", "600")
    headers = [(name, "0" if name == "Max-Forwards" else value) for name, value in dialog.headers("INVITE")]
    raw.send(f"INVITE {dialog.target} SIP/2.0", headers, sdp("127.0.0.11", 20_000))
    assert raw.response(method="INVITE").status == 483


def test_a_message_travels_over_the_phones_own_connection(lab: Lab) -> None:
    phone = lab.raw(tcp=True)
    assert register(phone, "1002", "lab-1002").status == 200
    sender = lab.phone(Make.PJSUA2, "1001")
    sender.command(Verb.MESSAGE, to=sender.line.uri("1002"), text="over TCP")
    message = phone.request("MESSAGE")
    assert message.body == "over TCP"
    phone.respond(message, 202, tag="raw")
    assert sender.wait(Kind.MESSAGE_STATUS).fields["code"] in (200, 202)
