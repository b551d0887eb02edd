"""The resolver against a real DNS server on loopback: answers, absences, silence, truncation, and the files."""

from __future__ import annotations

import asyncio
import os
import random
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from pbxd.sip.answers import Cache, Hosts, ResolverSettings
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.lookup import Answer, Kind, Means, Question, ResolveError, Trouble
from pbxd.sip.resolve import Resolver
from pbxd.sip.uri import Uri

ZONE = """
example.test.             60 NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.example.test.
_sip._udp.example.test.   60 SRV   10 0 5070 one.example.test.
_sip._udp.example.test.   60 SRV   20 0 5071 two.example.test.
one.example.test.         60 A     192.0.2.1
one.example.test.         60 AAAA  2001:db8::1
two.example.test.         60 CNAME real.example.test.
real.example.test.        60 A     192.0.2.2
zero.example.test.         0 A     192.0.2.3
_sip._udp.closed.test.    60 SRV   0 0 0 .
"""
SOA = dns.rrset.from_text("test.", 900, "IN", "SOA", "ns.test. admin.test. 1 60 60 60 120")


class NameServer(asyncio.DatagramProtocol):
    """Authoritative for `test.`, on UDP and TCP of one port. Names that begin with `dead` get no answer, `broken` a
    SERVFAIL, `slow` one that `release` lets go; `big` has 60 addresses and is truncated over UDP."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.over_tcp = 0
        self.alive = True
        self.release = asyncio.Event()
        self.waiting: set[asyncio.Task[None]] = set()
        rows: dict[tuple[str, str], list[str]] = {}
        ttls: dict[tuple[str, str], int] = {}
        for name, ttl, kind, data in (line.split(None, 3) for line in ZONE.strip().splitlines()):
            rows.setdefault((name, kind), []).append(data)
            ttls[name, kind] = int(ttl)
        self.records = {
            (name, dns.rdatatype.from_text(kind)): dns.rrset.from_text_list(name, ttls[name, kind], "IN", kind, data)
            for (name, kind), data in rows.items()
        }

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):  # a port that is free on TCP and on UDP
            self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            self.port = int(self.server.sockets[0].getsockname()[1])
            try:
                self.udp, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", self.port))
            except OSError:
                self.server.close()
            else:
                return
        pytest.fail("no port is free on UDP and TCP")

    async def stop(self) -> None:
        self.udp.close()
        self.server.close()
        await self.server.wait_closed()
        for task in self.waiting:
            task.cancel()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        if query.question[0].name.to_text().startswith("slow"):
            task = asyncio.get_running_loop().create_task(self.answer_late(query, addr))
            self.waiting.add(task)
        elif (response := self.answer(query)) is not None:
            self.udp.sendto(self.fit(response), addr)

    async def answer_late(self, query: dns.message.Message, addr: tuple[str, int]) -> None:
        await self.release.wait()
        response = self.answer(query)
        assert response is not None
        self.udp.sendto(response.to_wire(), addr)

    def fit(self, response: dns.message.Message) -> bytes:
        if len(response.to_wire()) > 512:
            response.answer.clear()
            response.flags |= dns.flags.TC
        return response.to_wire()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        self.over_tcp += 1
        response = self.answer(dns.message.from_wire(await reader.readexactly(length)))
        assert response is not None
        wire = response.to_wire()
        writer.write(struct.pack("!H", len(wire)) + wire)
        writer.close()
        await writer.wait_closed()

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        name, kind = query.question[0].name.to_text(), query.question[0].rdtype
        self.asked[f"{name}/{dns.rdatatype.to_text(kind)}"] += 1
        if not self.alive or name.startswith("dead"):
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name.startswith("broken"):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name.startswith("big") and kind == dns.rdatatype.A:
            addresses = [f"198.51.100.{i}" for i in range(60)]
            response.answer.append(dns.rrset.from_text_list(name, 60, "IN", "A", addresses))
        elif name.startswith("slow") and kind == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.77"))
        else:
            self.look_up(response, name, kind)
        return response

    def look_up(self, response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        alias = self.records.get((name, dns.rdatatype.CNAME))
        if alias is not None:
            response.answer.append(alias)
            name = alias[0].target.to_text()
        found = self.records.get((name, kind))
        if found is not None:
            response.answer.append(found)
        else:
            response.authority.append(SOA)
            if not any(owner == name for owner, _ in self.records):
                response.set_rcode(dns.rcode.NXDOMAIN)


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    server = NameServer()
    await server.start()
    yield server
    await server.stop()


def settings(server: NameServer, tmp_path: Path) -> ResolverSettings:
    return ResolverSettings(nameservers=("127.0.0.1",), port=server.port, hosts=tmp_path / "hosts")


def hasty(server: NameServer, tmp_path: Path) -> ResolverSettings:
    """For those who get no answer."""
    return replace(settings(server, tmp_path), try_s=0.15, question_s=0.35)


@pytest.fixture
async def resolver(server: NameServer, tmp_path: Path) -> AsyncIterator[Resolver]:
    (tmp_path / "hosts").write_text("192.0.2.50 Desk.LAN desk # the phone\n2001:db8::50 desk.lan\nnonsense x\n")
    resolver = Resolver(Means(), random.Random(1), settings(server, tmp_path))
    yield resolver
    await resolver.close()
    assert resolver.pending == 0


async def ask(resolver: Resolver, uri: str) -> list[Destination] | ResolveError:
    future: asyncio.Future[list[Destination] | ResolveError] = asyncio.get_running_loop().create_future()
    resolver.destinations(Uri.parse(uri), future.set_result)
    return await future


def at_once(resolver: Resolver, uri: str) -> list[Destination] | ResolveError | None:
    results: list[list[Destination] | ResolveError] = []
    resolver.destinations(Uri.parse(uri), results.append)
    return results[0] if results else None


def trouble(result: list[Destination] | ResolveError) -> Trouble:
    assert isinstance(result, ResolveError)
    return result.trouble


def udp(host: str, port: int = 5060) -> Destination:
    return Destination(Transport.UDP, host, port)


async def test_naptr_srv_and_addresses_over_real_dns(server: NameServer, resolver: Resolver) -> None:
    expected = [udp("192.0.2.1", 5070), udp("2001:db8::1", 5070), udp("192.0.2.2", 5071)]
    assert await ask(resolver, "sip:a@example.test") == expected
    asked = server.asked.total()
    assert at_once(resolver, "sip:b@example.test") == expected  # from the cache, without a task
    assert server.asked.total() == asked


async def test_an_address_is_answered_before_the_call_returns(resolver: Resolver) -> None:
    assert at_once(resolver, "sip:a@192.0.2.9:5080") == [udp("192.0.2.9", 5080)]
    assert at_once(resolver, "sip:a@[2001:db8::9]") == [udp("2001:db8::9")]


async def test_many_who_ask_the_same_share_one_question(server: NameServer, resolver: Resolver) -> None:
    results = await asyncio.gather(*(ask(resolver, "sip:a@one.example.test:5060") for _ in range(50)))
    assert all(result == [udp("192.0.2.1"), udp("2001:db8::1")] for result in results)
    assert server.asked == {"one.example.test./A": 1, "one.example.test./AAAA": 1}


async def test_an_absence_is_remembered_as_long_as_the_zone_says(server: NameServer, resolver: Resolver) -> None:
    assert trouble(await ask(resolver, "sip:a@nobody.test:5060")) is Trouble.NO_SUCH_HOST
    asked = server.asked.total()
    result = at_once(resolver, "sip:a@nobody.test:5060")
    assert result is not None
    assert trouble(result) is Trouble.NO_SUCH_HOST
    assert server.asked.total() == asked


async def test_a_domain_without_sip_says_so(resolver: Resolver) -> None:
    assert trouble(await ask(resolver, "sip:a@closed.test;transport=udp")) is Trouble.NOT_SERVED


async def test_a_silent_server_ends_in_a_timeout(server: NameServer, tmp_path: Path) -> None:
    resolver = Resolver(Means(), random.Random(1), hasty(server, tmp_path))
    assert trouble(await ask(resolver, "sip:a@dead.test:5060")) is Trouble.TIMEOUT
    assert server.asked["dead.test./A"] > 1  # tried again within its time
    await resolver.close()


async def test_a_failing_server_is_told_from_a_silent_one(resolver: Resolver) -> None:
    assert trouble(await ask(resolver, "sip:a@broken.test:5060")) is Trouble.SERVER_FAILURE


async def test_a_port_where_nobody_listens_is_silence_too(server: NameServer, tmp_path: Path) -> None:
    port = server.port
    await server.stop()
    resolver = Resolver(Means(), random.Random(1), replace(hasty(server, tmp_path), port=port))
    assert trouble(await ask(resolver, "sip:a@one.example.test:5060")) is Trouble.TIMEOUT
    await resolver.close()
    await server.start()


async def test_a_truncated_answer_is_fetched_over_tcp(server: NameServer, resolver: Resolver) -> None:
    result = await ask(resolver, "sip:a@big.test:5060")
    assert isinstance(result, list)
    assert len(result) == 16
    assert server.over_tcp == 1


async def test_a_slow_answer_holds_up_nobody_else(server: NameServer, resolver: Resolver) -> None:
    slow = asyncio.ensure_future(ask(resolver, "sip:a@slow.test:5060"))
    assert await ask(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    assert not slow.done()
    server.release.set()
    assert await slow == [udp("192.0.2.77")]


async def test_while_dns_is_down_an_old_answer_serves(server: NameServer, tmp_path: Path) -> None:
    """RFC 8767: the trunk's name has been resolved before, and calls go on."""
    brief = replace(hasty(server, tmp_path), min_ttl_s=0.0, max_ttl_s=0.0)
    resolver = Resolver(Means(kinds=(Kind.A,)), random.Random(1), brief)
    assert await ask(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    assert at_once(resolver, "sip:a@real.example.test:5060") is None
    await ask(resolver, "sip:a@real.example.test:5060")
    server.alive = False
    assert await ask(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    assert at_once(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    await resolver.close()


async def test_an_answer_that_must_not_be_kept_is_still_used(resolver: Resolver) -> None:
    assert await ask(resolver, "sip:a@zero.example.test:5060") == [udp("192.0.2.3")]


async def test_close_answers_everyone_who_waits(server: NameServer, tmp_path: Path) -> None:
    resolver = Resolver(Means(), random.Random(1), settings(server, tmp_path))
    results: list[list[Destination] | ResolveError] = []
    for host in ("dead.test", "slow.test"):
        resolver.destinations(Uri.parse(f"sip:a@{host}"), results.append)
    assert results == []
    await resolver.close()
    assert [trouble(result) for result in results] == [Trouble.CLOSED, Trouble.CLOSED]
    late = at_once(resolver, "sip:a@192.0.2.1")
    assert late is not None
    assert trouble(late) is Trouble.CLOSED
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} <= server.waiting


async def test_more_questions_than_allowed_are_refused_at_once(server: NameServer, tmp_path: Path) -> None:
    resolver = Resolver(Means(), random.Random(1), replace(settings(server, tmp_path), max_questions=4))
    results: list[list[Destination] | ResolveError] = []
    for i in range(10):
        resolver.destinations(Uri.parse(f"sip:a@dead{i}.test:5060"), results.append)
    assert [trouble(result) for result in results] == [Trouble.BUSY] * 8
    assert resolver.pending == 2
    await resolver.close()


async def test_a_listener_that_raises_harms_nobody(resolver: Resolver, caplog: pytest.LogCaptureFixture) -> None:
    def explode(result: list[Destination] | ResolveError) -> None:
        raise RuntimeError("bystander")

    resolver.destinations(Uri.parse("sip:a@real.example.test:5060"), explode)
    assert await ask(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    assert "who asked for real.example.test failed" in caplog.text


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@desk.lan", [udp("192.0.2.50"), udp("2001:db8::50")]),
        ("sip:a@DESK:5070", [udp("192.0.2.50", 5070)]),
        ("sip:a@localhost:5070", [udp("127.0.0.1", 5070), udp("::1", 5070)]),
        ("sip:a@pbx.localhost", [udp("127.0.0.1"), udp("::1")]),
    ],
)
async def test_the_hosts_file_is_asked_first_and_dns_not_at_all(
    server: NameServer, resolver: Resolver, uri: str, expected: list[Destination]
) -> None:
    assert at_once(resolver, uri) == expected
    assert not server.asked


def test_the_hosts_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    hosts = Hosts(path, 5.0)
    question = Question("gate", Kind.A)
    assert hosts.answer(question, 0.0) is None
    path.write_text("192.0.2.1 gate\n")
    assert hosts.answer(question, 4.9) is None  # not looked at yet
    assert hosts.answer(question, 5.0) == Answer(("192.0.2.1",))
    path.write_text("192.0.2.2 gate\n")
    os.utime(path, (1, 1))
    assert hosts.answer(question, 10.0) == Answer(("192.0.2.2",))
    path.unlink()
    assert hosts.answer(question, 15.0) is None


async def test_resolv_conf_is_followed_when_it_changes(server: NameServer, tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# nothing yet\n")
    named = replace(
        settings(server, tmp_path), nameservers=(), resolv_conf=path, recheck_files_s=0.0, trouble_ttl_s=0.0
    )
    resolver = Resolver(Means(), random.Random(1), named)
    assert trouble(await ask(resolver, "sip:a@real.example.test:5060")) is Trouble.SERVER_FAILURE
    path.write_text("nameserver 127.0.0.1\n")
    os.utime(path, (1, 1))
    assert await ask(resolver, "sip:a@real.example.test:5060") == [udp("192.0.2.2")]
    await resolver.close()


def a(name: str) -> Question:
    return Question(name, Kind.A)


LIFETIMES: list[tuple[Answer, float | None, float]] = [
    (Answer(("192.0.2.1",)), 60.0, 60.0),
    (Answer(("192.0.2.1",)), 0.0, 1.0),
    (Answer(("192.0.2.1",)), 1e6, 3600.0),
    (Answer(), None, 30.0),
    (Answer(), 120.0, 120.0),
    (Answer(), 1e6, 300.0),
    (Answer(trouble=Trouble.TIMEOUT), None, 5.0),
]


@pytest.mark.parametrize(("answer", "ttl", "lifetime"), LIFETIMES)
def test_how_long_an_answer_holds(answer: Answer, ttl: float | None, lifetime: float) -> None:
    cache = Cache(ResolverSettings())
    assert cache.put(a("x"), answer, ttl, 1000.0) is answer
    assert cache.get(a("x"), 1000.0 + lifetime - 0.01) is answer
    assert cache.get(a("x"), 1000.0 + lifetime) is None


def test_the_cache_is_bounded_and_drops_what_was_used_least() -> None:
    cache = Cache(ResolverSettings(cache_entries=3))
    keep: Callable[[str], Answer] = lambda name: cache.put(a(name), Answer((name,)), 60.0, 0.0)  # noqa: E731
    for name in ("one", "two", "three"):
        keep(name)
    assert cache.get(a("one"), 1.0)
    keep("four")
    assert len(cache) == 3
    assert cache.get(a("two"), 1.0) is None
    assert cache.get(a("one"), 1.0) == Answer(("one",))


def test_an_old_answer_is_not_used_for_ever() -> None:
    cache = Cache(ResolverSettings(max_stale_s=100.0))
    old, trouble_ = Answer(("192.0.2.1",)), Answer(trouble=Trouble.TIMEOUT)
    cache.put(a("x"), old, 10.0, 0.0)
    assert cache.put(a("x"), trouble_, None, 99.0) is old
    assert cache.put(a("x"), trouble_, None, 105.0) is trouble_
