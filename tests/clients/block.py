"""A block of loopback addresses and ports that no other test session on this machine uses.

A block is leased by binding an abstract Unix socket, so parallel workers and parallel sessions never meet, and a
killed session leaves nothing behind. Ports stay below the ephemeral range and above the RTP range of a lab that may
be up beside the tests.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from media.ports import PortPool

BLOCKS = 60
PORTS_PER_BLOCK = 200
FIRST_PORT = 20_000
FIXED_PORTS = 20
"""Ports at the start of each block for listeners; the rest is for the house's RTP."""


@dataclass(slots=True)
class Block:
    """One lease: a set of ports on 127.0.0.1 and a /16 of loopback addresses for phones."""

    number: int
    _phones: Iterator[int] = field(default_factory=lambda: count(0))

    def port(self, offset: int) -> int:
        """A listener's port, the same for the same `offset`."""
        if not 0 <= offset < FIXED_PORTS:
            raise ValueError(f"offset {offset} is not among the {FIXED_PORTS} ports for listeners")
        return FIRST_PORT + self.number * PORTS_PER_BLOCK + offset

    @property
    def rtp_ports(self) -> str:
        """The house's RTP range as the configuration writes it."""
        first = FIRST_PORT + self.number * PORTS_PER_BLOCK
        return f"{first + FIXED_PORTS}-{first + PORTS_PER_BLOCK - 1}"

    def rtp_pool(self) -> PortPool:
        """The same range for a test that has the media plane in its own process."""
        first = FIRST_PORT + self.number * PORTS_PER_BLOCK
        return PortPool(first + FIXED_PORTS, first + PORTS_PER_BLOCK - 1, rest_s=0)

    def address(self) -> str:
        """A loopback address for one more phone, not used before in this block."""
        number = next(self._phones)
        return f"127.{64 + self.number}.{number // 250}.{number % 250 + 1}"


@contextmanager
def leased_block() -> Iterator[Block]:
    """Lease a free block; raises RuntimeError when all are taken."""
    for number in range(BLOCKS):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lease:
            block = Block(number)
            try:
                lease.bind(f"\0pbxd-test-block-{number}")
            except OSError:
                continue
            if not _deserted(block):
                continue
            yield block
            return
    raise RuntimeError(f"all {BLOCKS} blocks of test addresses are leased")


def _deserted(block: Block) -> bool:
    """Whether nobody listens there: a house whose session was killed outlives its lease."""
    for offset in range(3):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
                try:
                    probe.bind(("127.0.0.1", block.port(offset)))
                except OSError:
                    return False
    return True
