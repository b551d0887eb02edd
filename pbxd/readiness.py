"""What systemd is told: READY, RELOADING, STOPPING, WATCHDOG (sd_notify(3)). Without systemd nothing happens."""

from __future__ import annotations

import os
import socket
import time


class Readiness:
    """Sends states to the socket that systemd names in `NOTIFY_SOCKET`. Never raises, never waits."""

    def __init__(self) -> None:
        address = os.environ.pop("NOTIFY_SOCKET", "")  # not for our children
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket: socket.socket | None = None
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        mine = os.environ.get("WATCHDOG_PID") in (None, str(os.getpid()))
        self.watchdog_interval_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6 if self._socket and mine else 0.0

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._send(f"STOPPING=1\nSTATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog; due every `watchdog_interval_s` when that is not 0."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if self._socket:
            try:
                self._socket.sendto(state.encode(), self._address)
            except OSError:
                return  # systemd is busy or gone: our work goes on
