"""The scalars of the configuration file, parsed once into frozen values. `str()` gives back what was written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, PlainSerializer

MAX_NUMBERS = 10_000
_NUMBER = re.compile(r"[0-9*#+]{1,32}")
_MUSIC_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Address:
    """An IP literal and a port to listen on; port 0 lets the system choose one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `127.0.0.1:5060` or `[::1]:5060`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not host:
            raise ValueError("an address is written 127.0.0.1:5060 or [::1]:5060")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            ip = ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError(f"{host} is not an IP address (names are not looked up here)") from None
        if isinstance(ip, IPv6Address) is not bracketed:
            raise ValueError("an IPv6 address stands in brackets, [::1]:5060, and an IPv4 address does not")
        return cls(str(ip), parse_port(port, lowest=0))

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    @property
    def is_wildcard(self) -> bool:
        return ip_address(self.host).is_unspecified

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports, both ends included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `10000-19999`. Raises ValueError."""
        first, dash, last = text.partition("-")
        if not dash:
            raise ValueError("a port range is written 10000-19999")
        made = cls(parse_port(first.strip(), lowest=1), parse_port(last.strip(), lowest=1))
        if made.last - made.first < 3:
            raise ValueError("a port range goes upwards and holds at least 4 ports (one call needs them)")
        return made

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Internal numbers, in the order they were written."""

    text: str
    numbers: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1001-1010`, `1001, 1005-1007` or nothing at all. Raises ValueError."""
        numbers: list[str] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            first, dash, last = part.partition("-")
            if not dash:
                numbers.append(parse_number(first))
                continue
            if not (first.isdecimal() and last.isdecimal() and first.isascii() and last.isascii()):
                raise ValueError(f"{part} is not a range of numbers like 1001-1010")
            if len(first) != len(last) or not 0 <= int(last) - int(first) < MAX_NUMBERS:
                raise ValueError(f"{part}: a range goes upwards, in numbers of one length, {MAX_NUMBERS} at most")
            numbers += [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
        if len(numbers) != len(set(numbers)):
            raise ValueError("a number is named twice")
        if len(numbers) > MAX_NUMBERS:
            raise ValueError(f"more than {MAX_NUMBERS} numbers")
        return cls(text, tuple(numbers))

    def __str__(self) -> str:
        return self.text


def parse_port(text: str, *, lowest: int) -> int:
    """Read a port number from `lowest` to 65535. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and lowest <= int(text) <= 65535):
        raise ValueError(f"{text or 'nothing'} is not a port from {lowest} to 65535")
    return int(text)


def parse_music(text: str) -> str:
    """Read the path of a folder, or the name of one in the music of an account. Raises ValueError."""
    if not _MUSIC_NAME.fullmatch(text) and "/" not in text:
        raise ValueError("music is a name of letters, digits, - and _, or a path with a /")
    return text


def parse_number(text: str) -> str:
    """Read what a phone can dial: digits, `*`, `#`, `+`. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("a number is 1 to 32 of the signs 0-9 * # +")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):  # a ValueError, because pydantic reports nothing else
        raise ValueError("must be text (a number or true/false that is meant as text stands in quotes)")
    return value


def _network(value: object) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = _text(value)
    try:
        return ip_network(text)
    except ValueError:
        if "/" in text and (wide := _widened(text)):
            raise ValueError(f"{text} is an address inside a network (did you mean {wide}?)") from None
        raise ValueError(f"{text} is not an IP address or network like 192.168.0.0/16 or fc00::/7") from None


def _widened(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def _text_or(kind: type) -> Callable[[object], object]:
    return lambda value: value if isinstance(value, kind) else _text(value)


AddressField = Annotated[
    Address,
    BeforeValidator(lambda value: value if isinstance(value, Address) else Address.parse(_text(value))),
    PlainSerializer(str),
]
PortRangeField = Annotated[
    PortRange,
    BeforeValidator(lambda value: value if isinstance(value, PortRange) else PortRange.parse(_text(value))),
    PlainSerializer(str),
]
NumberRangeField = Annotated[
    NumberRange,
    BeforeValidator(lambda value: value if isinstance(value, NumberRange) else NumberRange.parse(_text(value))),
    PlainSerializer(str),
]
NetworkField = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network), PlainSerializer(str)]
Number = Annotated[str, BeforeValidator(lambda value: parse_number(_text(value)))]
Numbers = Annotated[str, BeforeValidator(lambda value: str(NumberRange.parse(_text(value))))]
IPv4Field = Annotated[IPv4Address, BeforeValidator(_text_or(IPv4Address))]
IPv6Field = Annotated[IPv6Address, BeforeValidator(_text_or(IPv6Address))]
MusicFolder = Annotated[str, BeforeValidator(lambda value: parse_music(_text(value)))]
PathField = Annotated[Path, BeforeValidator(_text_or(Path))]
