"""RFC 3263 and RFC 2782 without a network: a zone as a table, the machine asked what it asks."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pbxd.sip.flow import Destination, Transport
from pbxd.sip.lookup import (
    MAX_DESTINATIONS,
    Answer,
    Kind,
    Means,
    Naptr,
    Question,
    Record,
    ResolveError,
    Srv,
    Trouble,
    lookup,
    order_by_weight,
)
from pbxd.sip.uri import Uri

Zone = dict[tuple[str, Kind], Answer]
N, S, A, AAAA = Kind.NAPTR, Kind.SRV, Kind.A, Kind.AAAA


def records(*rows: Record) -> Answer:
    return Answer(rows)


def drive(uri: str, zone: Zone, means: Means | None = None, *, verify: bool = True) -> tuple[list[str], list[str]]:
    """The destinations as text, and every question that was asked, round by round."""
    machine = lookup(Uri.parse(uri), means or Means(), random.Random(1), verify=verify)
    asked: list[str] = []
    answers: dict[Question, Answer] = {}
    try:
        questions = next(machine)
        while True:
            asked.append(" ".join(f"{each.name}/{each.kind.value}" for each in questions))
            answers = {each: zone.get((each.name, each.kind), Answer()) for each in questions}
            questions = machine.send(answers)
    except StopIteration as done:
        return [text(each) for each in done.value], asked


def text(destination: Destination) -> str:
    named = f" {destination.server_name}" if destination.server_name else ""
    return f"{destination.transport.value} {destination.host} {destination.port}{named}"


HOST: Zone = {("example.com", A): records("192.0.2.1"), ("example.com", AAAA): records("2001:db8::1")}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@192.0.2.9", "UDP 192.0.2.9 5060"),
        ("sip:a@192.0.2.9:5080", "UDP 192.0.2.9 5080"),
        ("sip:a@192.0.2.9;transport=tcp", "TCP 192.0.2.9 5060"),
        ("sip:a@192.0.2.9;transport=TLS", "TLS 192.0.2.9 5061 192.0.2.9"),
        ("sips:a@192.0.2.9", "TLS 192.0.2.9 5061 192.0.2.9"),
        ("sips:a@192.0.2.9:5071;transport=tcp", "TLS 192.0.2.9 5071 192.0.2.9"),
        ("sip:a@[2001:db8::0:9]", "UDP 2001:db8::9 5060"),
        ("sip:a@example.com;maddr=192.0.2.5", "UDP 192.0.2.5 5060"),
    ],
)
def test_an_address_needs_no_question(uri: str, expected: str) -> None:
    assert drive(uri, {}) == ([expected], [])


def test_an_explicit_port_rules_out_naptr_and_srv() -> None:
    found, asked = drive("sip:a@Example.COM.:5080", HOST)
    assert found == ["UDP 192.0.2.1 5080", "UDP 2001:db8::1 5080"]
    assert asked == ["example.com/A example.com/AAAA"]


def test_without_naptr_and_srv_the_host_itself_is_tried() -> None:
    found, asked = drive("sip:a@example.com", HOST)
    assert found == ["UDP 192.0.2.1 5060", "UDP 2001:db8::1 5060"]
    assert asked == [
        "example.com/NAPTR",
        "_sip._udp.example.com/SRV _sip._tcp.example.com/SRV _sips._tcp.example.com/SRV",
        "example.com/A example.com/AAAA",
    ]


def test_a_transport_parameter_asks_for_its_srv_alone() -> None:
    zone: Zone = {
        ("_sip._tcp.example.com", S): records(Srv(1, 0, 5070, "one.example.net")),
        ("one.example.net", A): records("192.0.2.11"),
    }
    found, asked = drive("sip:a@example.com;transport=tcp", zone)
    assert found == ["TCP 192.0.2.11 5070"]
    assert asked == ["_sip._tcp.example.com/SRV", "one.example.net/A one.example.net/AAAA"]


def test_naptr_decides_by_order_then_preference_and_leaves_higher_orders_alone() -> None:
    """The example of RFC 3263 §4.1."""
    zone: Zone = {
        ("example.com", N): records(
            Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
            Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.com"),
            Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
            Naptr(50, 10, "S", "sip+d2t", "_sip._tcp.example.com"),
            Naptr(10, 10, "u", "SIP+D2U", "_wrong.flags.example.com"),
            Naptr(10, 10, "s", "SIP+D2S", "_sctp.example.com"),
        ),
        ("_sips._tcp.example.com", S): records(Srv(0, 1, 5061, "server1.example.com")),
        ("_sip._tcp.example.com", S): records(Srv(0, 1, 5060, "server2.example.com")),
        ("server1.example.com", A): records("192.0.2.21"),
        ("server2.example.com", A): records("192.0.2.22"),
    }
    found, asked = drive("sip:a@example.com", zone)
    assert found == ["TCP 192.0.2.22 5060", "TLS 192.0.2.21 5061 example.com"]
    assert asked[1] == "_sip._tcp.example.com/SRV _sips._tcp.example.com/SRV"


def test_a_sips_uri_uses_only_secure_services() -> None:
    zone: Zone = {
        ("example.com", N): records(
            Naptr(10, 10, "s", "SIP+D2T", "_sip._tcp.example.com"),
            Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.other.example"),
        ),
        ("_sips._tcp.other.example", S): records(Srv(0, 1, 5061, "server1.example.com")),
        ("server1.example.com", A): records("192.0.2.21"),
    }
    found, asked = drive("sips:a@example.com", zone)
    assert found == ["TLS 192.0.2.21 5061 example.com"]
    assert asked[1] == "_sips._tcp.other.example/SRV"
    found, asked = drive("sips:a@example.com", HOST)
    assert asked[1] == "_sips._tcp.example.com/SRV"
    assert found[0] == "TLS 192.0.2.1 5061 example.com"


def test_srv_targets_are_a_failover_list_by_priority() -> None:
    zone: Zone = {
        ("_sip._udp.example.com", S): records(
            Srv(20, 0, 5060, "backup.example.com"), Srv(10, 0, 5062, "main.example.com")
        ),
        ("main.example.com", A): records("192.0.2.1", "192.0.2.2"),
        ("main.example.com", AAAA): records("2001:db8::1"),
        ("backup.example.com", A): records("192.0.2.3"),
    }
    found, _ = drive("sip:a@example.com;transport=udp", zone)
    assert found == ["UDP 192.0.2.1 5062", "UDP 192.0.2.2 5062", "UDP 2001:db8::1 5062", "UDP 192.0.2.3 5060"]


def test_families_are_tried_in_the_order_the_host_likes() -> None:
    means = Means(kinds=(AAAA, A))
    assert drive("sip:a@example.com:5060", HOST, means)[0] == ["UDP 2001:db8::1 5060", "UDP 192.0.2.1 5060"]
    assert drive("sip:a@example.com:5060", HOST, Means(kinds=(A,))) == (["UDP 192.0.2.1 5060"], ["example.com/A"])


def test_dns_trouble_with_naptr_and_srv_does_not_stop_the_way_to_the_host() -> None:
    failing = Answer(trouble=Trouble.SERVER_FAILURE)
    zone: Zone = {**HOST, ("example.com", N): failing, ("_sip._udp.example.com", S): failing}
    assert drive("sip:a@example.com", zone)[0][0] == "UDP 192.0.2.1 5060"


def test_an_address_in_an_srv_record_is_used_though_forbidden() -> None:
    zone: Zone = {("_sip._udp.example.com", S): records(Srv(1, 1, 5066, "192.0.2.66"))}
    assert drive("sip:a@example.com;transport=udp", zone) == (["UDP 192.0.2.66 5066"], ["_sip._udp.example.com/SRV"])


@pytest.mark.parametrize(
    ("uri", "zone", "trouble"),
    [
        ("tel:+123", {}, Trouble.UNSUPPORTED),
        ("sip:a@example.com;transport=sctp", {}, Trouble.UNSUPPORTED),
        ("sips:a@example.com;transport=udp", {}, Trouble.UNSUPPORTED),
        ("sip:a@example.com", {}, Trouble.NO_SUCH_HOST),
        (f"sip:a@192.0.2.1;maddr={'x' * 64}.com", {}, Trouble.BAD_NAME),
        ("sip:a@192.0.2.1;maddr=a..b", {}, Trouble.BAD_NAME),
        (
            "sip:a@example.com;transport=udp",
            {**HOST, ("_sip._udp.example.com", S): records(Srv(0, 0, 0, ""))},
            Trouble.NOT_SERVED,
        ),
        (
            "sip:a@example.com:5060",
            {("example.com", A): Answer(trouble=Trouble.TIMEOUT)},
            Trouble.TIMEOUT,
        ),
    ],
)
def test_what_leads_nowhere_says_why(uri: str, zone: Zone, trouble: Trouble) -> None:
    with pytest.raises(ResolveError) as caught:
        drive(uri, zone)
    assert caught.value.trouble is trouble


def test_a_transport_we_do_not_have_is_not_promised() -> None:
    means = Means(transports=(Transport.UDP, Transport.TCP))
    for uri in ("sips:a@192.0.2.1", "sip:a@example.com;transport=tls", "sips:a@example.com"):
        with pytest.raises(ResolveError) as caught:
            drive(uri, HOST, means)
        assert caught.value.trouble is Trouble.UNSUPPORTED


def test_without_verify_no_name_is_demanded() -> None:
    assert drive("sips:a@example.com:5061", HOST, verify=False)[0][0] == "TLS 192.0.2.1 5061"


def test_a_flood_of_records_is_cut() -> None:
    servers = records(*(Srv(1, 1, 5060 + i, f"s{i}.example.com") for i in range(500)))
    zone: Zone = {("_sip._udp.example.com", S): servers}
    zone.update({(f"s{i}.example.com", A): records(*(f"192.0.2.{j}" for j in range(200))) for i in range(500)})
    found, asked = drive("sip:a@example.com;transport=udp", zone)
    assert len(found) == MAX_DESTINATIONS
    assert len(asked[1].split()) == 16


def test_weights_share_the_load_as_rfc_2782_says() -> None:
    rng = random.Random(42)
    rows = [Srv(1, 60, 1, "big"), Srv(1, 20, 1, "small"), Srv(1, 20, 1, "other"), Srv(1, 0, 1, "zero")]
    first = Counter(order_by_weight(rows, rng)[0].target for _ in range(10_000))
    assert 5600 < first["big"] < 6300
    assert 1700 < first["small"] < 2300
    assert 20 < first["zero"] < 300  # a chance, but a very small one
    assert sorted(each.target for each in order_by_weight(rows, rng)) == ["big", "other", "small", "zero"]


def test_priorities_come_before_weights() -> None:
    rows = [Srv(2, 65535, 1, "later"), Srv(1, 0, 1, "first")]
    assert [each.target for each in order_by_weight(rows, random.Random(1))] == ["first", "later"]
