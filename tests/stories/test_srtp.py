"""Sound that nobody on the way can hear: real phones under SRTP, with each other and with phones that have none."""

import base64
from collections.abc import Callable

import pytest

from tests.clients.lab import Lab, connect, converse, end
from tests.clients.line import Srtp, Transport
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog
from tests.clients.until import until

DEBIAN, PJSUA2, BARESIP = Make.BARESIP_DEBIAN, Make.PJSUA2, Make.BARESIP_PY
DEFAULT = "AES_CM_128_HMAC_SHA1_80"
STRONG = "AES_256_CM_HMAC_SHA1_80"
"""What pjsua2 likes best: the order of who offers counts."""


def locks_of(lab: Lab) -> list[str | None]:
    """How each leg of the call that has just ended was protected; also asserts that sound came from both sides."""
    record = lab.record()
    assert record["result"] == "success"
    for leg in record["legs"]:
        assert leg["quality"]["packets_received"] > 25
        assert leg["quality"]["loss_percent"] < 1
    return [leg["srtp"] for leg in record["legs"]]


@pytest.mark.parametrize("calls_out", [True, False], ids=["calls", "is called"])
def test_a_phone_that_requires_srtp_and_one_that_has_none(lab: Lab, calls_out: bool) -> None:
    secured = lab.phone(PJSUA2, "1011", srtp=Srtp.REQUIRED)
    plain = lab.phone(BARESIP, "1001")
    end(*(converse(secured, plain) if calls_out else converse(plain, secured)))
    assert locks_of(lab) == ([STRONG, None] if calls_out else [None, DEFAULT])


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80"])
def test_the_one_suite_that_a_phone_knows(lab: Lab, suite: str) -> None:
    secured = lab.phone(PJSUA2, "1011", srtp=Srtp.REQUIRED, suite=suite)
    call = secured.dial("600").established()
    call.hears(secured.line.tone_hz)
    call.hang_up()
    assert locks_of(lab) == [suite]


@pytest.mark.parametrize("suite", ["AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_32"], ids=["GCM", "32"])
def test_one_suite_for_all(new_lab: Callable[..., Lab], suite: str) -> None:
    lab = new_lab(**{"srtp.suites": [suite]})
    end(*converse(lab.phone(BARESIP, "1001"), lab.phone(DEBIAN, "1011", srtp=Srtp.REQUIRED)))
    assert locks_of(lab) == [None, suite]


@pytest.mark.parametrize("debian_calls", [True, False], ids=["baresip calls", "baresip is called"])
def test_two_makes_under_keys_of_their_own(lab: Lab, debian_calls: bool) -> None:
    one = lab.phone(PJSUA2, "1011", srtp=Srtp.REQUIRED)
    other = lab.phone(DEBIAN, "1002", srtp=Srtp.REQUIRED if debian_calls else Srtp.OPTIONAL)
    end(*(converse(other, one) if debian_calls else converse(one, other)))
    assert locks_of(lab) == [DEFAULT if debian_calls else STRONG, DEFAULT]


@pytest.mark.parametrize("make", [PJSUA2, DEBIAN], ids=["pjsua2", "baresip"])
def test_the_echo_under_srtp(lab: Lab, make: Make) -> None:
    phone = lab.phone(make, "1003", srtp=Srtp.REQUIRED)
    call = phone.dial("600").established()
    call.hears(phone.line.tone_hz)
    call.hang_up()
    assert locks_of(lab) == [STRONG if make is PJSUA2 else DEFAULT]


@pytest.mark.parametrize("make", [PJSUA2, DEBIAN], ids=["pjsua2", "baresip"])
def test_who_would_like_srtp_is_asked_for_it_over_tls(lab: Lab, make: Make) -> None:
    """Best effort: the offer is RTP/AVP with a key, which a phone without SRTP answers as ever."""
    one = lab.phone(BARESIP, "1001")
    other = lab.phone(make, "1002", srtp=Srtp.OPTIONAL, transport=Transport.TLS)
    end(*converse(one, other))
    assert locks_of(lab) == [None, DEFAULT]


def test_a_phone_without_srtp_answers_a_secured_caller_as_ever(lab: Lab) -> None:
    one = lab.phone(DEBIAN, "1002", srtp=Srtp.REQUIRED)
    end(*converse(one, lab.phone(PJSUA2, "1001")))
    assert locks_of(lab) == [DEFAULT, None]


def test_hold_and_resume_keep_the_keys(lab: Lab) -> None:
    """Judged by the other phone's ears and by the loss the house saw: pjsua2 at times plays nothing after a hold."""
    outgoing, incoming = converse(lab.phone(PJSUA2, "1011", srtp=Srtp.REQUIRED), lab.phone(BARESIP, "1001"))
    outgoing.hold()
    outgoing.resume()
    incoming.hears(outgoing.phone.line.tone_hz)
    end(outgoing, incoming)
    assert locks_of(lab) == [STRONG, None]


def test_digits_under_srtp(lab: Lab) -> None:
    outgoing, incoming = connect(lab.phone(PJSUA2, "1011", srtp=Srtp.REQUIRED), lab.phone(BARESIP, "1001"))
    outgoing.send_digits("19#")
    assert incoming.receive_digits(3) == "19#"
    incoming.send_digits("20")
    assert outgoing.receive_digits(2) == "20"
    end(outgoing, incoming)
    assert lab.record()["legs"][0]["srtp"] == STRONG


def test_plain_sound_is_refused_where_srtp_is_required(lab: Lab) -> None:
    phone = lab.phone(PJSUA2, "1011")
    assert phone.dial("600").ended().code == 488
    record = lab.record()
    assert (record["sip_status"], record["reason"]) == (488, "SRTP is required")


def test_the_wrong_key_is_silence_with_a_name_and_harms_no_other_call(lab: Lab) -> None:
    others = converse(lab.phone(BARESIP, "1003"), lab.phone(BARESIP, "1004"))
    ear, address = lab.phone(BARESIP, "1002"), lab.house.block.address()
    rtp, raw = lab.rtp(address, tag=bytes(range(10))), lab.raw(address=address)
    dialog = RawDialog.calling(raw, "1011", "1002")
    key = base64.b64encode(bytes(30)).decode()
    offer = sdp(address, rtp.port, formats="0").replace("RTP/AVP", "RTP/SAVP")
    dialog.invite(offer + f"a=crypto:1 {DEFAULT} inline:{key}\r\n", user="1011", password="lab-1011")
    incoming = ear.incoming().answer()
    ok = raw.response(200, method="INVITE")
    dialog.acknowledge(ok)
    rtp.send_to(ok.media())
    until(lambda: "they are under another key" in lab.house.log(), "the log to say so")
    incoming.hears_nothing()
    assert lab.house.metrics()['pbxd_wire_drops_total{reason="srtp_auth"}'] >= 25
    for call, other in (others, others[::-1]):
        call.hears(other.phone.line.tone_hz)
    end(*others)
    dialog.send("BYE")
    assert raw.response(method="BYE").status == 200
    incoming.ended()
    records = [lab.record() for _ in range(2)]
    record = next(one for one in records if one["called"] == "1002")
    assert record["legs"][0]["quality"]["packets_received"] == 0
    trace = lab.house.get(f"/house/v1/calls/{record['id']}/trace")
    assert "sends what cannot be opened" in str(trace["entries"])


def test_keys_in_the_clear_can_be_refused(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"srtp.over_plain_signalling": "refuse"})
    phone = lab.phone(DEBIAN, "1002", srtp=Srtp.REQUIRED)
    assert phone.dial("600").ended().code == 488
    assert lab.record()["sip_status"] == 488
    secret = lab.phone(PJSUA2, "1001", srtp=Srtp.REQUIRED, transport=Transport.TLS)
    call = secret.dial("600").established()
    call.hears(secret.line.tone_hz)
    call.hang_up()
    assert lab.record()["legs"][0]["srtp"] == STRONG


def test_a_secured_phone_and_one_of_another_codec_meet_in_a_room(lab: Lab) -> None:
    secured = lab.phone(DEBIAN, "1011", srtp=Srtp.REQUIRED, codecs=("PCMU",))
    end(*converse(secured, lab.phone(DEBIAN, "1012", codecs=("opus",))))
    record = lab.record()
    assert [(leg["codec"], leg["srtp"]) for leg in record["legs"]] == [("PCMU", DEFAULT), ("opus", None)]
