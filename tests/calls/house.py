"""The switch on the virtual wire: real directory, registrar and media sockets, virtual time, no daemon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from random import Random

from media.library import PromptLibrary
from media.ports import PortPool
from media.script import Reader
from media.session import Media
from media.sound import Sound
from media.speech import Speaker
from media.tones import ToneShape, load_plans
from media.wire import Wire as PacketMover
from pbxd.calls.admission import Admission
from pbxd.calls.facilities import CallLimits, Facilities
from pbxd.calls.following import MakeAct
from pbxd.calls.record import CallChanged, CallRecord, Change
from pbxd.calls.studio import FAILURES, Studio, clip_of
from pbxd.calls.switch import Switch
from pbxd.config import Config, load
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Authenticator
from pbxd.directory.model import Aor, CallLimit, ExtensionKind
from pbxd.directory.registrar import Registrar
from pbxd.events import Bus
from pbxd.sip.digest import NonceBook
from pbxd.sip.flow import Destination, Flow, Outgoing, Transport
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request, parse_message
from pbxd.sip.session import Session, SessionTable
from pbxd.sip.stack import Stack
from pbxd.sip.uri import Uri
from pbxd.store import Store
from pbxd.trace import Recorder, Recording
from tests.sip.party import Call, Party
from tests.wire import Host, Wire

WALL = 1_790_000_000.0
FILE = """
account: {slug: lab, realm: lab.test, domains: [lab.test]}
phones:
  "1001": {password: lab-1001, name: Alice}
  "1002": {password: lab-1002, name: Bob}
  "1011": {password: lab-1011, name: Nadia, srtp: required}
  "1012": {password: lab-1012, name: Olga, codecs: [opus]}
  "1021": {password: lab-1021, forward_always: "1002"}
  "1022": {password: lab-1022, forward_busy: "1002", ring_timeout_s: 7}
  "1023": {password: lab-1023, forward_no_answer: "1002", ring_timeout_s: 7}
  "1024": {password: lab-1024, dnd: true}
  "1025": {password: lab-1025, out_cid_number: "+12025550124", out_cid_name: Shop}
  "1026": {password: lab-1026, forward_no_answer: "8555"}
numbers:
  "+12025550120": {ring_group: all}
  "+12025550121": {ring_group: turns}
  "+12025550122": {user: "1002", schedule: shop, closed: {hangup: true}}
  "+12025550125": {forward: "8555"}
ring_groups:
  all: {members: ["1001", "1002"], ring_timeout_s: 7}
  turns: {members: ["1001", "1002"], strategy: sequential, ring_timeout_s: 7, no_answer: {extension: "600"}}
schedules:
  shop: {weekly: {mon-fri: "09:00-17:00"}}
extensions:
  "600": {echo: true}
  "500": {flow: main}
  "501": {flow: nothing}
  "950": {fax: {mode: auto}}
  "951": {fax: {mode: g711}}
  "952": {fax: {mode: t38}}
  "*55": {listen: true}
conferences:
  "700": {announce: none, max_members: 2}
  "701": {pin: "4711", host_pin: "0815", announce: none}
trunks:
  anyone: {sources: [10.0.0.0/24], from_user: bench, transit: true}
  out: {proxy: "sip:10.0.0.3", max_calls: 1}
  wide: {proxy: "sip:10.0.0.3", codecs: [G722, PCMA]}
routes:
  - {match: 8XXX, trunk: out}
  - {match: 7XXX, trunk: wide}
"""


def config_in(directory: Path) -> Config:
    """The configuration of the house under test."""
    file = directory / "house.yaml"
    file.write_text(FILE)
    return load(file)


class Teller:
    """A voice for tests: each word is a tenth of a second, and `said` is what it was told to say."""

    id = "teller"

    def __init__(self) -> None:
        self.said: list[str] = []

    def speak(self, text: str, language: str) -> Sound:
        self.said.append(text)
        return ToneShape((1000,), -20, (0.1 * len(text.split()), 0.01)).sound(8000)


def reader_in(folder: Path) -> Reader:
    """Reads with a `Teller`, who is `.library.speaker.voice`."""
    library = PromptLibrary([folder / "prompts"], folder / "cache", Speaker(Teller(), folder / "said", 1 << 24))
    return Reader(library, load_plans(), "us")


def at_once(work: Callable[[], list[Sound]], done: Callable[[list[Sound] | Exception], None]) -> None:
    """An offload that blocks: tests have nothing else to do."""
    try:
        result: list[Sound] | Exception = work()
    except FAILURES as error:
        result = error
    done(result)


class TracedStack:
    """The stack as a node that shows its messages to a recorder, as the transports do."""

    def __init__(self, stack: Stack, trace: Recorder, wire: Wire, address: tuple[str, int]) -> None:
        self._stack = stack
        self._trace = trace
        self._wire = wire
        self._address = address
        self.timer = stack.timer
        self.handle_timer = stack.handle_timer
        self.transport_failed = stack.transport_failed

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self._trace.sip(False, data, flow.transport.value, self._address, flow.remote, now)
        self._stack.receive(data, flow, now)

    def take_outgoing(self) -> list[Outgoing]:
        taken = self._stack.take_outgoing()
        for outgoing in taken:
            to = outgoing.destination
            remote = (to.host, to.port)
            self._trace.sip(True, outgoing.data, to.transport.value, self._address, remote, self._wire.now)
        return taken


class House(Host):
    """The house as a host. `said` are the changes of all calls, `records` the calls that ended, as they ended."""

    def __init__(
        self,
        wire: Wire,
        directory: Directory,
        store: Store,
        config: Config,
        ports: PortPool,
        folder: Path,
        *,
        legs: int = 64,
    ) -> None:
        self.stack = wire.stack("house")
        self.trace = Recorder(lambda now: WALL + now)
        super().__init__(wire, "house", TracedStack(self.stack, self.trace, wire, wire.next_address))
        self.bus = Bus()
        self.said: list[Change] = []
        self.records: list[CallRecord] = []
        self.bus.subscribe(CallChanged, self._note)
        self.directory = directory
        self.registrar = Registrar(store, self.bus, config.sip.registrar)
        self.mover = PacketMover(legs=legs)
        self.mover.start()
        self.late = False
        self.admission = Admission(max_calls=20, setup_rate=100, overloaded=lambda: self.late)
        self.facilities = Facilities(
            stack=self.stack,
            sessions=SessionTable(self.stack, rng=Random(99)),
            media=Media(self.mover, ports),
            directory=directory,
            registrar=self.registrar,
            resolver=self,
            network=self,
            bus=self.bus,
            studio=Studio(reader_in(folder), clip_of, at_once),
            clock=lambda: wire.now,
            wall=lambda now: WALL + now,
            limits=CallLimits(ring_timeout_s=30, max_duration_s=600),
            tracer=self.trace,
        )
        authenticator = Authenticator(directory, NonceBook(b"secret"), b"secret", ("SHA-256", "MD5"), self.bus)
        self.acts: dict[ExtensionKind, MakeAct] = {}
        self.switch = Switch(self.facilities, authenticator, self.admission, self.acts)
        self.stack.core = self.switch

    def _note(self, event: CallChanged) -> None:
        self.said.append(event.change)
        if event.change is Change.ENDED:
            self.records.append(deepcopy(event.record))

    @property
    def record(self) -> CallRecord:
        """The only call that ended."""
        (record,) = self.records
        return record

    # ---- Network and Resolver of the facilities

    def advertised(self, peer: Destination) -> tuple[str, int]:
        return self.address

    def local_ip_for(self, peer_ip: str, flow: Flow | None = None) -> str:
        return "127.0.0.1"

    def told(self, local_ip: str, peer_ip: str) -> str:
        return self.address[0]

    def destinations(self, uri: Uri, callback: Callable[[Sequence[Destination]], None]) -> None:
        callback([Destination(Transport.UDP, uri.host, uri.port or 5060)])

    # ---- what a test does to it

    def register(self, user: str, *phones: Host, device_name: str = "") -> None:
        """Binds phones to a user."""
        account = self.directory.default_account
        device = self.directory.device(account, device_name or user)
        assert device is not None
        for number, phone in enumerate(phones):
            host, port = phone.public
            request = parse_message(
                f"REGISTER sip:lab.test SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch=z9hG4bK{number}\r\n"
                f"From: <sip:{user}@lab.test>;tag=1\r\nTo: <sip:{user}@lab.test>\r\nCall-ID: {phone.name}\r\n"
                f"CSeq: 1 REGISTER\r\nContact: <sip:{user}@{host}:{port}>\r\nContent-Length: 0\r\n\r\n".encode()
            )
            assert isinstance(request, Request)
            flow = Flow(Transport.UDP, self.address, phone.public, socket=1)
            now = self.wire.now
            outcome = self.registrar.register(Aor(account.id, user), device, request, flow, now, WALL + now)
            assert outcome.status == 200

    def recording(self, name: str | None = None) -> Recording:
        """The trace of a call; of the one that ended, where no other is named."""
        track = self.trace.find(name or self.record.id)
        assert track is not None
        return Recording.of(track, lambda _: self.address[0])

    def limit(self, *limits: CallLimit) -> None:
        """The call limits of the default account from now on."""
        self.directory._snapshot.limits = {self.directory.default_account.id: limits}

    def held(self) -> dict[str, int]:
        """What is held of each that has calls, by its scope and name."""
        account = self.directory.default_account.id
        readings = self.switch.gate.limits.readings(account, self.wire.now)
        at_a_time = [one for one in readings if one.limit is None or not one.limit.period_s]
        return {f"{one.scope} {one.id}".replace(account, "").strip(): one.current for one in at_a_time if one.current}

    def empty(self) -> bool:
        """Whether nothing is left of any call: no call, session, port, hearer."""
        facilities = self.facilities
        return not (self.switch.calls or len(facilities.sessions) or len(facilities.media) or facilities.hearers)


class Talk(Call):
    """A call of a handset: its descriptions are real ones."""

    def sdp(self) -> bytes:
        assert isinstance(self.party, Handset)
        self._said += 1
        address, handset = self.party.address[0], self.party
        return (
            f"v=0\r\no=- 1 {self._said} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m={handset.line} {handset.codecs}\r\na={handset.direction}\r\n"
            + "".join(f"{line}\r\n" for line in handset.more)
        ).encode()


class Handset(Party):
    """A party that dials `number`; `line`, `codecs`, `direction` and `more` stand in its next description."""

    call_type = Talk
    number = "1002"
    line = "audio 4000 RTP/AVP"
    direction = "sendrecv"
    codecs = "0 8"
    more: tuple[str, ...] = ()
    display: str | None = "Bench"

    def invite(self, *peers: Host, destinations: list[Destination] | None = None) -> Call:
        (house,) = peers
        call = self.call_type(self)
        self.calls.append(call)
        call.session = Session.outgoing(
            self.stack,
            table=self.table,
            request_uri=Uri.sip(self.number, *house.address),
            from_=NameAddr(self.display, Uri.sip("bench", "lab.test")),
            to=NameAddr(None, Uri.sip(self.number, "lab.test")),
            contact=self.uri,
            destinations=[house.destination(self.transport)],
            offer=call.sdp() if self.offers else None,
            headers=self.headers,
            settings=self.settings,
            user=call,
            now=self.wire.now,
        )
        return call
