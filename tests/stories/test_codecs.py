"""Wideband codecs between real phones: passed untouched, heard at both ends, and changed to what both can."""

from collections.abc import Callable

import pytest

from tests.clients.lab import Lab, connect, converse, end
from tests.clients.phones import Make

DEBIAN, PJSUA2, BARESIP = Make.BARESIP_DEBIAN, Make.PJSUA2, Make.BARESIP_PY


def codecs_of(lab: Lab) -> list[str]:
    """The codec of each leg of the call that has just ended; also asserts that sound came from both sides."""
    record = lab.record()
    assert record["result"] == "success"
    for leg in record["legs"]:
        assert leg["quality"]["packets_received"] > 25
        assert leg["quality"]["loss_percent"] < 1
        assert leg["quality"]["jitter_ms"] < 10
    return [leg["codec"] for leg in record["legs"]]


@pytest.mark.parametrize("codec", ["opus", "G722"])
def test_two_phones_of_one_codec_hear_each_other(lab: Lab, codec: str) -> None:
    one = lab.phone(DEBIAN, "1001", codecs=(codec, "PCMU"))
    other = lab.phone(DEBIAN, "1002", codecs=("PCMA", codec))
    end(*converse(one, other))
    assert codecs_of(lab) == [codec, codec]


def test_bare_samples_where_the_house_allows_them(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**{"codecs.allow": ["L16/16000", "PCMU"]})
    one = lab.phone(DEBIAN, "1001", codecs=("L16/16000", "PCMU"))
    other = lab.phone(DEBIAN, "1002", codecs=("L16/16000",))
    end(*converse(one, other))
    assert codecs_of(lab) == ["L16/16000", "L16/16000"]


def test_phones_of_another_make_agree_on_g722(lab: Lab) -> None:
    """Among themselves: this make plays G.722 6 dB louder than it was said by others."""
    one, other = lab.phone(PJSUA2, "1001", codecs=("G722",)), lab.phone(PJSUA2, "1002", codecs=("G722", "PCMA"))
    outgoing, incoming = converse(one, other)
    end(incoming, outgoing)
    assert codecs_of(lab) == ["G722", "G722"]


def test_a_phone_that_speaks_opus_only_is_called_in_opus(lab: Lab) -> None:
    one = lab.phone(DEBIAN, "1001", codecs=("PCMU", "opus"))
    other = lab.phone(DEBIAN, "1012", codecs=("PCMU", "opus"))
    end(*converse(one, other))
    assert codecs_of(lab) == ["opus", "opus"]


def test_who_offers_more_is_brought_to_what_both_have(lab: Lab) -> None:
    one = lab.phone(DEBIAN, "1001", codecs=("opus", "G722", "PCMU"))
    other = lab.phone(PJSUA2, "1002", codecs=("PCMA",))
    end(*converse(one, other))
    assert codecs_of(lab) == ["PCMU", "PCMA"]


@pytest.mark.parametrize("codec", ["opus", "G722"])
def test_the_echo_speaks_it_too(lab: Lab, codec: str) -> None:
    phone = lab.phone(DEBIAN, "1001", codecs=(codec,))
    call = phone.dial("600").established()
    call.hears(phone.line.tone_hz)
    call.hang_up()
    assert codecs_of(lab) == [codec]


@pytest.mark.parametrize("codec", ["opus", "G722"])
def test_digits_beside_wideband(lab: Lab, codec: str) -> None:
    """This make says telephone-event at 8000 Hz, whatever the clock of its codec. (Its ears hear 8 kHz only.)"""
    one, other = lab.phone(BARESIP, "1001", codecs=(codec,)), lab.phone(BARESIP, "1002", codecs=(codec,))
    outgoing, incoming = connect(one, other)
    outgoing.send_digits("159#")
    assert incoming.receive_digits(4) == "159#"
    incoming.send_digits("20")
    assert outgoing.receive_digits(2) == "20"
    end(outgoing, incoming)
    assert codecs_of(lab) == [codec, codec]


@pytest.mark.parametrize(("one", "other"), [("PCMU", "opus"), ("G722", "PCMA"), ("opus", "G722")])
def test_phones_with_nothing_in_common_hear_each_other_through_a_room(lab: Lab, one: str, other: str) -> None:
    caller = lab.phone(DEBIAN, "1001", codecs=(one,))
    callee = lab.phone(DEBIAN, "1002", codecs=(other,))
    end(*converse(caller, callee))
    assert codecs_of(lab) == [one, other]
