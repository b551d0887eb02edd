"""600: the first number a person dials; everybody hears themselves."""

import pytest

from tests.clients import sipp
from tests.clients.lab import Lab
from tests.clients.line import Transport
from tests.clients.phones import Make


@pytest.mark.parametrize(
    ("make", "transport"),
    [
        (Make.BARESIP_PY, Transport.UDP),
        (Make.BARESIP_PY, Transport.TLS),
        (Make.PJSUA2, Transport.UDP),
        (Make.PJSUA2, Transport.TCP),
        (Make.PJSUA2, Transport.TLS),
        (Make.PYVOIP, Transport.UDP),
        (Make.BARESIP_DEBIAN, Transport.UDP),
        (Make.BARESIP_DEBIAN, Transport.TCP),
    ],
    ids=lambda value: value.name.lower(),
)
def test_the_echo_says_back_what_it_hears(lab: Lab, make: Make, transport: Transport) -> None:
    phone = lab.phone(make, "1001", transport=transport)
    call = phone.dial("600").established()
    call.hears(phone.line.tone_hz)
    call.hang_up()
    record = lab.record()
    assert (record["called"], record["result"], record["q850"]) == ("600", "success", 16)


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_the_echo_speaks_both_laws(lab: Lab, codec: str) -> None:
    phone = lab.phone(Make.PJSUA2, "1001", codecs=(codec,))
    call = phone.dial("600").established()
    call.hears(phone.line.tone_hz)
    call.hang_up()
    assert next(leg["codec"] for leg in lab.record()["legs"]) == codec


def test_sipp_with_a_password_calls_the_echo_without_registering(lab: Lab) -> None:
    local = (lab.house.block.address(), 5060)
    with sipp.uac(
        "uac_phone",
        lab.house.folder,
        server=lab.house.sip,
        local=local,
        media_port=lab.media_port(),
        caller="1001",
        password="lab-1001",
        number="600",
        talk_s=0.5,
    ) as caller:
        caller.succeeds()
    assert lab.record()["result"] == "success"
