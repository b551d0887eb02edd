"""A phone in a process of its own: says a packet each 5 ms and measures how long its echo takes.

usage: python -m tests.media.metronome LOCAL_PORT ECHO_PORT PACKETS
"""

from __future__ import annotations

import gc
import json
import select
import socket
import struct
import sys
import time

INTERVAL = 0.005


def measure(phone: socket.socket, echo: tuple[str, int], packets: int) -> list[float]:
    said: dict[bytes, float] = {}
    delays: list[float] = []
    start = time.monotonic()
    while len(delays) < packets:
        now = time.monotonic()
        if len(said) < packets and now >= start + len(said) * INTERVAL:
            number = len(said)
            name = struct.pack("!I", number) * 40
            phone.sendto(struct.pack("!BBHII", 0x80, 0, number, number * 160, 7) + name, echo)
            said[name] = time.monotonic()
        elif now > start + packets * INTERVAL + 2:
            break
        if select.select([phone], [], [], INTERVAL / 5)[0]:
            delays.append(time.monotonic() - said[phone.recv(2048)[12:]])
    return delays


def main() -> None:
    local, echo, packets = (int(word) for word in sys.argv[1:])
    gc.disable()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", local))
        delays = sorted(measure(phone, ("127.0.0.1", echo), packets))
    print(json.dumps({"heard": len(delays), "p50": delays[len(delays) // 2], "p90": delays[len(delays) * 9 // 10]}))


if __name__ == "__main__":
    main()
