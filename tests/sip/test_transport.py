"""UDP through wire, the stack's one timer, binding, and overload, all on real sockets of both event loops."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from media.wire import Datagram, Wire
from pbxd.sip.connection import PING
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.lookup import Kind, Means
from pbxd.sip.losses import Loss
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.overload import OverloadReason
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import ClientTransaction, Failure, ServerTransaction
from pbxd.sip.transport import BindError, Transports, TransportSettings
from pbxd.sip.uri import Uri
from tests.network import LOOPBACK, Peer, Recorder, contexts, everywhere, later, options, running, soon, to

UDP = TransportSettings(udp=(LOOPBACK,))


async def test_a_datagram_comes_in_with_its_flow() -> None:
    machine = Recorder()
    async with running(UDP, machine) as transports, Peer.at() as peer:
        (bound,) = transports.bound[Transport.UDP]
        assert bound[1] > 0
        peer.send(b"hello", bound)
        assert await machine.next("datagram") == (b"hello", Flow(Transport.UDP, bound, peer.address, socket=1))


async def test_an_answer_leaves_by_the_socket_of_its_flow() -> None:
    machine = Recorder()
    settings = TransportSettings(udp=(LOOPBACK, ("127.0.0.2", 0), ("::1", 0)))
    async with running(settings, machine) as transports, Peer.at() as peer:
        for index in (1, 2):
            bound = transports.bound[Transport.UDP][index - 1]
            peer.send(b"ask", bound)
            _, flow = await machine.next("datagram")
            machine.outgoing = [to(Transport.UDP, peer.address, b"answer", flow=flow)]
            transports.flush()
            assert await peer.next() == (b"answer", bound)


@pytest.mark.parametrize(
    ("bound", "asked", "asker"),
    [("0.0.0.0", "127.0.0.5", "127.0.0.9"), ("::", "::1", "::1")],
)
async def test_an_answer_leaves_as_the_address_that_was_asked(bound: str, asked: str, asker: str) -> None:
    """RFC 3261 §18.2.2, RFC 3581 §4: for a socket that is bound to all addresses, too."""
    machine = Recorder()
    async with running(TransportSettings(udp=((bound, 0),)), machine) as transports, Peer.at(asker) as peer:
        port = transports.bound[Transport.UDP][0][1]
        peer.send(b"ask", (asked, port))
        flow = Flow(Transport.UDP, (asked, port), peer.address, socket=1)
        assert await machine.next("datagram") == (b"ask", flow)
        machine.outgoing = [to(Transport.UDP, peer.address, b"answer", flow=flow)]
        transports.flush()
        assert await peer.next() == (b"answer", (asked, port))
        assert transports.keep_alive(flow)
        assert await peer.next() == (PING, (asked, port))
        assert transports.addresses.sent_by(Destination(Transport.UDP, *peer.address, flow)) == (asked, port)


async def test_an_answer_leaves_by_another_address_when_its_own_is_gone() -> None:
    machine = Recorder()
    everything = TransportSettings(udp=(("0.0.0.0", 0),))
    async with running(everything, machine) as transports, Peer.at() as peer:
        port = transports.bound[Transport.UDP][0][1]
        flow = Flow(Transport.UDP, ("192.0.2.77", port), peer.address, socket=1)
        machine.outgoing = [to(Transport.UDP, peer.address, b"answer", flow=flow)]
        transports.flush()
        assert await peer.next() == (b"answer", ("127.0.0.1", port))


async def test_without_a_flow_the_kernel_and_the_family_choose_the_socket() -> None:
    machine = Recorder()
    settings = TransportSettings(udp=(("127.0.0.2", 0), LOOPBACK, ("::1", 0)))
    async with running(settings, machine) as transports, Peer.at() as old, Peer.at("::1") as new:
        machine.outgoing = [to(Transport.UDP, peer.address, b"x") for peer in (old, new)]
        transports.flush()
        assert await old.next() == (b"x", transports.bound[Transport.UDP][1])
        assert await new.next() == (b"x", transports.bound[Transport.UDP][2])
        via = [transports.addresses.sent_by(Destination(Transport.UDP, *peer.address)) for peer in (old, new)]
        assert via == [transports.bound[Transport.UDP][1], transports.bound[Transport.UDP][2]]


async def test_what_cannot_be_sent_comes_back_with_its_transaction_and_the_next_is_tried() -> None:
    machine = Recorder()
    async with running(UDP, machine) as transports, Peer.at() as peer:
        too_big = to(Transport.UDP, peer.address, bytes(70_000))
        no_way = to(Transport.UDP, ("2001:db8::1", 5060), b"x")
        nonsense = to(Transport.UDP, ("not an address", 5060), b"x")
        machine.outgoing = [too_big]
        machine.instead = [to(Transport.UDP, peer.address, b"second")]
        transports.flush()
        assert await machine.next("failed") is too_big
        assert (await peer.next())[0] == b"second"
        machine.outgoing = [no_way, nonsense]
        transports.flush()
        assert await machine.next("failed") is no_way
        assert await machine.next("failed") is nonsense
        lost = {loss: count for loss, count in transports.losses.items() if count}
        assert lost == {Loss.NETWORK: 1, Loss.NO_SOCKET: 1, Loss.NOT_AN_ADDRESS: 1}


async def test_failures_that_never_end_leave_the_loop_its_turns() -> None:
    class Stubborn(Recorder):
        attempts = 0
        enough = asyncio.Event()

        def transport_failed(self, what: object, now: float) -> None:
            self.attempts += 1
            if self.attempts < 1000:
                self.outgoing = [to(Transport.UDP, ("2001:db8::1", 5060), b"again")]
            else:
                self.enough.set()

    machine = Stubborn()
    async with running(UDP, machine) as transports:
        machine.outgoing = [to(Transport.UDP, ("2001:db8::1", 5060), b"first")]
        transports.flush()
        assert machine.attempts == 64
        await soon(machine.enough.wait())


async def test_a_burst_is_taken_in_batches() -> None:
    class Counting(Wire):
        batches: list[int]

        def sip_receive(self, limit: int = 256) -> list[Datagram]:
            datagrams = super().sip_receive(limit)
            self.batches.append(len(datagrams))
            return datagrams

    machine, wire = Recorder(), Counting(legs=16, sip_ring=1 << 20)
    wire.batches = []
    async with running(UDP, machine, wire) as transports, Peer.at() as peer:
        for number in range(300):
            peer.send(b"%d" % number, transports.bound[Transport.UDP][0])
        got = [(await machine.next("datagram"))[0] for _ in range(300)]
    assert got == [b"%d" % number for number in range(300)]
    assert max(wire.batches) <= 64
    assert sum(wire.batches) == 300


async def test_a_bug_costs_one_message(caplog: pytest.LogCaptureFixture) -> None:
    machine = Recorder()
    machine.fail_on = b"evil"
    async with running(UDP, machine) as transports, Peer.at() as peer:
        for data in (b"good", b"evil", b"fine"):
            peer.send(data, transports.bound[Transport.UDP][0])
        assert (await machine.next("datagram"))[0] == b"good"
        assert (await machine.next("datagram"))[0] == b"fine"
        assert transports.losses[Loss.FAULT] == 1
    assert "a datagram of 127.0.0.1 broke the stack" in caplog.text


async def test_the_timer_fires_when_the_stack_wants_it_and_an_earlier_one_wins() -> None:
    machine = Recorder()
    async with running(UDP, machine) as transports:
        machine.wake_at = later(60)
        transports.flush()
        machine.wake_at = later(0.03)
        transports.flush()
        late = await machine.next("timer")
        assert 0 <= late < 0.5
        assert machine.happened.empty()


async def test_what_is_said_before_the_start_waits_and_after_the_stop_is_not_said() -> None:
    machine, wire = Recorder(), Wire(legs=16, sip_ring=1 << 20)
    async with Peer.at() as peer:
        wire.start()
        transports = Transports(wire, UDP)
        transports.machine = machine
        machine.outgoing = [to(Transport.UDP, peer.address, b"early")]
        transports.flush()
        assert machine.outgoing
        await transports.start()
        assert (await peer.next())[0] == b"early"
        await transports.stop()
        machine.outgoing = [to(Transport.UDP, peer.address, b"late")]
        machine.wake_at = later(0)
        transports.flush()
        assert machine.outgoing
        assert not transports.keep_alive(Flow(Transport.UDP, LOOPBACK, peer.address, socket=1))
        wire.close()


async def test_a_resolver_is_promised_only_what_we_can_send_by(tmp_path: Path) -> None:
    async with running(UDP, Recorder()) as transports:
        assert transports.means == Means((Transport.UDP, Transport.TCP), (Kind.A,))
    async with running(everywhere("::1", contexts(tmp_path)), Recorder()) as transports:
        assert transports.means == Means(tuple(Transport), (Kind.AAAA,))


async def test_keep_alive_on_udp() -> None:
    machine = Recorder()
    async with running(UDP, machine) as transports, Peer.at() as peer:
        bound = transports.bound[Transport.UDP][0]
        assert transports.keep_alive(Flow(Transport.UDP, bound, peer.address, socket=1))
        assert await peer.next() == (PING, bound)


class Late(Wire):
    """A wire whose datagrams have waited for `delay` seconds."""

    delay = 0.0

    def sip_receive(self, limit: int = 256) -> list[Datagram]:
        return [each._replace(arrival=each.arrival - self.delay) for each in super().sip_receive(limit)]


async def test_old_datagrams_mean_overload_until_they_are_fresh_again() -> None:
    machine, wire = Recorder(), Late(legs=16, sip_ring=1 << 20)
    async with running(UDP, machine, wire) as transports, Peer.at() as peer:
        transports.overload.interval_s = 0.0
        for wire.delay, expected in ((0.0, None), (0.3, OverloadReason.QUEUE_DELAY), (0.0, None)):
            peer.send(b"x", transports.bound[Transport.UDP][0])
            await machine.next("datagram")
            assert transports.overloaded is expected
    assert transports.overload.episodes == 1


async def test_all_that_cannot_be_bound_is_told_at_once_and_nothing_stays_open(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(LOOPBACK) as tcp:
        udp.bind(LOOPBACK)
        udp_port, tcp_port = udp.getsockname()[1], tcp.getsockname()[1]
        with socket.create_server(LOOPBACK) as probe:
            free = probe.getsockname()[1]
        settings = TransportSettings(
            udp=(("127.0.0.1", udp_port), ("192.0.2.123", 5060), ("127.0.0.1", free)),
            tcp=(("127.0.0.1", tcp_port), ("2001:db8::123", 5060), ("127.0.0.1", free)),
            tls=(LOOPBACK,),
        )
        with pytest.raises(BindError) as caught:
            async with running(settings, Recorder()):
                pytest.fail("started")
    assert caught.value.problems == (
        f"sip.udp 127.0.0.1:{udp_port}: another program uses this port already",
        "sip.udp 192.0.2.123:5060: this host has no such address",
        f"sip.tcp 127.0.0.1:{tcp_port}: another program uses this port already",
        "sip.tcp [2001:db8::123]:5060: this host has no such address",
        "sip.tls: there is no certificate to listen with",
    )
    again = TransportSettings(udp=(("127.0.0.1", free),), tcp=(("127.0.0.1", free),))
    async with running(again, Recorder()) as transports:
        assert transports.bound[Transport.UDP] == transports.bound[Transport.TCP] == (("127.0.0.1", free),)


class Answering:
    """A core that answers every request with 200, and a user that keeps what came."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.results: asyncio.Queue[int | Failure] = asyncio.Queue()

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.stack.respond(transaction, response_to(request, 200), now)

    def on_ack(self, request: Request, flow: Flow, now: float) -> None: ...
    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None: ...
    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None: ...
    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None: ...

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.results.put_nowait(response.status)

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        self.results.put_nowait(failure)

    async def ask(self, transports: Transports, destinations: Sequence[Destination]) -> int | Failure:
        request = Request("OPTIONS", Uri.parse("sip:far.example"))
        for name, value in (
            ("From", "<sip:pbx.example>;tag=a"),
            ("To", "<sip:far.example>"),
            ("Call-ID", self.stack.new_call_id()),
            ("CSeq", "1 OPTIONS"),
        ):
            request.headers.add(name, value)
        self.stack.request(request, destinations, self, time.monotonic())
        transports.flush()
        return await soon(self.results.get())


def house(transports: Transports) -> Answering:
    stack = Stack(via=transports.addresses.sent_by, user_agent="test", rng=random.Random(7))
    core = Answering(stack)
    stack.core = core
    transports.machine = stack
    return core


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_two_houses_talk_over_every_transport(host: str, tmp_path: Path) -> None:
    settings = everywhere(host, contexts(tmp_path))
    async with running(settings, Recorder()) as near, running(settings, Recorder()) as far:
        asking = house(near)
        house(far)
        for transport in Transport:
            name = "pbx.example" if transport is Transport.TLS else None
            destination = Destination(transport, *far.bound[transport][0], server_name=name)
            for _ in range(3):
                assert await asking.ask(near, [destination]) == 200
        assert len(near.connections) == len(far.connections) == 2  # one each for TCP and TLS, used three times


async def test_the_next_destination_is_tried_when_the_first_refuses(tmp_path: Path) -> None:
    async with running(everywhere("127.0.0.1", contexts(tmp_path)), Recorder()) as near, Peer.at() as deaf:
        asking = house(near)
        refusing = Destination(Transport.TCP, *deaf.address)
        untrusted = Destination(Transport.TLS, *near.bound[Transport.TLS][0], server_name="other.example")
        itself = Destination(Transport.UDP, *near.bound[Transport.UDP][0])
        assert await asking.ask(near, [refusing, untrusted, itself]) == 200
        assert await asking.ask(near, [refusing, untrusted]) is Failure.TRANSPORT


async def test_a_raw_client_gets_its_answer_and_torture_its_400(tmp_path: Path) -> None:
    async with running(everywhere("127.0.0.1", contexts(tmp_path)), Recorder()) as near, Peer.at() as peer:
        house(near)
        peer.send(options("one"), near.bound[Transport.UDP][0])
        assert (await peer.next())[0].startswith(b"SIP/2.0 200 OK\r\n")
        reader, writer = await asyncio.open_connection(*near.bound[Transport.TCP][0])
        writer.write(options("two", transport="TCP").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"))
        assert (await soon(reader.readline())).startswith(b"SIP/2.0 400 ")
        await soon(reader.readuntil(b"\r\n\r\n"))
        writer.write(options("three", transport="TCP").replace(b"Content-Length: 0", b"Content-Length: -5"))
        assert (await soon(reader.read(-1))).startswith(b"SIP/2.0 400 ")  # and then it is closed
        writer.close()
        await writer.wait_closed()
