"""Phone to phone: who can call whom, over which transport, and what the house writes down about it."""

import pytest

from tests.clients.lab import Lab, connect, converse, end
from tests.clients.line import Transport
from tests.clients.phone import talk
from tests.clients.phones import Make

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS
BARESIP, PJSUA2, PYVOIP, DEBIAN = Make.BARESIP_PY, Make.PJSUA2, Make.PYVOIP, Make.BARESIP_DEBIAN


@pytest.mark.parametrize(
    ("caller", "callee", "transports"),
    [
        (BARESIP, BARESIP, (UDP, UDP)),
        (PJSUA2, PJSUA2, (UDP, UDP)),
        (PJSUA2, PJSUA2, (TCP, TCP)),
        (PJSUA2, PJSUA2, (TLS, TLS)),
        (DEBIAN, DEBIAN, (UDP, UDP)),
        (BARESIP, PYVOIP, (UDP, UDP)),
        (PYVOIP, PJSUA2, (UDP, UDP)),
        (PYVOIP, PYVOIP, (UDP, UDP)),
        (DEBIAN, PJSUA2, (UDP, TLS)),
        (BARESIP, DEBIAN, (TCP, UDP)),
        (PJSUA2, BARESIP, (TLS, TCP)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value.name.lower(),
)
def test_two_phones_hear_each_other(
    lab: Lab, caller: Make, callee: Make, transports: tuple[Transport, Transport]
) -> None:
    one = lab.phone(caller, "1001", transport=transports[0])
    other = lab.phone(callee, "1002", transport=transports[1])
    outgoing, incoming = converse(one, other)
    assert [call["state"] for call in lab.house.calls()] == ["answered"]
    end(outgoing, incoming)

    record = lab.record()
    assert (record["caller"], record["called"], record["direction"]) == ("1001", "1002", "internal")
    assert (record["result"], record["ended_by"], record["q850"]) == ("success", "caller", 16)
    assert record["started_at"] <= record["answered_at"] < record["ended_at"]
    assert record["duration_s"] > 0.5
    assert [leg["role"] for leg in record["legs"]] == ["caller", "callee"]
    for leg in record["legs"]:
        assert leg["codec"] == "PCMU"
        assert leg["quality"]["packets_received"] > 25
        assert leg["quality"]["loss_percent"] < 1
        assert leg["quality"]["mos"] > 4


@pytest.mark.parametrize("make", [BARESIP, PJSUA2, DEBIAN], ids=lambda make: make.name.lower())
def test_the_callee_hangs_up(lab: Lab, make: Make) -> None:
    outgoing, incoming = converse(lab.phone(make, "1001"), lab.phone(make, "1002"))
    end(incoming, outgoing)
    record = lab.record()
    assert (record["result"], record["ended_by"], record["q850"]) == ("success", "callee", 16)


def test_the_caller_hears_ringing_and_the_callee_sees_who_calls(lab: Lab) -> None:
    one, other = lab.phone(PJSUA2, "1001"), lab.phone(PJSUA2, "1002")
    outgoing = one.dial("1002").rings()
    incoming = other.incoming()
    assert "1001@" in incoming.caller
    assert [call["state"] for call in lab.house.calls()] == ["ringing"]
    incoming.answer()
    outgoing.established()
    talk(outgoing, incoming)
    end(outgoing, incoming)
    assert lab.record()["ringing_at"] is not None


def test_a_caller_with_one_law_and_a_callee_with_the_other(lab: Lab) -> None:
    one = lab.phone(BARESIP, "1001", codecs=("PCMU",))
    other = lab.phone(PJSUA2, "1002", codecs=("PCMA",))
    outgoing, incoming = converse(one, other)
    end(outgoing, incoming)
    assert [leg["codec"] for leg in lab.record()["legs"]] == ["PCMU", "PCMA"]


def test_two_calls_at_once_do_not_hear_each_other(lab: Lab) -> None:
    phones = [lab.phone(BARESIP, extension) for extension in ("1001", "1002", "1003", "1004")]
    pairs = [connect(phones[0], phones[1]), connect(phones[2], phones[3])]
    for outgoing, incoming in pairs:
        talk(outgoing, incoming)
    assert len(lab.house.calls()) == 2
    for outgoing, incoming in pairs:
        end(outgoing, incoming)


def test_a_call_goes_on_for_a_while_without_a_hole(lab: Lab) -> None:
    outgoing, incoming = connect(lab.phone(BARESIP, "1001"), lab.phone(BARESIP, "1002"))
    talk(outgoing, incoming, seconds=10)
    end(outgoing, incoming)
    assert all(leg["quality"]["packets_lost"] == 0 for leg in lab.record()["legs"])
