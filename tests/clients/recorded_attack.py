"""Runs one of sipvicious' programs as it is, and writes down what goes over its sockets, a line of JSON for each.

    python recorded_attack.py JOURNAL SOURCE PROGRAM ARGUMENT...

Its sockets are bound to the address SOURCE: svwar and svcrack take the option for that and forget it.
"""

import importlib
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

journal = Path(sys.argv[1])
source = sys.argv[2]


def note(way: str, data: bytes) -> None:
    line = json.dumps({"at": time.monotonic(), "way": way, "start": data.split(b"\r\n", 1)[0].decode()})
    with journal.open("a") as file:
        file.write(line + "\n")


class RecordingSocket(socket.socket):
    """A socket that tells what it sends and hears."""

    def bind(self, address: Any) -> None:
        super().bind((source, address[1]))

    def sendto(self, data: Any, *where: Any) -> int:
        note("sent", bytes(data))
        return super().sendto(data, *where)

    def recvfrom(self, *size: Any) -> Any:
        data, sender = super().recvfrom(*size)
        note("heard", data)
        return data, sender


socket.socket = RecordingSocket  # type: ignore[misc]
program = importlib.import_module(f"sipvicious.{sys.argv[3]}")
sys.argv = sys.argv[3:]
sys.exit(program.main())
