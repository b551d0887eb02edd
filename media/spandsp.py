"""Fax modems and T.30 by libspandsp. A channel steps on samples and T.38 packets; `step` takes all that are due in one
call, during which the interpreter is free for others. Nothing here reads a clock.

A channel belongs to one thread at a time. Nothing else in the house touches libspandsp.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntFlag
from pathlib import Path
from typing import Any, Final, NamedTuple

from media.fax import Compression, FaxOptions, Resolution
from media.modem._modem import ffi, lib

RATE: Final = 8000  # samples a second, of all sound here
FRAME_MS: Final = 20
FRAME: Final = RATE * FRAME_MS // 1000  # samples of a step
HEARD_MAX: Final = 2 * 10 * FRAME  # octets a channel takes in one step; what is more is dropped, the oldest first
PACKETS_MAX: Final = 65536
_PATH_MAX: Final = 1023
_HEAD: Final = struct.Struct("=HH")  # sequence or count, length

_V27TER, _V29, _V17 = 1, 2, 4  # T30_SUPPORT_*
_MODEMS: Final = {14400: _V27TER | _V29 | _V17, 9600: _V27TER | _V29, 4800: _V27TER}
_COMPRESSIONS: Final = {Compression.MH: 0x02, Compression.MR: 0x04, Compression.MMR: 0x08}
_RESOLUTIONS: Final = {Resolution.STANDARD: 0x01, Resolution.FINE: 0x02, Resolution.SUPERFINE: 0x04}
_R8_RESOLUTION: Final = 0x20000
_LINES_PER_METRE: Final = {3850: Resolution.STANDARD, 7700: Resolution.FINE, 15400: Resolution.SUPERFINE}
_ENCODINGS: Final = {1: Compression.MH, 2: Compression.MR, 3: Compression.MMR}


class ChannelKind(Enum):
    """What a channel is between: T.30 over samples, T.30 over T.38, or T.38 on one side and samples on the other."""

    AUDIO = 0
    T38 = 1
    GATEWAY = 2


class Tone(IntFlag):
    """What is heard before a fax: CNG of who calls, CED (or V.21's preamble) of who answers."""

    CNG = 1
    CED = 2


class Completion(Enum):
    """How T.30 ended, in libspandsp's order (T30_ERR_*)."""

    OK = 0
    CED_TONE = 1
    T0_EXPIRED = 2
    T1_EXPIRED = 3
    T3_EXPIRED = 4
    HDLC_CARRIER = 5
    CANNOT_TRAIN = 6
    OPERATOR_INTERRUPT = 7
    INCOMPATIBLE = 8
    RX_INCAPABLE = 9
    TX_INCAPABLE = 10
    NO_RESOLUTION = 11
    NO_SIZE = 12
    UNEXPECTED = 13
    TX_BAD_DCS = 14
    TX_BAD_PAGE = 15
    TX_ECM = 16
    TX_GOT_DCN = 17
    TX_INVALID_RESPONSE = 18
    TX_NO_DIS = 19
    TX_PHASE_B_DEAD = 20
    TX_PHASE_D_DEAD = 21
    TX_T5_EXPIRED = 22
    RX_ECM = 23
    RX_GOT_DCS = 24
    RX_INVALID_COMMAND = 25
    RX_NO_CARRIER = 26
    RX_NO_EOL = 27
    RX_NO_FAX = 28
    RX_T2_DCN = 29
    RX_T2_PHASE_D = 30
    RX_T2_PAGE = 31
    RX_T2_NEXT_PAGE = 32
    RX_T2_RR = 33
    RX_T2 = 34
    RX_DCN_WHY = 35
    RX_DCN_DATA = 36
    RX_DCN_FAX = 37
    RX_DCN_PHASE_D = 38
    RX_DCN_RR = 39
    RX_DCN_NO_RTN = 40
    FILE_ERROR = 41
    NO_PAGE = 42
    BAD_TIFF = 43
    BAD_PAGE = 44
    BAD_TAG = 45
    BAD_TIFF_HEADER = 46
    NO_MEMORY = 47
    RETRY_DCN = 48
    CALL_DROPPED = 49
    OTHER = 50  # of features that are never asked for: polling, passwords, internet addresses


class ModemEventKind(Enum):
    """FRAME: a T.30 frame; PAGE: a page and what followed it; ENDED: nothing more comes."""

    FRAME = 0
    PAGE = 1
    ENDED = 2


class ModemEvent(NamedTuple):
    """Something in a channel, `at` seconds after it began. `data` is the frame with its address and control."""

    kind: ModemEventKind
    at: float
    outward: bool = False
    data: bytes = b""
    completion: Completion | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """The page at hand, or the last: bit/s, whether with ECM, how many frames ECM repeated, lines that were bad."""

    speed: int
    ecm: bool
    pages_sent: int
    pages_received: int
    pages_in_file: int
    resolution: Resolution | None
    compression: Compression | None
    width: int
    length: int
    bad_rows: int
    ecm_retries: int


@dataclass(frozen=True, slots=True)
class T38Settings:
    """What SDP agreed for T.38: its version, who checks the training, and the largest packet the far end takes."""

    version: int = 0
    local_tcf: bool = False
    fill_bit_removal: bool = False
    max_datagram: int = 0


class Channel:
    """A modem with T.30 behind it, or a gateway. `close` gives its memory back.

    `hear` and `take` before a step, `said`, `sent` and `events` after it.
    """

    __slots__ = ("_handle", "_heard", "_packets", "_said", "events", "kind", "said", "sent")

    def __init__(
        self,
        kind: ChannelKind,
        options: FaxOptions,
        *,
        calling: bool,
        send: Path | None = None,
        receive: Path | None = None,
        t38: T38Settings | None = None,
    ) -> None:
        settings = _settings(kind, options, calling, t38 or T38Settings())
        settings.send_file, settings.receive_file = _file(send), _file(receive)
        self._handle = ffi.gc(lib.modem_new(settings), lib.modem_free)
        if self._handle == ffi.NULL:
            raise MemoryError("no memory for a fax channel")
        self.kind = kind
        self._heard = bytearray()
        self._packets = bytearray()
        self._said = ffi.new("int16_t[]", FRAME) if kind is not ChannelKind.T38 else ffi.NULL
        self.said = b""
        self.sent: list[bytes] = []
        self.events: list[ModemEvent] = []

    def hear(self, samples: bytes) -> None:
        """Sound from the far end, 16 bits a sample, this machine's order; a frame of 20 ms a step keeps pace."""
        self._heard += samples
        if len(self._heard) > HEARD_MAX:
            del self._heard[: len(self._heard) - HEARD_MAX]

    def take(self, sequence: int, packet: bytes) -> None:
        """An IFP packet from the far end, in the order of their numbers (0 to 65535)."""
        if len(self._packets) + len(packet) <= PACKETS_MAX:
            self._packets += _HEAD.pack(sequence, len(packet)) + packet

    def statistics(self) -> Statistics:
        """As they are now."""
        numbers = ffi.new("struct fax_statistics *")
        lib.modem_statistics(self._handle, numbers)
        return Statistics(
            numbers.bit_rate,
            bool(numbers.ecm),
            numbers.pages_sent,
            numbers.pages_received,
            numbers.pages_in_file,
            _LINES_PER_METRE.get(numbers.y_resolution),
            _ENCODINGS.get(numbers.encoding),
            numbers.width,
            numbers.length,
            numbers.bad_rows,
            numbers.ecm_retries,
        )

    def ident(self) -> str:
        """What the far end calls itself; empty when it did not say. Only printable ASCII is kept."""
        found = lib.modem_ident(self._handle)
        if found == ffi.NULL:
            return ""
        text = ffi.string(found).decode("ascii", "ignore")
        return "".join(character for character in text if character.isprintable()).strip()

    def terminate(self) -> None:
        """The call is over: files are finished, and `events` says how it ended."""
        lib.modem_terminate(self._handle)
        self.events = _events(self._handle)

    def close(self) -> None:
        """Ends it, and gives the memory back; closing twice does nothing."""
        if self._handle is not None:
            ffi.release(self._handle)
            self._handle = None

    def fill(self, turn: Any) -> tuple[Any, Any]:
        """For `step`: what goes in. The buffers returned are to be kept until it is over."""
        heard, packets = ffi.from_buffer("int16_t[]", self._heard), ffi.from_buffer("uint8_t[]", self._packets)
        turn.fax, turn.samples, turn.said = self._handle, FRAME, self._said
        turn.heard, turn.heard_samples = heard, len(self._heard) // 2
        turn.packets, turn.packets_length = packets, len(self._packets)
        return heard, packets

    def drain(self, turn: Any) -> None:
        """For `step`: what came out."""
        self._heard, self._packets = bytearray(), bytearray()
        self.said = bytes(ffi.buffer(self._said, FRAME * 2)) if self._said != ffi.NULL else b""
        self.sent = _packets(bytes(ffi.buffer(turn.sent, turn.sent_length))) if turn.sent_length else []
        self.events = _events(self._handle) if turn.events else []


def step(channels: Sequence[Channel]) -> None:
    """Takes all channels 20 ms further, in one call that holds no lock of the interpreter."""
    turns = ffi.new("struct fax_turn[]", len(channels))
    kept = [channel.fill(turns[place]) for place, channel in enumerate(channels)]
    lib.modem_step(turns, len(channels))
    for place, channel in enumerate(channels):
        channel.drain(turns[place])
    del kept


class Ear:
    """Listens for the tones before a fax in sound of 8000 samples a second."""

    __slots__ = ("_handle",)

    def __init__(self) -> None:
        self._handle = ffi.gc(lib.modem_ear_new(), lib.modem_ear_free)
        if self._handle == ffi.NULL:
            raise MemoryError("no memory for an ear")

    def hear(self, samples: bytes) -> Tone:
        """All the tones found until now, with these samples (16 bits each, this machine's order)."""
        return Tone(lib.modem_ear_hear(self._handle, ffi.from_buffer("int16_t[]", samples), len(samples) // 2))


def completion_text(completion: Completion) -> str:
    """libspandsp's words for it."""
    return str(ffi.string(lib.modem_completion(completion.value)).decode())


def _file(path: Path | None) -> bytes:
    name = b"" if path is None else str(path).encode()
    if len(name) > _PATH_MAX:
        raise ValueError(f"a path of {len(name)} octets is too long for a fax")
    return name


def _settings(kind: ChannelKind, options: FaxOptions, calling: bool, t38: T38Settings) -> Any:
    settings = ffi.new("struct fax_settings *")
    settings.kind, settings.calling, settings.ecm = kind.value, calling, options.ecm
    settings.version, settings.local_tcf = t38.version, t38.local_tcf
    settings.fill_bit_removal, settings.max_datagram = t38.fill_bit_removal, t38.max_datagram
    settings.modems = _MODEMS[options.max_speed]
    settings.compressions = sum(_COMPRESSIONS[one] for one in Compression if one in options.compression)
    settings.resolutions = _R8_RESOLUTION | sum(_RESOLUTIONS[one] for one in Resolution if one in options.resolution)
    settings.first_page = options.start_page
    settings.ident, settings.header = options.ident.encode(), options.header.encode()
    return settings


def _packets(records: bytes) -> list[bytes]:
    found: list[bytes] = []
    at = 0
    while at < len(records):
        count, length = _HEAD.unpack_from(records, at)
        at += _HEAD.size
        found += [records[at : at + length]] * max(1, count)
        at += length
    return found


def _events(handle: Any) -> list[ModemEvent]:
    pointer = ffi.new("struct fax_event **")
    count = lib.modem_events(handle, pointer)
    return [_event(pointer[0][place]) for place in range(count)]


def _event(record: Any) -> ModemEvent:
    kind = ModemEventKind(record.kind)
    at = record.at / RATE
    if kind is ModemEventKind.ENDED:
        code = record.a if record.a < Completion.OTHER.value else Completion.OTHER.value
        return ModemEvent(kind, at, completion=Completion(code))
    data = bytes(ffi.buffer(record.data, record.length))
    return ModemEvent(kind, at, bool(record.a) if kind is ModemEventKind.FRAME else False, data)
