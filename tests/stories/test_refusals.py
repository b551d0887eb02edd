"""Calls that do not come about: busy, declined, unanswered, unknown, cancelled, forbidden."""

from collections.abc import Callable

import pytest

from tests.clients.lab import Lab, eventually
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog, register


@pytest.mark.parametrize(("status", "q850"), [(486, 17), (603, 21), (480, 18), (404, 1), (488, 65)], ids=str)
def test_the_callee_refuses(lab: Lab, status: int, q850: int) -> None:
    one, other = lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002")
    outgoing = one.dial("1002").rings()
    other.incoming().answer(status).ended()
    assert outgoing.ended().code == status
    record = lab.record()
    assert (record["result"], record["sip_status"], record["q850"]) == ("upstream", status, q850)
    assert record["answered_at"] is None


@pytest.mark.parametrize("make", [Make.BARESIP_PY, Make.BARESIP_DEBIAN], ids=lambda make: make.name.lower())
def test_busy_from_other_phones(lab: Lab, make: Make) -> None:
    one, other = lab.phone(make, "1001"), lab.phone(make, "1002")
    outgoing = one.dial("1002").rings()
    other.incoming().answer(486)
    assert outgoing.ended().code == 486


@pytest.mark.parametrize(
    "make", [Make.BARESIP_PY, Make.PJSUA2, Make.BARESIP_DEBIAN], ids=lambda make: make.name.lower()
)
def test_an_unknown_number(lab: Lab, make: Make) -> None:
    assert lab.phone(make, "1001").dial("4711").ended().code == 404
    record = lab.record()
    assert (record["called"], record["result"], record["sip_status"], record["q850"]) == ("4711", "client", 404, 1)


def test_a_known_number_whose_phone_is_off(lab: Lab) -> None:
    assert lab.phone(Make.PJSUA2, "1001").dial("1009").ended().code == 480
    assert lab.record()["result"] == "upstream"


@pytest.mark.parametrize(
    "make", [Make.BARESIP_PY, Make.PJSUA2, Make.BARESIP_DEBIAN], ids=lambda make: make.name.lower()
)
def test_the_caller_gives_up_while_it_rings(lab: Lab, make: Make) -> None:
    one, other = lab.phone(make, "1001"), lab.phone(make, "1002")
    outgoing = one.dial("1002").rings()
    incoming = other.incoming()
    outgoing.hang_up()
    incoming.ended(timeout=2)
    record = lab.record()
    assert (record["result"], record["ended_by"], record["answered_at"]) == ("client", "caller", None)


def test_nobody_answers(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"calls.ring_timeout_s": 2})
    one, other = lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002")
    outgoing = one.dial("1002").rings()
    incoming = other.incoming()
    assert outgoing.ended().code in (408, 480)
    incoming.ended()
    record = lab.record()
    assert (record["result"], record["q850"]) == ("upstream", 19)


@pytest.mark.parametrize("make", list(Make), ids=lambda make: make.name.lower())
def test_a_wrong_password_does_not_register(lab: Lab, make: Make) -> None:
    phone = lab.phone(make, "1001", registers=False, password="lab-9999")
    assert phone.register_refused(timeout=20) in (401, 403, None)
    assert lab.house.registrations() == []


def test_a_wrong_password_does_not_call(lab: Lab) -> None:
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1001", "600")
    answer, sent = dialog.invite(sdp(raw.address, 20_000), user="1001", password="wrong-password")
    dialog.acknowledge_failure(sent, answer)
    assert answer.status in (401, 403, 407)
    assert not lab.house.calls()


def test_an_unknown_user_is_told_what_a_wrong_password_is_told(lab: Lab) -> None:
    wrong = register(lab.raw(), "1001", "wrong-password")
    unknown = register(lab.raw(), "4242", "wrong-password")
    assert (wrong.start, [name for name, _ in wrong.headers]) == (unknown.start, [name for name, _ in unknown.headers])


def test_a_phone_must_own_its_from(lab: Lab) -> None:
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1002", "600")
    answer, sent = dialog.invite(sdp(raw.address, 20_000), user="1001", password="lab-1001")
    dialog.acknowledge_failure(sent, answer)
    assert answer.status == 403
    assert not lab.house.calls()


def test_a_cancel_before_anything_is_known(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1002")
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "outside", "1002")
    invite = dialog.send("INVITE", body=sdp("127.0.0.11", 20_000))
    dialog.cancel(invite)
    assert raw.response(method="CANCEL").status == 200
    final = raw.response(487, method="INVITE")
    dialog.acknowledge_failure(invite, final)
    eventually(lambda: not lab.house.calls(), "the cancelled call to be over")
    assert lab.record()["result"] == "client"
    phone.close()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RTP/AVP 0", "RTP/AVP 18"),
        ("RTP/AVP 0", "RTP/AV 0"),
        ("RTP/AVP 0", "RTP/SAVP 0"),
        ("m=audio 20000", "m=audio 0"),
        ("m=audio", "m=video"),
    ],
    ids=["foreign-codec", "broken-profile", "secure-profile", "port-zero", "no-audio"],
)
def test_nothing_in_common(lab: Lab, before: str, after: str) -> None:
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "outside", "600")
    answer, sent = dialog.invite(sdp("127.0.0.11", 20_000, formats="0").replace(before, after))
    dialog.acknowledge_failure(sent, answer)
    assert answer.status == 488
    assert lab.record()["result"] == "client"
