"""SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966); URIs of other schemes are kept as they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, Final

from pbxd.sip.errors import ParseError
from pbxd.sip.grammar import check_host, escape, format_host, parse_host_port, unescape

_SAFE_IN_USER: Final = "!*'()&=+$,;?/"
_SAFE_AFTER_COLON: Final = "!*'()&=+$,"
_SAFE_IN_PARAM: Final = "!*'()[]/:&+$"
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*+")
_TEL_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#().\-]++")
_NEVER_IN_URI = re.compile(r'[\s<>"\x00-\x1f\x7f]')
_TEL_SEPARATORS: Final = str.maketrans("", "", "-.()")
_CACHED_LENGTH: Final = 160  # longer URIs are not worth keeping: the cache stays under a megabyte
_DECISIVE: Final = ("user", "ttl", "method", "maddr", "transport")


class Uri:
    """A URI, read once. Immutable by convention; equal and hashable by its parts.

    `user` and `password` are unescaped, `host` is lower case (IPv6 without brackets), `params` has lower-case names,
    `headers` is the raw text after `?` and is never interpreted. A tel URI has the number without visual separators
    as `user` and an empty host; a URI of another scheme has nothing but `scheme` and its text.
    """

    __slots__ = ("_hash", "_text", "headers", "host", "params", "password", "port", "scheme", "user")

    def __init__(
        self,
        scheme: str,
        user: str | None,
        host: str,
        port: int | None = None,
        params: Mapping[str, str | None] | None = None,
        *,
        password: str | None = None,
        headers: str = "",
        text: str | None = None,
    ) -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.host = host
        self.port = port
        self.params: Mapping[str, str | None] = {} if params is None else params
        self.headers = headers
        self._text = text
        self._hash: int | None = None

    @classmethod
    def parse(cls, text: str) -> Uri:
        """Reads a URI. Raises ParseError."""
        return _read_cached(text) if len(text) <= _CACHED_LENGTH else _read(text)

    @classmethod
    def sip(cls, user: str | None, host: str, port: int | None = None, **params: str | None) -> Uri:
        """A sip: URI of unescaped parts; a name like `phone_context` becomes `phone-context`. Raises ParseError when
        `host` is no host."""
        return cls("sip", user, check_host(host), port, {name.replace("_", "-"): params[name] for name in params})

    def with_(self, **changes: Any) -> Uri:
        """A copy with some parts changed: scheme, user, password, host, port, params, headers."""
        parts: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name[0] != "_"}
        if unknown := changes.keys() - parts.keys():
            raise TypeError(f"a URI has no {', '.join(sorted(unknown))}")
        parts.update(changes)
        if "host" in changes:
            parts["host"] = check_host(parts["host"])
        if parts["scheme"] not in _READERS:
            parts["text"] = self._text
        return Uri(**parts)

    @property
    def transport(self) -> str | None:
        """The transport parameter in lower case."""
        value = self.params.get("transport")
        return None if value is None else value.lower()

    @property
    def secure(self) -> bool:
        """Whether the URI asks for TLS on every hop."""
        return self.scheme == "sips"

    @property
    def is_sip(self) -> bool:
        """Whether this is a sip or sips URI, the only ones a Request-URI of ours may be (416 otherwise)."""
        return self.scheme in ("sip", "sips")

    def same_as(self, other: Uri) -> bool:
        """Whether both name the same resource (RFC 3261 §19.1.4; IPv6 by value, RFC 5118 §4)."""
        if not (self.is_sip and other.is_sip):
            return str(self).lower() == str(other).lower()
        if (self.scheme, self.user, self.password, self.port) != (
            other.scheme,
            other.user,
            other.password,
            other.port,
        ) or not _same_host(self.host, other.host):
            return False
        mine, theirs = self.params, other.params
        for name in mine.keys() | theirs.keys():
            if name in mine and name in theirs:
                if (mine[name] or "").lower() != (theirs[name] or "").lower():
                    return False
            elif name in _DECISIVE:
                return False
        return _header_set(self.headers) == _header_set(other.headers)

    def __str__(self) -> str:
        if self._text is None:
            self._text = self._format()
        return self._text

    def _format(self) -> str:
        text = self.scheme + ":"
        if self.user is not None:
            text += escape(self.user, _SAFE_IN_USER if self.scheme != "tel" else "+*")
            if self.password is not None:
                text += ":" + escape(self.password, _SAFE_AFTER_COLON)
            if self.host:
                text += "@"
        text += format_host(self.host)
        if self.port is not None:
            text += f":{self.port}"
        for name, value in self.params.items():
            text += ";" + escape(name, _SAFE_IN_PARAM)
            if value is not None:
                text += "=" + escape(value, _SAFE_IN_PARAM)
        return f"{text}?{_NEVER_IN_URI.sub('', self.headers)}" if self.headers else text

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    def _key(self) -> tuple[object, ...]:
        opaque = "" if self.scheme in _READERS else self._text
        return (self.scheme, self.user, self.password, self.host, self.port, self.params, self.headers, opaque)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Uri):
            return NotImplemented
        return self is other or self._key() == other._key()

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self.scheme, self.user, self.host, self.port))
        return self._hash


def _same_host(one: str, other: str) -> bool:
    if one == other:
        return True
    return ":" in one and ":" in other and IPv6Address(one) == IPv6Address(other)


def _header_set(headers: str) -> set[str]:
    return {unescape(header).lower() for header in headers.split("&") if header}


def _read(text: str) -> Uri:
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or not rest or _SCHEME.fullmatch(scheme) is None or _NEVER_IN_URI.search(text):
        raise ParseError("Bad URI")
    reader = _READERS.get(scheme)
    return reader(scheme, rest, text) if reader else Uri(scheme, None, "", text=text)


_read_cached = lru_cache(maxsize=2048)(_read)


def _read_sip(scheme: str, rest: str, text: str) -> Uri:
    userinfo, at, after = rest.partition("@")
    user = password = None
    if at:
        if "@" in after:
            raise ParseError("Bad URI")
        name, colon, secret = userinfo.partition(":")
        user = unescape(name) or None
        password = unescape(secret) if colon else None
        rest = after
    rest, _, headers = rest.partition("?")
    host_port, _, params = rest.partition(";")
    host, port = parse_host_port(host_port)
    return Uri(scheme, user, host, port, _read_params(params), password=password, headers=headers, text=text)


def _read_tel(scheme: str, rest: str, text: str) -> Uri:
    number, _, params = rest.partition(";")
    if _TEL_NUMBER.fullmatch(number) is None:
        raise ParseError("Bad telephone number")
    return Uri(scheme, number.translate(_TEL_SEPARATORS), "", None, _read_params(params), text=text)


def _read_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    for piece in text.split(";") if text else ():
        name, equals, value = piece.partition("=")
        name = unescape(name).lower()
        if name and name not in params:
            params[name] = unescape(value) if equals else None
    return params


_READERS: Final = {"sip": _read_sip, "sips": _read_sip, "tel": _read_tel}
