"""Trunks: 8XXX goes out through lab-uas, `bench` and lab-peer come in, and nobody else is let in so."""

import pytest

from tests.clients import sipp
from tests.clients.lab import Lab, connect
from tests.clients.phone import talk
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog

MAKES = pytest.mark.parametrize("make", list(Make), ids=lambda make: make.name.lower())


def behind_the_trunk(lab: Lab, scenario: str, *, talk_s: float = 0.0) -> sipp.SippProcess:
    """SIPp where the trunk lab-uas leads to; it echoes."""
    port = lab.house.uas_port
    return sipp.uas(scenario, lab.house.folder, port=port, media_port=lab.house.block.port(10), talk_s=talk_s)


@MAKES
def test_a_phone_calls_out(lab: Lab, make: Make) -> None:
    phone = lab.phone(make, "1001")
    with behind_the_trunk(lab, "uas_echo") as far:
        call = phone.dial("8001").established()
        call.hears(phone.line.tone_hz)
        call.hang_up()
        far.succeeds()
    record = lab.record()
    assert (record["direction"], record["called"], record["result"]) == ("outbound", "8001", "success")
    assert [leg["party"] for leg in record["legs"]] == ["1001", "lab-uas"]


def test_the_far_side_hangs_up(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    with behind_the_trunk(lab, "uas_hangs_up", talk_s=1.5) as far:
        call = phone.dial("8002").established()
        call.hears(phone.line.tone_hz)
        call.ended()
        far.succeeds()
    assert lab.record()["ended_by"] == "callee"


def test_the_far_side_is_busy(lab: Lab) -> None:
    phone = lab.phone(Make.PJSUA2, "1001")
    with behind_the_trunk(lab, "uas_busy") as far:
        assert phone.dial("8003").ended().code == 486
        far.succeeds()
    record = lab.record()
    assert (record["result"], record["sip_status"], record["q850"]) == ("upstream", 486, 17)


def test_a_number_that_no_route_takes(lab: Lab) -> None:
    assert lab.phone(Make.PJSUA2, "1001").dial("80011").ended().code == 404


def test_bench_calls_a_phone(lab: Lab) -> None:
    phone = lab.phone(Make.PJSUA2, "1001")
    with sipp.uac(
        "uac_trunk",
        lab.house.folder,
        server=lab.house.sip,
        local=("127.0.0.1", lab.house.block.port(8)),
        media_port=lab.house.block.port(12),
        caller="bench",
        number="1001",
        talk_s=2.0,
    ) as caller:
        call = phone.incoming().answer()
        call.hears(phone.line.tone_hz)  # SIPp echoes
        call.ended()
        caller.succeeds()
    record = lab.record()
    assert (record["direction"], record["result"], record["legs"][0]["party"]) == ("inbound", "success", "bench")


def test_bench_offers_nothing_and_answers_in_the_ack(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    with sipp.uac(
        "uac_delayed_offer",
        lab.house.folder,
        server=lab.house.sip,
        local=("127.0.0.1", lab.house.block.port(8)),
        media_port=lab.house.block.port(12),
        caller="bench",
        number="1001",
        talk_s=2.0,
    ) as caller:
        call = phone.incoming().answer()
        call.hears(phone.line.tone_hz)
        call.ended()
        caller.succeeds()


@pytest.mark.parametrize(
    ("address", "user", "port"),
    [("127.0.0.2", "bench", 0), ("127.0.0.1", "1001", 0), ("127.0.0.2", "nobody", 0), ("127.0.0.1", "benchx", 0)],
    ids=["bench-from-elsewhere", "1001-from-here", "unknown-user", "almost-bench"],
)
def test_all_else_is_challenged(lab: Lab, address: str, user: str, port: int) -> None:
    raw = lab.raw(address=address, port=port)
    dialog = RawDialog.calling(raw, user, "600")
    answer, sent = dialog.invite(sdp(address, 20_000))
    dialog.acknowledge_failure(sent, answer)
    assert answer.status in (401, 407)
    assert 'realm="127.0.0.1"' in answer["WWW-Authenticate" if answer.status == 401 else "Proxy-Authenticate"]
    assert not lab.house.calls()


@pytest.mark.parametrize("user", ["4930123456", "1001", "anonymous"])
def test_lab_peer_may_call_whatever_its_from(lab: Lab, user: str) -> None:
    raw = lab.raw(address="127.0.0.11")
    rtp = lab.rtp("127.0.0.11", hz=750.0)
    dialog = RawDialog.calling(raw, user, "1002", domain="peer.example")
    phone = lab.phone(Make.BARESIP_PY, "1002")
    answer, _ = dialog.invite(sdp("127.0.0.11", rtp.port, formats="0"))
    assert answer.status in (180, 183)
    incoming = phone.incoming()
    assert user in incoming.caller
    incoming.answer()
    ok = raw.response(200, method="INVITE")
    dialog.acknowledge(ok)
    rtp.send_to(ok.media())
    incoming.hears(750.0)
    dialog.send("BYE")
    assert raw.response(method="BYE").status == 200
    incoming.ended()
    assert lab.record()["direction"] == "inbound"


def test_phones_can_still_call_each_other_while_a_trunk_call_is_up(lab: Lab) -> None:
    one, other, third = (lab.phone(Make.BARESIP_PY, extension) for extension in ("1001", "1002", "1003"))
    with behind_the_trunk(lab, "uas_echo"):
        outside = third.dial("8004").established()
        outgoing, incoming = connect(one, other)
        talk(outgoing, incoming)
        outside.hears(third.line.tone_hz)
        for call in (outside, outgoing):
            call.hang_up()
        incoming.ended()
