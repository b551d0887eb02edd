"""A story's stage: one house, and phones that are gone when the story is over."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Any, Self

from tests.clients.house import House, Json
from tests.clients.line import Line, Transport
from tests.clients.phone import Call, Ended, Phone, talk
from tests.clients.phones import Make, start
from tests.clients.raw_rtp import RawRtp
from tests.clients.raw_sip import RawSip
from tests.clients.until import until

TONES_HZ = {"1001": 450.0, "1002": 850.0, "1003": 1150.0, "1004": 650.0}
OTHER_TONE_HZ = 1450.0
CLOCK_SLACK = timedelta(milliseconds=2)
"""The house states its times to the millisecond."""


class Lab:
    """Starts phones for a story and asks the house what it thinks; use it as a context manager."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._stack = ExitStack()
        self._media_ports = count(6000, 10)
        self._known: set[str] = set()
        self._begun = datetime.now(UTC)

    def __enter__(self) -> Self:
        self._begun = datetime.now(UTC) - CLOCK_SLACK
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def line(
        self,
        extension: str,
        *,
        transport: Transport = Transport.UDP,
        tone_hz: float | None = None,
        ipv6: bool = False,
        **more: Any,
    ) -> Line:
        """A line of the lab, each extension with a tone of its own."""
        house = self.house
        host, port = house.sips if transport is Transport.TLS else house.sip
        fields: dict[str, Any] = {
            "extension": extension,
            "password": f"lab-{extension}",
            "server": f"[::1]:{port}" if ipv6 else f"{host}:{port}",
            "domain": "[::1]" if ipv6 else "127.0.0.1",
            "address": "::1" if ipv6 else house.block.address(),
            "folder": str(house.folder),
            "transport": transport,
            "tone_hz": tone_hz or TONES_HZ.get(extension, OTHER_TONE_HZ),
        }
        return Line(**{**fields, **more})

    def phone(self, make: Make, extension: str, *, registers: bool = True, **line: Any) -> Phone:
        """A phone of this make, registered unless told otherwise."""
        phone = self._stack.enter_context(start(make, self.line(extension, **line)))
        return phone.register() if registers else phone

    def raw(self, *, address: str | None = None, port: int = 0, tcp: bool = False, ipv6: bool = False) -> RawSip:
        """A scripted SIP endpoint at an address of its own."""
        where = address or ("::1" if ipv6 else self.house.block.address())
        server = self.house.sip6 if ipv6 or ":" in where else self.house.sip
        return self._stack.enter_context(RawSip(where, server, port=port, tcp=tcp))

    def rtp(self, address: str, **settings: Any) -> RawRtp:
        """A scripted RTP endpoint."""
        return self._stack.enter_context(RawRtp(address, **settings))

    def media_port(self) -> int:
        """A port for SIPp's RTP at an address of its own."""
        return next(self._media_ports)

    def record(self) -> Json:
        """The record of the call that has just ended: waits for one of this story that was not given out yet."""

        def fresh() -> Json | None:
            news = [record for record in self.house.records() if self._is_news(record)]
            return news[-1] if news else None

        record = until(fresh, "the record of the call")
        assert record
        self._known.add(record["id"])
        return record

    def records(self) -> list[Json]:
        """Of the calls of this story that are over, the last one first."""
        since = self._begun
        return [one for one in self.house.records() if datetime.fromisoformat(one["started_at"]) >= since]

    def _is_news(self, record: Json) -> bool:
        return record["id"] not in self._known and datetime.fromisoformat(record["started_at"]) >= self._begun


def connect(caller: Phone, callee: Phone, number: str | None = None) -> tuple[Call, Call]:
    """Let one phone call another, which answers."""
    outgoing = caller.dial(number or callee.line.extension)
    incoming = callee.incoming(timeout=8)
    incoming.answer()
    return outgoing.established(), incoming


def converse(caller: Phone, callee: Phone, number: str | None = None) -> tuple[Call, Call]:
    """Let one phone call another, and hear that both hear each other."""
    outgoing, incoming = connect(caller, callee, number)
    talk(outgoing, incoming)
    return outgoing, incoming


def both_silent(*calls: Call) -> None:
    """Assert that nobody hears anything."""
    for call in calls:
        call.hears_nothing(seconds=0.5)


def end(leaving: Call, left: Call) -> tuple[Ended, Ended]:
    """Hang up on one side; the other must notice."""
    return leaving.hang_up(), left.ended()


def eventually(condition: Callable[[], bool], what: str, *, timeout: float = 5.0) -> None:
    """Wait for a condition of the house."""
    until(condition, what, timeout=timeout, every=0.05)
