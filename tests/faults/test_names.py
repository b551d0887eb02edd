"""DNS is dead: it never answers, or says that it cannot. Who is called by address does not notice."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random

import dns.message
import dns.rcode
import pytest

from pbxd.sip.answers import ResolverSettings
from pbxd.sip.flow import Destination
from pbxd.sip.lookup import Kind, Means, ResolveError, Trouble
from pbxd.sip.resolve import Resolver
from pbxd.sip.uri import Uri
from tests.clients.lab import Lab
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog, register
from tests.clients.until import until
from tests.faults.ailing import PEER, AilingHouse, EchoCall
from tests.faults.conftest import NewHouse

Stage = Callable[[AilingHouse], Lab]
BOUNDED_S = 9.0  # three questions at the most, of 2.5 s each
SERVER = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255 or 1}"
"""An address for a name server that no other worker has."""


class Asked:
    """Whether anybody asked the name server on `port`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.event = threading.Event()

    def __call__(self) -> bool:
        return self.event.is_set()


@contextmanager
def dead_server(address: str, port: int, *, says: dns.rcode.Rcode | None) -> Iterator[Asked]:
    """A name server that hears everything and answers nothing, or always the same."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        server.settimeout(0.1)
        asked = Asked(server.getsockname()[1])
        over = threading.Event()

        def answer() -> None:
            while not over.is_set():
                try:
                    data, source = server.recvfrom(4096)
                except TimeoutError:
                    continue
                asked.event.set()
                if says is not None:
                    reply = dns.message.make_response(dns.message.from_wire(data))
                    reply.set_rcode(says)
                    server.sendto(reply.to_wire(), source)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()


SETTINGS = {
    "trunks.named.proxy": "sip:trunk.example.net:5070",
    "routes": [{"match": "8XXX", "trunk": "lab-uas"}, {"match": "7XXX", "trunk": "named"}],
}


@pytest.mark.parametrize(
    ("says", "reason", "words"),
    [
        (None, "timeout", "no DNS server answered in time"),
        (dns.rcode.SERVFAIL, "server_failure", "the DNS servers could not answer"),
    ],
)
def test_only_calls_by_name_notice_that_dns_is_dead(
    says: dns.rcode.Rcode | None,
    reason: str,
    words: str,
    tmp_path: Path,
    interposer: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_house: NewHouse,
    stage: Stage,
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {SERVER}\n")
    monkeypatch.setenv("LD_PRELOAD", str(interposer))
    monkeypatch.setenv("PBXD_TEST_RESOLV_CONF", str(conf))
    with dead_server(SERVER, 53, says=says) as asked:
        house = new_house(**SETTINGS)
        lab = stage(house)
        phone, provider = lab.raw(), lab.raw(address="127.0.0.1", port=house.uas_port)
        assert register(phone, "1001", "lab-1001").status == 200
        before = EchoCall(lab)
        lost = lab.raw(address=PEER)
        dialog = RawDialog.calling(lost, "outside", "7001")
        begun = time.monotonic()
        sent = dialog.send("INVITE", body=sdp(PEER, 40_000))
        for number, callee in (("1001", phone), ("8001", provider)):  # while that look-up is under way, or failed
            ringing = RawDialog.calling(lab.raw(address=PEER), "outside", number)
            invite = ringing.send("INVITE", body=sdp(PEER, 40_000))
            callee.respond(callee.request("INVITE"), 486, tag="busy")
            ringing.acknowledge_failure(invite, ringing.sip.response(486, method="INVITE"))
        before.hears_itself()
        answer = lost.response(method="INVITE", timeout=BOUNDED_S)
        dialog.acknowledge_failure(sent, answer)
        assert (answer.status, asked()) == (503, True)
        assert time.monotonic() - begun < BOUNDED_S
        record = until(lambda: [one for one in house.records() if one["called"] == "7001"], "the record")[0]
        assert (record["reason"], record["result"]) == (f"named cannot be found: {words}", "server")
        assert house.metrics()[f'pbxd_sip_lookups_failed_total{{reason="{reason}"}}'] == 1
        assert house.ready()[1]["status"] == "ready"
        before.hang_up()


@pytest.mark.parametrize("looks", range(1, 5))
async def test_a_question_ends_in_time_though_the_clock_is_set_back(
    looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dnspython reckons with the wall clock. Set back between two looks at it, it waits for the hour to pass again."""
    loop = asyncio.get_running_loop()
    with dead_server("127.0.0.1", 0, says=None) as asked:
        settings = ResolverSettings(
            nameservers=("127.0.0.1",), port=asked.port, hosts=tmp_path / "none", question_s=0.2, try_s=0.2
        )
        resolver = Resolver(Means(kinds=(Kind.A,)), Random(1), settings)
        wall, looked = time.time, count(1)
        monkeypatch.setattr(time, "time", lambda: wall() - (3600.0 if next(looked) > looks else 0.0))
        found: asyncio.Future[list[Destination] | ResolveError] = loop.create_future()
        begun = loop.time()
        resolver.destinations(Uri.parse("sip:trunk.example.net:5070"), found.set_result)
        async with asyncio.timeout(5):
            result = await found
        assert isinstance(result, ResolveError)
        assert result.trouble is Trouble.TIMEOUT
        assert loop.time() - begun < 2.0
        assert (resolver.failures[Trouble.TIMEOUT], next(looked) > looks) == (1, True)
        await resolver.close()
