"""A leg that carries a fax: its sound or its datagrams, for the thread that has the modem."""

from __future__ import annotations

from typing import Final

from media.wire._wire import ffi, lib

FRAME_OCTETS: Final = 320  # 20 ms: 160 samples of 16 bits
_FRAMES_MAX: Final = 64
_DATAGRAM_MAX: Final = 1500


class FaxPort:
    """What a leg in the mode MODEM or T38 hears and says. It is given to one leg, once; its methods are for one thread,
    which may be any."""

    __slots__ = ("_datagram", "_lost", "_samples", "handle")

    def __init__(self) -> None:
        handle = lib.wire_fax_new()
        if handle == ffi.NULL:
            raise MemoryError("no memory for a fax")
        self.handle = ffi.gc(handle, lib.wire_fax_release)
        self._samples = ffi.new("int16_t[]", _FRAMES_MAX * FRAME_OCTETS // 2)
        self._lost = ffi.new("uint8_t[]", _FRAMES_MAX)
        self._datagram = ffi.new("uint8_t[]", _DATAGRAM_MAX)

    def hear(self) -> list[bytes | None]:
        """The frames of 20 ms that came since the last call; None for one that was lost."""
        count = lib.wire_fax_hear(self.handle, self._samples, self._lost, _FRAMES_MAX)
        sound = bytes(ffi.buffer(self._samples, count * FRAME_OCTETS))
        return [
            None if self._lost[place] else sound[place * FRAME_OCTETS : (place + 1) * FRAME_OCTETS]
            for place in range(count)
        ]

    def say(self, frame: bytes) -> bool:
        """Adds 20 ms to what is said. False: there is no room."""
        return bool(lib.wire_fax_say(self.handle, ffi.cast("int16_t *", ffi.from_buffer(frame))))

    def take(self) -> list[bytes]:
        """The datagrams that came since the last call, 256 at most."""
        found: list[bytes] = []
        while len(found) < 256 and (length := lib.wire_fax_take(self.handle, self._datagram, _DATAGRAM_MAX)):
            found.append(bytes(ffi.buffer(self._datagram, length)))
        return found

    def send(self, datagram: bytes) -> bool:
        """A datagram for the far end, within 10 ms. False: there is no room, or it is empty or too long."""
        return bool(lib.wire_fax_send(self.handle, datagram, len(datagram)))

    def numbers(self) -> tuple[int, int]:
        """Frames that were not there when they were to be said, and what was heard and found no room."""
        underruns, overruns = ffi.new("uint32_t *"), ffi.new("uint32_t *")
        lib.wire_fax_numbers(self.handle, underruns, overruns)
        return int(underruns[0]), int(overruns[0])

    @property
    def closed(self) -> bool:
        """Whether no leg has it any more."""
        return bool(lib.wire_fax_closed(self.handle))
