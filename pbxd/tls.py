"""What our TLS listeners show: one certificate by default, others by server name, all of them renewed while we run."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pbxd.certificates import CertificateError, Identity, given, server_context
from pbxd.logs import get_logger

log = get_logger(part="tls")

_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Named:
    """A certificate and the server names it is shown for; `*.example.com` is any one label there."""

    names: tuple[str, ...]
    certificate: Path
    private_key: Path


class Shown:
    """`context` is for listeners and stays the same for life; what it shows changes by `take` and `watch`. `expires` is
    when the first of its certificates does, in UTC.

    Each certificate has a context of its own, chosen in the handshake: a context that once held an ECDSA certificate
    keeps showing it beside an RSA one that is loaded later.
    """

    def __init__(self, default: Identity, named: Sequence[Named] = ()) -> None:
        """Raises CertificateError."""
        self._default, self._by_name, self.expires = _contexts(default, named)
        self._stated = (default.certificate, default.private_key, tuple(named))
        self._stamps = _stamps(self._stated)
        self.reloads = 0
        self.failures = 0
        self.context = server_context(default)
        self.context.sni_callback = self._choose

    def take(self, default: Identity, named: Sequence[Named] = ()) -> None:
        """Show these from now on; connections that are up are not touched. Raises CertificateError, and then nothing
        has changed."""
        self._default, self._by_name, self.expires = _contexts(default, named)
        self._stated = (default.certificate, default.private_key, tuple(named))
        self._stamps = _stamps(self._stated)
        self.reloads += 1

    def watch(self) -> bool:
        """Look whether a file has changed and take it up; whether that was done. Call it every few seconds.

        Files that do not fit each other stay unused until they change again: a renewal writes two of them.
        """
        stamps = _stamps(self._stated)
        if stamps == self._stamps:
            return False
        certificate, private_key, named = self._stated
        try:
            self.take(given(certificate, private_key), named)
        except CertificateError as error:
            self._stamps = stamps
            self.failures += 1
            log.error("a changed certificate is not good: the old one is still shown", reason=str(error))
            return False
        log.info("changed certificates are shown from now on", files=len(stamps))
        return True

    def _choose(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """RFC 6066 §3. An unknown name gets the default certificate, as does no name: phones often give none."""
        connection.context = self._context_for((name or "").lower().rstrip("."))

    def _context_for(self, name: str) -> ssl.SSLContext:
        exact = self._by_name.get(name)
        return exact or self._by_name.get(f"*.{name.partition('.')[2]}", self._default)


def _contexts(
    default: Identity, named: Sequence[Named]
) -> tuple[ssl.SSLContext, Mapping[str, ssl.SSLContext], datetime.datetime]:
    by_name: dict[str, ssl.SSLContext] = {}
    expires = default.expires
    for one in named:
        identity = given(one.certificate, one.private_key)
        expires = min(expires, identity.expires)
        context = server_context(identity)
        for name in one.names:
            by_name.setdefault(name.lower(), context)
    return server_context(default), by_name, expires


def _stamps(stated: tuple[Path, Path, tuple[Named, ...]]) -> dict[Path, _Stamp | None]:
    """What tells a changed file: a new one under the same name, other contents, another target of a link."""
    certificate, private_key, named = stated
    paths = [certificate, private_key, *(path for one in named for path in (one.certificate, one.private_key))]
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
