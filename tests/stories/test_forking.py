"""One user, three phones: all ring at once, the first to answer has the call, the others fall silent."""

from tests.clients.lab import Lab, end, eventually
from tests.clients.phone import talk
from tests.clients.phones import Make
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_sip import RawDialog, RawSip, register


def test_three_ring_one_answers_two_fall_silent(lab: Lab) -> None:
    caller = lab.phone(Make.BARESIP_PY, "1001")
    makes = (Make.PJSUA2, Make.BARESIP_PY, Make.BARESIP_DEBIAN)
    phones = [lab.phone(make, "1002", tone_hz=850.0) for make in makes]
    assert len(lab.house.registrations()) == 4
    for winner in range(3):
        outgoing = caller.dial("1002").rings()
        ringing = [phone.incoming() for phone in phones]
        ringing[winner].answer()
        outgoing.established()
        for index, call in enumerate(ringing):
            if index != winner:
                call.ended(timeout=2)
        talk(outgoing, ringing[winner])
        end(outgoing, ringing[winner])
        assert lab.record()["result"] == "success"


def test_one_is_busy_and_another_answers(lab: Lab) -> None:
    caller = lab.phone(Make.PJSUA2, "1001")
    phones = [lab.phone(Make.PJSUA2, "1002", tone_hz=850.0) for _ in range(2)]
    outgoing = caller.dial("1002").rings()
    ringing = [phone.incoming() for phone in phones]
    ringing[0].answer(486).ended()
    assert outgoing.is_up()
    ringing[1].answer()
    outgoing.established()
    talk(outgoing, ringing[1])
    end(outgoing, ringing[1])


def test_all_are_busy(lab: Lab) -> None:
    caller = lab.phone(Make.PJSUA2, "1001")
    phones = [lab.phone(Make.PJSUA2, "1002") for _ in range(2)]
    outgoing = caller.dial("1002").rings()
    for phone in phones:
        phone.incoming().answer(486).ended()
    assert outgoing.ended().code == 486


def test_a_decline_is_everybodys(lab: Lab) -> None:
    caller = lab.phone(Make.PJSUA2, "1001")
    phones = [lab.phone(Make.PJSUA2, "1002") for _ in range(2)]
    outgoing = caller.dial("1002").rings()
    ringing = [phone.incoming() for phone in phones]
    ringing[0].answer(603).ended()
    ringing[1].ended(timeout=2)
    assert outgoing.ended().code == 603


def test_the_caller_gives_up_and_all_fall_silent(lab: Lab) -> None:
    caller = lab.phone(Make.BARESIP_PY, "1001")
    phones = [lab.phone(Make.BARESIP_PY, "1002") for _ in range(3)]
    outgoing = caller.dial("1002").rings()
    ringing = [phone.incoming() for phone in phones]
    outgoing.hang_up()
    for call in ringing:
        call.ended(timeout=2)


def test_two_answer_at_the_same_time(lab: Lab) -> None:
    """The 200 that loses the race is acknowledged and then ended by BYE (RFC 3261 §13.2.2.4)."""
    phones = [lab.raw() for _ in range(2)]
    for phone in phones:
        assert register(phone, "1002", "lab-1002").status == 200
    caller = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(caller, "outside", "1002")
    dialog.send("INVITE", body=sdp("127.0.0.11", 20_000, formats="0"))
    invites = [phone.request("INVITE") for phone in phones]
    for phone, invite in zip(phones, invites, strict=True):
        accept(phone, invite)
    ok = caller.response(200, method="INVITE")
    dialog.acknowledge(ok)
    for phone in phones:
        phone.request("ACK")
    gone = [was_sent_away(phone) for phone in phones]
    assert sorted(gone) == [False, True]
    winner = phones[gone.index(False)]
    assert len(lab.house.calls()) == 1
    dialog.send("BYE")
    assert caller.response(method="BYE").status == 200
    winner.respond(winner.request("BYE"), 200)
    eventually(lambda: not lab.house.calls(), "the call to be over")


def accept(phone: RawSip, invite: RawMessage) -> None:
    """Answer an INVITE with PCMU."""
    contact = [("Contact", f"<sip:1002@{phone.host}>")]
    phone.respond(invite, 200, tag="raw", headers=contact, body=sdp(phone.address, 20_000, formats="0"))


def was_sent_away(phone: RawSip) -> bool:
    """Whether a BYE comes; it is answered."""
    byes = [message for message in phone.drain(0.5) if message.status is None and message.method == "BYE"]
    for bye in byes:
        phone.respond(bye, 200)
    return bool(byes)
