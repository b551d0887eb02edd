"""The packet mover's Python face: it opens sockets, gives commands and collects what came. No packet waits for Python.

All methods belong to one thread, the event loop's. wire.h is the same list with C's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Network, ip_network
from typing import Any, Final, NamedTuple

from media.headers import LegHeaders
from media.keys import Srtp, SrtpSuite
from media.plan import Codec, MediaPlan
from media.wire._wire import ffi, lib
from media.wire.event import LegEvent, MediaEventKind, Played, RoomEvent, event_of
from media.wire.faxes import FaxPort
from media.wire.refusal import WireError, check
from media.wire.rooms import WireRooms

__all__ = [
    "DROP_NAMES",
    "Datagram",
    "FaxPort",
    "HearingStatistics",
    "Latch",
    "LatenessBucket",
    "Leg",
    "LegEvent",
    "LegStatistics",
    "MediaEventKind",
    "Mode",
    "Played",
    "RoomEvent",
    "Wire",
    "WireError",
]

_CODECS: Final = {codec: number for number, codec in enumerate(Codec)}
_SUITES: Final = {suite: number for number, suite in enumerate(SrtpSuite, 1)}
_NO_PAYLOAD_TYPE: Final = 255
_LATCH_SOURCES_MAX: Final = 4
DROP_NAMES: Final = tuple(ffi.string(lib.wire_drop_name(drop)).decode() for drop in range(lib.wire_drop_count()))


class Mode(Enum):
    """What a leg does with what it hears. Those without an implementation in this build cannot be set."""

    IDLE = 0
    ECHO = 1
    RELAY = 2
    RING = 3
    MIX = 4
    MODEM = 5
    T38 = 6


class Latch(Enum):
    """How sure a leg is of its source: none yet, an allowed address, or the very address of the SDP."""

    NONE = 0
    WEAK = 1
    EXACT = 2


class Datagram(NamedTuple):
    """One SIP datagram; `arrival` is in monotonic seconds. `local_ip` is the address of ours it was sent to, where the
    socket is bound to all of them, else empty."""

    data: bytes
    socket: int
    remote: tuple[str, int]
    arrival: float
    local_ip: str = ""


@dataclass(frozen=True, slots=True)
class LatenessBucket:
    """How often the wire thread was late by less than `below_us` (None: any) and not less than the bucket before."""

    below_us: int | None
    count: int


@dataclass(frozen=True, slots=True)
class HearingStatistics:
    """How a leg in a room is heard, as of a moment ago. `late`, `early`, `duplicate`, `reordered`, `malformed` and
    `strange` (of another source) count packets; `concealed`, `stretched` and `compressed` samples that were made up for
    what was lost, or put in and left out to keep pace; `resets` how often the stream began anew. The delay is that of
    the jitter buffer: now, at its least, at its most, and where it is headed; `level` is in dB below full scale."""

    late: int
    early: int
    duplicate: int
    reordered: int
    malformed: int
    strange: int
    resets: int
    concealed: int
    stretched: int
    compressed: int
    delay_ms: int
    delay_min_ms: int
    delay_max_ms: int
    target_ms: int
    level: int


@dataclass(frozen=True, slots=True)
class LegStatistics:
    """The numbers of one leg. `expected` and `lost` count packets to us, `remote_*` what the far end reported of ours.
    `bursts` is how often one packet or more in a row were lost, `longest_burst` the most that were.

    Times are in milliseconds; None where nothing was measured.
    """

    received: int = 0
    received_octets: int = 0
    sent: int = 0
    sent_octets: int = 0
    expected: int = 0
    lost: int = 0
    bursts: int = 0
    longest_burst: int = 0
    jitter_ms: float = 0.0
    jitter_max_ms: float = 0.0
    round_trip_ms: float | None = None
    round_trip_max_ms: float | None = None
    remote_lost: int | None = None
    remote_loss: float | None = None
    remote_jitter_ms: float | None = None
    since_heard_s: float | None = None
    latch: Latch = Latch.NONE
    source: tuple[str, int] | None = None
    ssrc: int = 0
    remote_ssrc: int = 0
    hearing: HearingStatistics | None = None


class Tapped(NamedTuple):
    """A packet of a leg that is listened in on: the leg's key, when (monotonic seconds), which way, all of it."""

    leg: tuple[int, int]
    at: float
    outward: bool
    data: bytes


class Leg:
    """A leg of wire: its slot, its generation, and the ports it is bound to."""

    __slots__ = ("handle", "rtcp_port", "rtp_port", "srtp")

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.rtp_port: int = handle.rtp_port
        self.rtcp_port: int = handle.rtcp_port
        self.srtp: Srtp | None = None  # the keys it works with

    @property
    def key(self) -> tuple[int, int]:
        """What events name the leg by."""
        return self.handle.index, self.handle.generation


def _network(text: str) -> tuple[bytes, int]:
    """An address or network as (IP literal, prefix length). Raises ValueError when it is none."""
    parsed = ip_network(text, strict=False)
    if isinstance(parsed, IPv6Network) and parsed.network_address.ipv4_mapped:
        raise ValueError(f"{text}: write an IPv4 network as IPv4")
    return str(parsed.network_address).encode(), parsed.prefixlen


def _set_addresses(record: Any, plan: MediaPlan) -> None:
    if plan.remote is not None:
        record.remote_ip, record.remote_port = plan.remote[0].encode(), plan.remote[1]
    if plan.remote_rtcp is not None:
        record.rtcp_ip, record.rtcp_port = plan.remote_rtcp[0].encode(), plan.remote_rtcp[1]
    if len(plan.latch_from) > _LATCH_SOURCES_MAX:
        raise ValueError(f"a leg may be latched from {_LATCH_SOURCES_MAX} addresses, not {len(plan.latch_from)}")
    for place, ip in enumerate(sorted(plan.latch_from)):
        record.latch_from[place] = ip.encode()


def _plan_record(plan: MediaPlan) -> Any:
    record = ffi.new("struct wire_plan *")
    _set_addresses(record, plan)
    record.codec = _CODECS[plan.codec]
    record.payload_type = plan.payload_type
    record.receive_payload_type = plan.receive_payload_type
    other = plan.other_payload_type
    record.other_payload_type = _NO_PAYLOAD_TYPE if other is None else other
    record.dtmf_send = _NO_PAYLOAD_TYPE if plan.dtmf_send is None else plan.dtmf_send
    record.dtmf_receive = _NO_PAYLOAD_TYPE if plan.dtmf_receive is None else plan.dtmf_receive
    record.ptime_ms = plan.ptime_ms
    record.silence_ms = round(plan.silence_s * 1000)
    record.dtmf_clock = plan.dtmf_clock
    record.jitter_min_ms, record.jitter_max_ms = plan.jitter.min_ms, plan.jitter.max_ms
    record.jitter_start_ms = plan.jitter.start_ms
    settings = plan.codec_settings
    record.bitrate, record.complexity = settings.bitrate, settings.complexity
    record.fec, record.dtx, record.expected_loss = settings.fec, settings.dtx, settings.expected_loss
    record.cn, record.rtcp_mux = plan.cn, plan.rtcp_mux
    record.sends, record.receives = plan.sends, plan.receives
    return record


def _srtp_record(srtp: Srtp, now: Srtp | None) -> Any:
    """What changes from `now`. A key that stays keeps its context: begun anew it would use its key stream twice."""
    record = ffi.new("struct wire_srtp *")
    if not srtp.same_send(now):
        record.send_suite = _SUITES[srtp.suite]
        ffi.memmove(record.send, srtp.send.octets, len(srtp.send.octets))
    if not srtp.same_receive(now):
        record.receive_suite = _SUITES[srtp.suite]
        record.mki_length = len(srtp.mki)
        ffi.memmove(record.receive, srtp.receive.octets, len(srtp.receive.octets))
        ffi.memmove(record.mki, srtp.mki, len(srtp.mki))
    return record


def _hearing(numbers: Any) -> HearingStatistics:
    return HearingStatistics(**{name: getattr(numbers, name) for name in HearingStatistics.__slots__})


class Wire:
    """One wire thread with its legs and SIP sockets.

    `legs_path` names the file of the leg table; it belongs on a memory file system (a disk would be written to all the
    time). None keeps it in memory without a name.
    """

    def __init__(self, *, legs: int = 4096, legs_path: str | None = None, sip_ring: int = 1 << 22) -> None:
        holder = ffi.new("struct wire **")
        path = ffi.NULL if legs_path is None else legs_path.encode()
        check(lib.wire_new(holder, path, legs, sip_ring), "cannot set up the packet mover")
        self._wire = ffi.gc(holder[0], lib.wire_free)  # a house that is never started leaves nothing open
        self.rooms = WireRooms(self._wire)
        self._holding = False
        self._sip_addresses: dict[int, tuple[str, int]] = {}
        self._datagram = ffi.new("struct wire_datagram *")
        self._event = ffi.new("struct wire_event *")
        self._headers = ffi.new("uint8_t[]", lib.WIRE_HEADER_RECORDS * lib.WIRE_HEADER_SIZE)
        self._newest = ffi.new("uint64_t *")
        self._tapped = ffi.new("struct wire_tapped *")
        self._statistics = ffi.new("struct wire_statistics *")
        self.event_fd: int = lib.wire_event_fd(self._wire)
        self.media_fd: int = lib.wire_media_fd(self._wire)

    # ---- life

    def start(self) -> None:
        """Starts the thread. Commands given before are carried out then."""
        check(lib.wire_start(self._wire), "cannot start the wire thread")

    def stop(self) -> None:
        """Ends the thread: every leg says BYE, every socket is closed."""
        lib.wire_stop(self._wire)

    def close(self) -> None:
        """Stops, and gives the memory back. All else here raises TypeError afterwards."""
        if self._wire is not None:
            ffi.release(self._wire)
            self._wire = None
            self.rooms = WireRooms(None)

    def pulse(self) -> int:
        """The turns the thread has made so far. It is asked for another, also where it has nothing to do."""
        return int(lib.wire_pulse(self._wire))

    def hold(self) -> None:
        """From here on commands gather; they are carried out with the next packet, or at `release`."""
        self._holding = True
        lib.wire_hold(self._wire)

    def release(self) -> None:
        """Has everything carried out that was ordered since `hold`: the thread is woken once, not for each command."""
        self._holding = False
        lib.wire_release(self._wire)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is ordered within is carried out together, and together with what an outer `hold` gathers."""
        outer = self._holding
        self.hold()
        try:
            yield
        finally:
            if not outer:
                self.release()

    @staticmethod
    def now() -> float:
        """The clock of all times here: monotonic seconds, as `loop.time()`."""
        return float(lib.wire_now())

    # ---- SIP

    def sip_open(self, ip: str, port: int) -> int:
        """Opens a UDP socket and returns its index, from 1 on. Raises WireError, with EADDRINUSE for a taken port."""
        index, bound = ffi.new("uint32_t *"), ffi.new("uint16_t *")
        check(lib.wire_sip_open(self._wire, ip.encode(), port, index, bound), f"cannot open UDP {ip} port {port}")
        self._sip_addresses[index[0]] = (ip, bound[0])
        return int(index[0])

    def sip_address(self, index: int) -> tuple[str, int]:
        """What the socket is bound to."""
        return self._sip_addresses[index]

    def sip_close(self, index: int) -> None:
        """Closes a SIP socket."""
        check(lib.wire_sip_close(self._wire, index), f"SIP socket {index}")
        del self._sip_addresses[index]

    def sip_send(self, index: int, data: bytes, ip: str, port: int, local_ip: str = "") -> int:
        """Sends one datagram at once, without waiting. Returns 0, or the errno of the refusal. From a socket bound to
        all addresses it leaves as `local_ip`, an address of ours; empty is the system's choice."""
        source = local_ip.encode() if local_ip else ffi.NULL
        return int(lib.wire_sip_send(self._wire, index, data, len(data), ip.encode(), port, source))

    def sip_receive(self, limit: int = 256) -> list[Datagram]:
        """Takes up to `limit` datagrams that passed the guard. `event_fd` stays readable while more wait."""
        received: list[Datagram] = []
        datagram, following = self._datagram, lib.wire_sip_next
        lib.wire_sip_begin(self._wire)
        while len(received) < limit and following(self._wire, datagram):
            data = bytes(ffi.buffer(datagram.data, datagram.length))
            remote = ffi.string(datagram.ip).decode(), datagram.port
            local_ip = ffi.string(datagram.local_ip).decode()
            received.append(Datagram(data, datagram.socket, remote, datagram.arrival * 1e-9, local_ip))
        lib.wire_sip_end(self._wire)
        return received

    # ---- guard

    def set_bucket(self, rate: float, burst: float) -> None:
        """Datagrams a second and at once that each source may send; rate 0 lifts the limit."""
        check(lib.wire_guard_bucket(self._wire, rate, burst), "guard")

    def exempt_loopback(self, exempt: bool) -> None:
        """Whether 127.0.0.0/8 and ::1 are beyond bans and buckets; they are at first."""
        check(lib.wire_guard_loopback(self._wire, exempt), "guard")

    def set_slow_bucket(self, rate: float, burst: float) -> None:
        """The same for sources that are slowed."""
        check(lib.wire_guard_slow_bucket(self._wire, rate, burst), "guard")

    def trust(self, network: str, *, limited: bool = False) -> None:
        """Puts an address or network ("192.0.2.0/24") beyond bans and buckets, or, `limited`, beyond bans alone.
        Raises ValueError when it is none, WireError with ENOSPC when 512 are trusted."""
        ip, prefix = _network(network)
        check(lib.wire_guard_trust(self._wire, ip, prefix, limited), f"cannot trust {network}")

    def distrust_all(self) -> None:
        """Forgets every trusted network."""
        check(lib.wire_guard_distrust_all(self._wire), "guard")

    def ban(self, network: str) -> None:
        """Drops everything from this address or network. Raises ValueError when it is none, WireError: EINVAL for all
        addresses there are, ENOSPC when 8192 are banned."""
        check(lib.wire_guard_ban(self._wire, *_network(network)), f"cannot ban {network}")

    def unban(self, network: str) -> None:
        """Lifts a ban."""
        check(lib.wire_guard_unban(self._wire, *_network(network)), f"cannot unban {network}")

    def ban_hits(self, network: str) -> int:
        """How many datagrams the ban of this network has dropped; 0 when it is not banned."""
        return int(lib.wire_guard_hits(self._wire, *_network(network)))

    def slow(self, network: str) -> None:
        """Gives each source in this address or network the slow bucket. Raises as `ban` does."""
        check(lib.wire_guard_slow(self._wire, *_network(network)), f"cannot slow {network}")

    def unslow(self, network: str) -> None:
        """Gives them the usual bucket again."""
        check(lib.wire_guard_unslow(self._wire, *_network(network)), f"cannot unslow {network}")

    # ---- legs

    def leg_open(self, ip: str, rtp_port: int, rtcp_port: int) -> Leg:
        """Opens both sockets of a leg; port 0 takes any. Raises WireError (EADDRINUSE, EMFILE, ENOSPC: no slot)."""
        handle = ffi.new("struct wire_leg *")
        error = lib.wire_leg_open(self._wire, ip.encode(), rtp_port, rtcp_port, handle)
        check(error, f"cannot open RTP {ip} port {rtp_port}")
        return Leg(handle)

    def leg_plan(self, leg: Leg, plan: MediaPlan) -> None:
        """Applies what was negotiated, between two packets. Raises WireError (EINVAL) when the plan makes no sense."""
        if plan.srtp is None:
            error = lib.wire_leg_plan(self._wire, leg.handle, _plan_record(plan), ffi.NULL)
        else:
            keys = _srtp_record(plan.srtp, leg.srtp)
            error = lib.wire_leg_plan(self._wire, leg.handle, _plan_record(plan), keys)
            ffi.memmove(keys, bytes(ffi.sizeof(keys[0])), ffi.sizeof(keys[0]))
        if error:
            check(error, f"plan {plan}")  # a plan in words costs more than all the rest
        leg.srtp = plan.srtp

    def leg_mode(self, leg: Leg, mode: Mode, peer: Leg | None = None) -> None:
        """Says what becomes of what the leg hears; RELAY gives it to `peer`. Raises WireError (ENOTSUP)."""
        handle = ffi.NULL if peer is None else peer.handle
        error = lib.wire_leg_mode(self._wire, leg.handle, mode.value, handle)
        check(error, f"mode {mode.name.lower()} of a leg")

    def leg_fax(self, leg: Leg, mode: Mode, port: FaxPort) -> None:
        """The leg is fed by `port` from now on, as MODEM or T38, until `leg_mode`. Raises WireError."""
        check(lib.wire_leg_fax(self._wire, leg.handle, mode.value, port.handle), f"mode {mode.name.lower()} of a leg")

    def leg_close(self, leg: Leg) -> None:
        """Says BYE and closes the sockets."""
        check(lib.wire_leg_close(self._wire, leg.handle), "leg")

    def leg_statistics(self, leg: Leg) -> LegStatistics:
        """The leg's numbers as they are now; all zero before its first command was carried out and after its end."""
        numbers = self._statistics
        if lib.wire_leg_statistics(self._wire, leg.handle, numbers):
            return LegStatistics()
        reported = numbers.remote_reports > 0
        source = ffi.string(numbers.source_ip).decode()
        return LegStatistics(
            received=numbers.received,
            received_octets=numbers.received_octets,
            sent=numbers.sent,
            sent_octets=numbers.sent_octets,
            expected=numbers.expected,
            lost=numbers.lost,
            bursts=numbers.bursts,
            longest_burst=numbers.longest_burst,
            jitter_ms=numbers.jitter / 1000,
            jitter_max_ms=numbers.jitter_max / 1000,
            round_trip_ms=numbers.round_trip / 65.536 if numbers.round_trip else None,
            round_trip_max_ms=numbers.round_trip_max / 65.536 if numbers.round_trip_max else None,
            remote_lost=numbers.remote_lost if reported else None,
            remote_loss=numbers.remote_fraction / 256 if reported else None,
            remote_jitter_ms=numbers.remote_jitter / 1000 if reported else None,
            since_heard_s=numbers.since_heard if numbers.since_heard >= 0 else None,
            latch=Latch(numbers.latched),
            source=(source, numbers.source_port) if source else None,
            ssrc=numbers.ssrc,
            remote_ssrc=numbers.remote_ssrc,
            hearing=_hearing(numbers) if numbers.in_room else None,
        )

    def leg_headers(self, leg: Leg) -> LegHeaders:
        """The headers of its last RTP packets, both ways: ten seconds of 20 ms packets. Empty once it is closed."""
        count = lib.wire_leg_headers(self._wire, leg.handle, self._headers, self._newest)
        records = bytes(ffi.buffer(self._headers, count * lib.WIRE_HEADER_SIZE))
        return LegHeaders(records, self._newest[0] if count else 0)

    def leg_tap(self, leg: Leg, on: bool) -> None:
        """Copies its packets, both ways, for `tapped` to tell; or no longer."""
        check(lib.wire_leg_tap(self._wire, leg.handle, on), "leg")

    def tapped(self, limit: int = 4096) -> list[Tapped]:
        """Takes up to `limit` packets of legs that are listened in on. The ring holds four MB; what finds no room there
        is counted as the drop `tap_overflow`."""
        packets: list[Tapped] = []
        tapped = self._tapped
        while len(packets) < limit and lib.wire_tap_next(self._wire, tapped):
            data = bytes(ffi.buffer(tapped.data, tapped.length))
            packets.append(Tapped((tapped.leg, tapped.generation), tapped.at * 1e-9, bool(tapped.outward), data))
        return packets

    def leg_drops(self, leg: Leg) -> dict[str, int]:
        """The leg's drops by name, those that happened."""
        counts = ffi.new("uint32_t[]", len(DROP_NAMES))
        names = lib.wire_leg_drops(self._wire, leg.handle, counts, len(DROP_NAMES))
        return {DROP_NAMES[drop]: counts[drop] for drop in range(names) if counts[drop]}

    @property
    def legs_open(self) -> int:
        """Legs whose sockets are open."""
        return int(lib.wire_legs_open(self._wire))

    def events(self, limit: int = 1024) -> list[LegEvent | RoomEvent]:
        """Takes up to `limit` events. `media_fd` stays readable while more wait."""
        events: list[LegEvent | RoomEvent] = []
        lib.wire_events_begin(self._wire)
        while len(events) < limit and lib.wire_event_next(self._wire, self._event):
            events.append(event_of(self._event))
        lib.wire_events_end(self._wire)
        return events

    # ---- counters

    def drops(self) -> dict[str, int]:
        """Every reason a packet can be dropped for, with how often it was."""
        return {name: lib.wire_drops(self._wire, drop) for drop, name in enumerate(DROP_NAMES)}

    def packets(self) -> tuple[int, int]:
        """RTP packets received and sent."""
        return lib.wire_packets_received(self._wire), lib.wire_packets_sent(self._wire)

    def lateness(self) -> list[LatenessBucket]:
        """How late the thread ran when it had a deadline."""
        bounds = [lib.wire_lateness_bound_us(bucket) for bucket in range(lib.WIRE_LATENESS_BUCKETS)]
        return [
            LatenessBucket(bound if bound != 0xFFFFFFFF else None, lib.wire_lateness(self._wire, bucket))
            for bucket, bound in enumerate(bounds)
        ]

    def thread_cpu_s(self) -> float:
        """CPU seconds the wire thread has used."""
        return float(lib.wire_thread_cpu_ns(self._wire)) * 1e-9

    @property
    def realtime(self) -> bool:
        """Whether the system granted the thread real-time scheduling."""
        return bool(lib.wire_realtime(self._wire))
