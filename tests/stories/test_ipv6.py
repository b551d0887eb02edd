"""IPv6: registration and calls by way of [::1], and between the two families."""

import pytest

from tests.clients.lab import Lab, converse, end
from tests.clients.phones import Make
from tests.clients.raw_sip import register


@pytest.mark.parametrize("families", [(True, True), (True, False), (False, True)], ids=["6-6", "6-4", "4-6"])
def test_a_call_by_way_of_ipv6(lab: Lab, families: tuple[bool, bool]) -> None:
    one = lab.phone(Make.BARESIP_PY, "1001", ipv6=families[0])
    other = lab.phone(Make.BARESIP_PY, "1002", ipv6=families[1])
    sources = {binding["aor"]: binding["source"] for binding in lab.house.registrations()}
    assert sources["1001"].startswith("udp:[::1]:" if families[0] else "udp:127.0.0.1:")
    outgoing, incoming = converse(one, other)
    outgoing.hold()
    incoming.hears_nothing(seconds=0.5)
    outgoing.resume()
    incoming.hears(one.line.tone_hz)
    end(outgoing, incoming)


def test_the_echo_by_way_of_ipv6(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001", ipv6=True)
    call = phone.dial("600").established()
    call.hears(phone.line.tone_hz)
    call.hang_up()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_registering_by_way_of_ipv6(lab: Lab, tcp: bool) -> None:
    raw = lab.raw(ipv6=True, tcp=tcp)
    assert register(raw, "1003", "lab-1003").status == 200
    source = lab.house.registrations()[0]["source"]
    assert source == f"{'tcp' if tcp else 'udp'}:[::1]:{raw.port}"
