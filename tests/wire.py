"""A wire that tests can damage: named hosts, a virtual clock, and a ladder of all that was sent.

    wire = Wire()
    alice, bob = Phone(wire, "alice"), Phone(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    wire.after(32)

`a >> what >> b` says that the next message from a to b is `what`: a method, a status, or both as "200 BYE". If it is
already on its way (a stack sent it by itself) it is waited for; otherwise a phone sends it. Anything with the four
methods of `Node` can be on the wire: a Stack, a session's owner, a whole daemon without its sockets.
"""

from __future__ import annotations

import difflib
import heapq
import textwrap
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Protocol

from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.message import Request, parse_message
from pbxd.sip.stack import Limits, Stack
from pbxd.sip.timers import RFC, Timers

START = 1000.0  # the clock's first value, far from 0 so that nobody takes one for the other
PATIENCE = 70.0  # how long a step of the ladder is waited for: longer than any timer of a transaction


class Node(Protocol):
    """What can be on a wire."""

    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...

    def take_outgoing(self) -> list[Outgoing]: ...

    def timer(self) -> float | None: ...

    def handle_timer(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to datagrams. Probabilities per datagram; times in seconds. Streams only know `delay`."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0  # how many are held back, up to `hold`, so that later ones overtake them
    hold: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0  # up to this much more delay, each datagram its own


@dataclass(slots=True, eq=False)
class Rung:
    """One message of the ladder. `read` is whether a test has spoken of it."""

    at: float
    sender: Host
    receiver: Host | None
    label: str
    arrives: int  # how many copies: 0 lost, 2 duplicated
    data: bytes
    arrived: int = 0
    read: bool = False

    def __str__(self) -> str:
        arrow = ("x", ">", ">>")[self.arrives]
        name = self.receiver.name if self.receiver else "nowhere"
        return f"{self.at - START:.3f} {self.sender.name} {self.label} {arrow} {name}"

    def says(self, what: str | int) -> bool:
        text = str(what)
        return self.label == text or self.label.split(" ")[0] == text


class Host:
    """A node with an address, on a wire from the start. `behind` is its address as a NAT shows it to the others."""

    def __init__(
        self,
        wire: Wire,
        name: str,
        node: Node,
        *,
        behind: tuple[str, int] | None = None,
        transports: frozenset[Transport] = frozenset(Transport),
    ) -> None:
        self.wire = wire
        self.name = name
        self.node = node
        self.address = wire.next_address
        self.public = behind or self.address
        self.transports = transports
        wire.add(self)

    def destination(self, transport: Transport = Transport.UDP, flow: Flow | None = None) -> Destination:
        return Destination(transport, *self.public, flow)

    def act(self, what: str | int, peer: Host) -> None:
        """Send `what` to `peer` now; phones can. A node that is no phone has a will of its own."""

    def __rshift__(self, what: str | int) -> Step:
        return Step(self, what)


@dataclass(frozen=True, slots=True)
class Step:
    sender: Host
    what: str | int

    def __rshift__(self, receiver: Host) -> Host:
        self.sender.wire.step(self.sender, self.what, receiver)
        return receiver


@dataclass(slots=True, eq=False)
class Stream:
    """A connection between two hosts; each end is known by its address."""

    number: int
    transport: Transport
    ends: dict[Host, tuple[str, int]]

    def flow(self, here: Host) -> Flow:
        there = next(end for host, end in self.ends.items() if host is not here)
        return Flow(self.transport, self.ends[here], there, connection=self.number)


@dataclass(order=True, slots=True)
class Packet:
    at: float
    serial: int
    rung: Rung = field(compare=False)
    receiver: Host = field(compare=False)
    flow: Flow = field(compare=False)
    stream: Stream | None = field(compare=False)


class Wire:
    """The network and the clock. Same seed, same run."""

    def __init__(self, weather: Weather = Weather(), *, seed: int = 1) -> None:
        self.now = START
        self.weather = weather
        self.rungs: list[Rung] = []
        self.hosts: dict[str, Host] = {}
        self.streams: dict[int, Stream] = {}
        self._random = Random(seed)
        self._by_address: dict[tuple[str, int], Host] = {}
        self._packets: list[Packet] = []
        self._serial = count(1)
        self._to_lose: list[str] = []

    # ---- who is there

    @property
    def next_address(self) -> tuple[str, int]:
        """Where the next host is going to live."""
        return (f"10.0.0.{len(self.hosts) + 1}", 5060)

    def add(self, host: Host) -> None:
        self.hosts[host.name] = self._by_address[host.public] = host

    def stack(self, name: str, *, timers: Timers = RFC, limits: Limits | None = None) -> Stack:
        """A stack that advertises the address of the next host."""
        address = self.next_address
        rng = Random(self._random.getrandbits(64))
        return Stack(via=lambda _: address, user_agent=name, rng=rng, timers=timers, limits=limits)

    def shout(self, data: bytes, sender: Host, receiver: Host, transport: Transport = Transport.UDP) -> None:
        """Send bytes that no node would write, or would not write now."""
        self._send(sender, Outgoing(data, receiver.destination(transport)))
        self.rungs[-1].read = True
        self.settle()

    # ---- time

    def after(self, seconds: float) -> None:
        """Let that much time go by."""
        until = self.now + seconds
        while (at := self._next_at()) is not None and at <= until:
            self._turn(at)
        self.now = until

    def settle(self) -> None:
        """Deliver what arrives at this moment, and what that brings about at this moment."""
        self._flush()
        while self._packets and self._packets[0].at <= self.now:
            self._turn(self.now)

    def _next_at(self) -> float | None:
        self._flush()
        times = [at for host in self.hosts.values() if (at := host.node.timer()) is not None]
        if self._packets:
            times.append(self._packets[0].at)
        return min(times, default=None)

    def _turn(self, at: float) -> None:
        """One packet, or all timers, of that moment. Packets come first."""
        self.now = max(self.now, at)
        if self._packets and self._packets[0].at <= self.now:
            packet = heapq.heappop(self._packets)
            packet.rung.arrived += 1
            if packet.stream is None or packet.stream.number in self.streams:
                packet.receiver.node.receive(packet.rung.data, packet.flow, self.now)
        else:
            for host in self.hosts.values():
                if (due := host.node.timer()) is not None and due <= self.now:
                    host.node.handle_timer(self.now)
        self._flush()

    # ---- sending

    def lose(self, *labels: str | int) -> None:
        """Lose the next message of each label, whatever the weather: lose("INVITE", "INVITE", 200)."""
        self._to_lose += map(str, labels)

    def cut(self, host: Host) -> None:
        """Break all connections of a host; both ends notice."""
        for number, stream in list(self.streams.items()):
            if host in stream.ends:
                del self.streams[number]
                for end in stream.ends:
                    self._failed(end, stream.flow(end))
        self._flush()

    def _failed(self, host: Host, what: Outgoing | Flow) -> None:
        transport_failed = getattr(host.node, "transport_failed", None)
        if transport_failed is not None:
            transport_failed(what, self.now)

    def _flush(self) -> None:
        """Take what the nodes have to say, until none has anything more."""
        busy = True
        while busy:
            busy = False
            for host in list(self.hosts.values()):
                for outgoing in host.node.take_outgoing():
                    busy = True
                    self._send(host, outgoing)

    def _send(self, sender: Host, outgoing: Outgoing) -> None:
        destination = outgoing.destination
        rung = Rung(self.now, sender, None, _label(outgoing.data), 1, outgoing.data)
        self.rungs.append(rung)
        if destination.transport.reliable:
            self._send_on_stream(rung, outgoing)
            return
        rung.receiver = self._by_address.get((destination.host, destination.port))
        rung.arrives = self._copies(rung)
        if rung.receiver is None:
            return
        flow = Flow(Transport.UDP, rung.receiver.address, sender.public, socket=1)
        for _ in range(rung.arrives):
            self._post(rung, flow, self._travel_time(), None)

    def _send_on_stream(self, rung: Rung, outgoing: Outgoing) -> None:
        stream = self._stream_for(rung.sender, outgoing.destination)
        if stream is None:
            rung.arrives = 0
            self._failed(rung.sender, outgoing)
            return
        rung.receiver = next(end for end in stream.ends if end is not rung.sender)
        self._post(rung, stream.flow(rung.receiver), self.weather.delay, stream)

    def _stream_for(self, sender: Host, destination: Destination) -> Stream | None:
        if destination.flow is not None and destination.flow.connection in self.streams:
            return self.streams[destination.flow.connection]
        receiver = self._by_address.get((destination.host, destination.port))
        if receiver is None or destination.transport not in receiver.transports:
            return None
        for stream in self.streams.values():
            if set(stream.ends) == {sender, receiver} and stream.transport is destination.transport:
                return stream
        number = next(self._serial)
        ends = {sender: (sender.public[0], 40_000 + number), receiver: receiver.public}
        self.streams[number] = Stream(number, destination.transport, ends)
        return self.streams[number]

    def _copies(self, rung: Rung) -> int:
        for label in self._to_lose:
            if rung.says(label):
                self._to_lose.remove(label)
                return 0
        if rung.receiver is None or self._random.random() < self.weather.loss:
            return 0
        return 2 if self._random.random() < self.weather.duplicate else 1

    def _travel_time(self) -> float:
        weather, random = self.weather, self._random.random
        held = random() * weather.hold if random() < weather.reorder else 0.0
        return weather.delay + random() * weather.jitter + held

    def _post(self, rung: Rung, flow: Flow, seconds: float, stream: Stream | None) -> None:
        assert rung.receiver is not None
        packet = Packet(self.now + seconds, next(self._serial), rung, rung.receiver, flow, stream)
        heapq.heappush(self._packets, packet)

    # ---- the ladder

    def step(self, sender: Host, what: str | int, receiver: Host) -> None:
        """The next unread message from `sender` to `receiver` is `what`, and arrives unless it is lost."""
        self.settle()
        rung = self._unread(sender, receiver)
        if rung is None or not rung.says(what):
            sender.act(what, receiver)
            self._flush()
        until = self.now + PATIENCE
        while (rung := self._unread(sender, receiver)) is None or rung.arrived < min(rung.arrives, 1):
            at = self._next_at()
            if at is None or at > until:
                raise AssertionError(f"{sender.name} never sent {what} to {receiver.name}:\n{self.ladder}")
            self._turn(at)
        assert rung.says(what), f"not {what} but {rung}:\n{self.ladder}"
        rung.read = True
        self.settle()

    def _unread(self, sender: Host, receiver: Host) -> Rung | None:
        return next((r for r in self.rungs if not r.read and r.sender is sender and r.receiver is receiver), None)

    @property
    def ladder(self) -> str:
        """All that was sent, a line each: seconds since the start, who, what, whether it arrived (`>`, twice `>>`, or
        was lost `x`), to whom."""
        return "\n".join(map(str, self.rungs))

    def expect(self, ladder: str) -> None:
        """The unread messages are exactly these lines; a difference is shown as a diff."""
        wanted = textwrap.dedent(ladder).strip().splitlines()
        found = [str(rung) for rung in self.rungs if not rung.read]
        assert wanted == found, "\n".join(difflib.unified_diff(wanted, found, "expected", "sent", lineterm="", n=99))
        for rung in self.rungs:
            rung.read = True

    def sent(self, name: str, what: str | int) -> list[float]:
        """When a host sent messages of that label, in seconds since the start."""
        return [rung.at - START for rung in self.rungs if rung.sender.name == name and rung.says(what)]


def _label(data: bytes) -> str:
    try:
        message = parse_message(data)
    except ParseError:
        return "noise"
    return message.method if isinstance(message, Request) else f"{message.status} {message.cseq.method}"
