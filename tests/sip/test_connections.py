"""Stream connections on real sockets: framing, reuse, and every way one is bounded, with the name of its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pbxd.sip.connection import PING, PONG, StreamSettings
from pbxd.sip.flow import Flow, Outgoing, Transport
from pbxd.sip.losses import Closing, Loss
from pbxd.sip.message import Request
from pbxd.sip.transport import Transports, TransportSettings
from tests.network import (
    LOOPBACK,
    Recorder,
    contexts,
    everywhere,
    options,
    running,
    soon,
    to,
    until,
    until_idle,
    with_streams,
)

TCP = TransportSettings(tcp=(LOOPBACK,))


class Caller:
    """A client at the far side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.address: tuple[str, int] = writer.get_extra_info("sockname")[:2]

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, count: int) -> bytes:
        return await soon(self.reader.readexactly(count))

    async def ended(self) -> bool:
        """Whether the far side closes now; what it said before is thrown away."""
        try:
            await soon(self.reader.read(-1))
        except ConnectionResetError:
            return True
        return self.reader.at_eof()


@contextlib.asynccontextmanager
async def caller(address: tuple[str, int], **arguments: Any) -> AsyncIterator[Caller]:
    reader, writer = await soon(asyncio.open_connection(*address, **arguments))
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await soon(writer.wait_closed())


class Far:
    """A server at the far side; `arrived` gets each connection."""

    def __init__(self) -> None:
        self.address: tuple[str, int] = ("", 0)
        self.arrived: asyncio.Queue[Caller] = asyncio.Queue()
        self.callers: list[Caller] = []

    def arrive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.callers.append(Caller(reader, writer))
        self.arrived.put_nowait(self.callers[-1])

    async def next(self) -> Caller:
        return await soon(self.arrived.get())


@contextlib.asynccontextmanager
async def far_side(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Far]:
    far = Far()
    server = await asyncio.start_server(far.arrive, host, 0, ssl=context)
    far.address = server.sockets[0].getsockname()[:2]
    try:
        yield far
    finally:
        server.close()
        for each in far.callers:
            each.writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await soon(each.writer.wait_closed())
        await soon(server.wait_closed())


def message_at(address: tuple[str, int], data: bytes = b"x", **more: Any) -> Outgoing:
    return to(Transport.TCP, address, data, **more)


async def send(transports: Transports, machine: Recorder, *outgoing: Outgoing) -> None:
    machine.outgoing = list(outgoing)
    transports.flush()


def ends(transports: Transports) -> dict[Closing, int]:
    return {closing: count for closing, count in transports.connections.closings.items() if count}


# ---- messages and keep-alives


async def test_a_message_in_pieces_is_one_message_and_its_answer_goes_back() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        data = options("one", transport="TCP", body=b"hello")
        for piece in (data[:7], data[7:100], data[100:-2], data[-2:]):
            phone.send(piece)
            await phone.writer.drain()
            await until_idle()
        message, flow = await machine.next("message")
        assert isinstance(message, Request)
        assert message.body == b"hello"
        assert flow == Flow(Transport.TCP, transports.bound[Transport.TCP][0], phone.address, connection=1)
        await send(transports, machine, message_at((phone.address[0], 5060), b"answer", flow=flow))
        assert await phone.read(6) == b"answer"


async def test_a_ping_gets_a_pong_and_a_pong_nothing() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        phone.send(PONG + options("one") + PING)
        assert (await machine.next("message"))[0].method == "OPTIONS"
        assert await phone.read(2) == PONG
        phone.send(PING)
        assert await phone.read(2) == PONG
        assert transports.keep_alive(Flow(Transport.TCP, ("", 0), phone.address, connection=1))
        assert await phone.read(4) == PING
        assert not transports.keep_alive(Flow(Transport.TCP, ("", 0), phone.address, connection=99))


async def test_what_cannot_be_read_is_reported_and_what_cannot_be_framed_ends_the_connection() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        phone.send(options("one").replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 BYE") + options("two"))
        error, flow = await machine.next("error")
        assert error.status == 400
        assert (await machine.next("message"))[1] == flow
        phone.send(options("three").replace(b"Content-Length: 0", b"Content-Length: -5"))
        await machine.next("error")
        assert await phone.ended()
        assert await machine.next("failed") == flow
        assert ends(transports) == {Closing.FRAMING: 1}


async def test_a_bug_costs_one_message_of_a_stream(caplog: pytest.LogCaptureFixture) -> None:
    machine = Recorder()
    machine.fail_on = b"evil"
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        phone.send(options("one", body=b"evil") + options("two"))
        assert (await machine.next("message"))[0].call_id == "two@test"
        assert transports.losses[Loss.FAULT] == 1
    assert "a message of 127.0.0.1 broke the stack" in caplog.text


async def test_a_lost_connection_is_told_to_the_stack_and_to_who_asked() -> None:
    machine = Recorder()
    lost: list[Flow] = []
    async with running(TCP, machine) as transports:
        transports.on_connection_lost(lambda flow, now: lost.append(flow))
        async with caller(transports.bound[Transport.TCP][0]) as phone:
            phone.send(options("one"))
            _, flow = await machine.next("message")
        assert await machine.next("failed") == flow
        assert lost == [flow]
        assert len(transports.connections) == 0
        assert ends(transports) == {Closing.PEER: 1}


# ---- sending


async def test_a_connection_is_opened_once_and_used_again_in_order() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, far_side() as far:
        await send(transports, machine, *(message_at(far.address, b"%d" % i) for i in range(5)))
        trunk = await far.next()
        assert await trunk.read(5) == b"01234"
        await send(transports, machine, message_at(far.address, b"5"))
        assert await trunk.read(1) == b"5"
        trunk.send(options("back"))
        _, flow = await machine.next("message")
        assert flow.remote == far.address
        await send(transports, machine, message_at(far.address, b"6", flow=flow))
        assert await trunk.read(1) == b"6"
        assert far.arrived.empty()


async def test_a_request_to_the_far_end_of_an_accepted_connection_uses_it() -> None:
    """RFC 3261 §18.1.1: by address, also without a flow."""
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        phone.send(options("one"))
        await machine.next("message")
        await send(transports, machine, message_at(phone.address, b"ring"))
        assert await phone.read(4) == b"ring"


async def test_a_refused_connection_fails_every_message_that_waited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    machine = Recorder()
    with socket.create_server(LOOPBACK) as probe:
        closed = probe.getsockname()[:2]
    async with running(TCP, machine) as transports:
        messages = [message_at(closed), message_at(closed)]
        await send(transports, machine, *messages)
        assert [await machine.next("failed"), await machine.next("failed")] == messages
        assert ends(transports) == {Closing.CONNECT: 1}
        assert transports.losses[Loss.UNREACHABLE] == 2
    assert "Connection refused" in caplog.text


async def test_a_peer_that_does_not_answer_fails_in_time(tmp_path: Path) -> None:
    machine = Recorder()
    settings = with_streams(everywhere("127.0.0.1", contexts(tmp_path)), connect_s=0.05)
    async with running(settings, machine) as transports, far_side() as silent:
        message = to(Transport.TLS, silent.address, b"x")
        await send(transports, machine, message)
        assert await machine.next("failed") is message
        assert transports.losses[Loss.UNREACHABLE] == 1


async def test_messages_that_wait_for_a_connection_are_bounded() -> None:
    machine = Recorder()
    settings = with_streams(TCP, max_pending=3)
    async with running(settings, machine) as transports, far_side() as far:
        messages = [message_at(far.address, b"%d" % i) for i in range(5)]
        await send(transports, machine, *messages)
        assert [await machine.next("failed"), await machine.next("failed")] == messages[3:]
        assert await (await far.next()).read(3) == b"012"


async def test_openings_are_bounded_and_so_are_connections() -> None:
    machine = Recorder()
    settings = with_streams(TCP, max_opening=1, max_connections=2)
    async with running(settings, machine) as transports, far_side() as one, far_side() as two, far_side() as three:
        second = message_at(two.address)
        await send(transports, machine, message_at(one.address), second)
        assert await machine.next("failed") is second
        await (await one.next()).read(1)
        await send(transports, machine, message_at(two.address))
        await (await two.next()).read(1)
        third = message_at(three.address)
        await send(transports, machine, third)
        assert await machine.next("failed") is third
        assert ends(transports) == {Closing.FULL: 1}


async def test_tls_without_contexts_is_refused_and_not_tried_in_the_clear() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, far_side() as far:
        message = to(Transport.TLS, far.address, b"secret")
        await send(transports, machine, message)
        assert await machine.next("failed") is message
        assert far.arrived.empty()


async def test_a_name_instead_of_an_address_is_not_looked_up() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports:
        message = message_at(("localhost", 5060))
        await send(transports, machine, message)
        assert await machine.next("failed") is message


async def test_a_flow_that_is_gone_leads_to_the_address_the_peer_listens_on_or_nowhere() -> None:
    """RFC 3261 §18.2.2 for responses; RFC 5626 §5.3 for requests to a phone, whose port took no calls."""
    machine = Recorder()
    async with running(TCP, machine) as transports, far_side() as far:
        async with caller(transports.bound[Transport.TCP][0]) as phone:
            phone.send(options("one"))
            _, flow = await machine.next("message")
        await machine.next("failed")
        ring = message_at(phone.address, b"ring", flow=flow)
        await send(transports, machine, ring)
        assert await machine.next("failed") is ring
        await send(transports, machine, message_at(far.address, b"answer", flow=flow))
        assert await (await far.next()).read(6) == b"answer"


async def test_a_flow_that_we_opened_is_opened_again() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, far_side() as far:
        await send(transports, machine, message_at(far.address, b"1"))
        trunk = await far.next()
        trunk.send(options("one"))
        _, flow = await machine.next("message")
        trunk.writer.close()
        await machine.next("failed")
        await send(transports, machine, message_at(far.address, b"2", flow=flow))
        assert await (await far.next()).read(1) == b"2"


# ---- bounds


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
async def test_a_slow_reader_is_cut_off(transport: Transport, tmp_path: Path) -> None:
    machine = Recorder()
    settings = with_streams(everywhere("127.0.0.1", contexts(tmp_path)), max_write_bytes=100_000)
    arguments = insecure() if transport is Transport.TLS else {}
    async with (
        running(settings, machine) as transports,
        caller(transports.bound[transport][0], limit=1000, **arguments) as lazy,
    ):
        lazy.send(options("one"))
        _, flow = await machine.next("message")
        message = to(transport, lazy.address, bytes(50_000), flow=flow)
        for _ in range(1000):
            await send(transports, machine, message)
            await asyncio.sleep(0)
            if transports.losses[Loss.SLOW_READER]:
                break
        assert await machine.next("failed") is message
        assert await machine.next("failed") == flow
        assert len(transports.connections) == 0
        assert ends(transports) == {Closing.SLOW_READER: 1}


async def test_an_owner_that_fails_on_a_lost_connection_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def explode(flow: Flow, now: float) -> None:
        raise RuntimeError("a bug")

    machine = Recorder()
    lost: list[Flow] = []
    async with running(TCP, machine) as transports:
        transports.on_connection_lost(explode)
        transports.on_connection_lost(lambda flow, now: lost.append(flow))
        async with caller(transports.bound[Transport.TCP][0]) as phone:
            phone.send(PING)
            assert await phone.read(2) == PONG
        flow = await machine.next("failed")
        assert lost == [flow]
        assert transports.losses[Loss.FAULT] == 1
    assert "the end of a connection with 127.0.0.1 broke its owner" in caplog.text


async def test_more_connections_than_allowed_are_closed_at_once() -> None:
    settings = with_streams(TCP, max_connections=2)
    async with running(settings, Recorder()) as transports:
        address = transports.bound[Transport.TCP][0]
        async with caller(address) as one, caller(address) as two:
            for phone in (one, two):
                phone.send(PING)
                assert await phone.read(2) == PONG
            async with caller(address) as three:
                assert await three.ended()
        assert transports.connections.closings[Closing.FULL] == 1


async def test_one_source_cannot_take_all_connections_and_gets_them_back_when_it_leaves() -> None:
    settings = with_streams(TCP, max_per_source=1)
    async with running(settings, Recorder()) as transports:
        address = transports.bound[Transport.TCP][0]
        async with caller(address) as one:
            one.send(PING)
            assert await one.read(2) == PONG
            async with caller(address) as two:
                assert await two.ended()
            async with caller(address, local_addr=("127.0.0.9", 0)) as other:
                other.send(PING)
                assert await other.read(2) == PONG
            assert transports.connections.closings[Closing.FULL_SOURCE] == 1
            one.writer.close()
            assert await one.ended()
        async with caller(address) as again:
            again.send(PING)
            assert await again.read(2) == PONG


async def test_a_banned_address_cannot_connect() -> None:
    machine = Recorder()
    async with (
        running(TCP, machine, admit=lambda source: source != "127.0.0.6") as transports,
        caller(transports.bound[Transport.TCP][0], local_addr=("127.0.0.6", 0)) as banned,
    ):
        assert await banned.ended()
        assert ends(transports) == {Closing.REFUSED: 1}


SETTINGS = StreamSettings()


@pytest.mark.parametrize(
    ("said", "after", "closing"),
    [
        (b"OPTIONS sip:x SIP/2.0\r\nVia: ", SETTINGS.message_s, Closing.HALF_MESSAGE),
        (options("one", body=b"12345")[:-5], SETTINGS.message_s, Closing.HALF_MESSAGE),
        (options("one") + b"OPT", SETTINGS.message_s, Closing.HALF_MESSAGE),
        (b"", SETTINGS.silent_s, Closing.SILENT),
        (PING, SETTINGS.idle_s, Closing.IDLE),
        (options("one"), SETTINGS.idle_s, Closing.IDLE),
    ],
)
async def test_a_connection_that_drags_its_feet_is_closed_by_name(said: bytes, after: float, closing: Closing) -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        connections = transports.connections
        phone.send(said)
        if closing is Closing.HALF_MESSAGE:
            await until(lambda: connections.unfinished == 1)
        elif said == PING:
            assert await phone.read(2) == PONG
        elif said:
            await machine.next("message")
        else:
            await until(lambda: len(connections) == 1)
        connections.sweep(time.monotonic() + after - 1)
        assert len(connections) == 1
        connections.sweep(time.monotonic() + after + 1)
        assert await phone.ended()
        assert ends(transports) == {closing: 1}


async def test_bytes_that_trickle_in_do_not_prolong_a_message() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, caller(transports.bound[Transport.TCP][0]) as phone:
        connections = transports.connections
        start = time.monotonic()
        phone.send(options("one") + b"OPTIONS sip:x SIP/2.0\r\n")
        await machine.next("message")
        await until(lambda: connections.unfinished == 1)
        for _ in range(5):
            phone.send(b"a")
            await until_idle()
        connections.sweep(start + SETTINGS.message_s + 1)
        assert await phone.ended()
        assert ends(transports) == {Closing.HALF_MESSAGE: 1}


async def test_where_we_are_the_client_we_ping() -> None:
    machine = Recorder()
    async with running(TCP, machine) as transports, far_side() as far:
        await send(transports, machine, message_at(far.address, b"x"))
        trunk = await far.next()
        assert await trunk.read(1) == b"x"
        now = time.monotonic()
        transports.connections.sweep(now + SETTINGS.keep_alive_s - 1)
        transports.connections.sweep(now + SETTINGS.keep_alive_s + 1)
        transports.connections.sweep(now + SETTINGS.keep_alive_s + 2)
        assert await trunk.read(4) == PING
        await send(transports, machine, message_at(far.address, b"y"))
        assert await trunk.read(1) == b"y"


async def test_stop_sends_what_was_written_and_leaves_no_port_open() -> None:
    machine = Recorder()
    async with far_side() as far:
        async with running(TCP, machine) as transports:
            bound = transports.bound[Transport.TCP][0]
            await send(transports, machine, message_at(far.address, b"1"))
            trunk = await far.next()
            assert await trunk.read(1) == b"1"
            machine.outgoing = [message_at(far.address, b"BYE")]
            silent = message_at(("127.0.0.1", bound[1]))
            machine.outgoing.append(silent)
        assert await trunk.read(3) == b"BYE"
        assert await trunk.ended()
        assert transports.connections.closings[Closing.STOPPED] >= 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound).close()


# ---- TLS


def insecure(server_name: str | None = None) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return {"ssl": context, "server_hostname": server_name or ""}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_phone_speaks_tls_without_a_certificate_of_its_own(host: str, tmp_path: Path) -> None:
    machine = Recorder()
    async with (
        running(everywhere(host, contexts(tmp_path)), machine) as transports,
        caller(transports.bound[Transport.TLS][0], **insecure()) as phone,
    ):
        phone.send(options("one", host, transport="TLS"))
        _, flow = await machine.next("message")
        assert (flow.transport, flow.remote) == (Transport.TLS, phone.address)
        await send(transports, machine, to(Transport.TLS, phone.address, b"answer", flow=flow))
        assert await phone.read(6) == b"answer"


MISMATCH = "its certificate was not accepted: Hostname mismatch, certificate is not valid for 'other.example'."
LONG = "x" * 64 + ".example"


@pytest.mark.parametrize("name", [None, "pbx.example", "127.0.0.1"])
async def test_a_peer_that_proves_the_name_that_was_asked_for_is_used(name: str | None, tmp_path: Path) -> None:
    machine = Recorder()
    ours = contexts(tmp_path)
    async with running(everywhere("127.0.0.1", ours), machine) as transports, far_side(ours.server) as far:
        await send(transports, machine, to(Transport.TLS, far.address, b"x", server_name=name))
        assert await (await far.next()).read(1) == b"x"


@pytest.mark.parametrize(("name", "reason"), [("other.example", MISMATCH), (LONG, "label"), (".example", "label")])
async def test_a_peer_that_does_not_is_told_nothing(
    name: str, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    machine = Recorder()
    ours = contexts(tmp_path)
    async with running(everywhere("127.0.0.1", ours), machine) as transports, far_side(ours.server) as far:
        message = to(Transport.TLS, far.address, b"x", server_name=name)
        await send(transports, machine, message)
        assert await machine.next("failed") is message
        assert transports.losses[Loss.HANDSHAKE] == 1
        assert reason in caplog.text
        assert far.arrived.empty()


async def test_a_connection_without_a_proven_name_is_not_used_for_a_request_to_that_name(tmp_path: Path) -> None:
    machine = Recorder()
    ours = contexts(tmp_path)
    async with running(everywhere("127.0.0.1", ours), machine) as transports, far_side(ours.server) as far:
        await send(transports, machine, to(Transport.TLS, far.address, b"1"))
        assert await (await far.next()).read(1) == b"1"
        await send(transports, machine, to(Transport.TLS, far.address, b"2", server_name="pbx.example"))
        assert await (await far.next()).read(1) == b"2"
        assert len(transports.connections) == 2


async def test_who_speaks_no_tls_is_shown_the_door(tmp_path: Path) -> None:
    settings = with_streams(everywhere("127.0.0.1", contexts(tmp_path)), handshake_s=0.1, max_per_source=1)
    async with running(settings, Recorder()) as transports:
        address = transports.bound[Transport.TLS][0]
        async with caller(address) as plain:
            plain.send(options("one"))
            assert await plain.ended()
        async with caller(address) as silent:
            assert await silent.ended()
        assert ends(transports) == {Closing.HANDSHAKE: 2}
        async with caller(address, **insecure()) as phone:
            phone.send(PING)
            assert await phone.read(2) == PONG


async def test_handshakes_count_as_connections(tmp_path: Path) -> None:
    settings = with_streams(everywhere("127.0.0.1", contexts(tmp_path)), max_connections=2)
    async with running(settings, Recorder()) as transports:
        address = transports.bound[Transport.TLS][0]
        async with caller(address), caller(address), caller(address) as third:
            assert await third.ended()
        assert transports.connections.closings[Closing.FULL] == 1


async def test_an_open_destination_takes_any_certificate(tmp_path: Path) -> None:
    machine = Recorder()
    (tmp_path / "other").mkdir()
    ours, theirs = contexts(tmp_path), contexts(tmp_path / "other")
    async with running(everywhere("127.0.0.1", ours), machine) as transports, far_side(theirs.server) as far:
        await send(transports, machine, to(Transport.TLS, far.address, b"phone"))
        assert await (await far.next()).read(5) == b"phone"
        trunk = to(Transport.TLS, far.address, b"trunk", server_name="pbx.example")
        await send(transports, machine, trunk)
        assert await machine.next("failed") is trunk
        assert transports.losses[Loss.HANDSHAKE] == 1
