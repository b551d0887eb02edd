"""The machine as the doctor sees it: values and functions, so that a test can hand in another machine."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import resource
import shutil
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.resolver

from pbxd.config import Config, Problem, check_ports
from pbxd.doctor import stun

PATIENCE_S = 3.0
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512
_PEER = struct.Struct("3i")
_OUTSIDE = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))  # never reached: RFC 5737, RFC 3849


@dataclass(frozen=True, slots=True)
class Daemon:
    """The daemon that runs. `trouble` is why it is not ready, empty when it is; `file_limit` is its own soft one."""

    pid: int
    trouble: str = ""
    file_limit: int | None = None


@dataclass(frozen=True, slots=True)
class MailAnswer:
    """Whether a mail server took a mail, or would; and what was said."""

    taken: bool
    said: str


def no_mail(_config: Config, _to: str | None) -> MailAnswer:
    """Where nobody can try it."""
    return MailAnswer(taken=False, said="it was not tried")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`wall` in seconds since the epoch; `built_at` when this pbxd was installed; `synchronised` is None where the
    kernel does not tell; `disk` gives free bytes, all bytes and the share of free inodes; `lookup` gives the addresses
    of a SIP domain or host, none where there are none; `stun` raises OSError. `mail` tries the mail server, and sends a
    mail to the address it is given, if any (`mail_to`); it raises OSError for authorities that cannot be read."""

    wall: float
    built_at: float
    synchronised: bool | None
    file_limits: tuple[int, int]
    addresses: Sequence[str]
    daemon: Daemon | None
    disk: Callable[[Path], tuple[int, int, float]]
    lookup: Callable[[str], Sequence[str]]
    ports: Callable[[Config], Sequence[Problem]]
    stun: Callable[[str], tuple[str, int]]
    mail: Callable[[Config, str | None], MailAnswer] = no_mail
    mail_to: str | None = None


def this_machine(
    socket_path: Path | None,
    mail: Callable[[Config, str | None], MailAnswer] = no_mail,
    mail_to: str | None = None,
) -> Surroundings:
    """The machine we are on; `socket_path` is where a daemon may answer, `mail` speaks SMTP."""
    return Surroundings(
        wall=time.time(),
        built_at=Path(__file__).stat().st_mtime,
        synchronised=_synchronised(),
        file_limits=resource.getrlimit(resource.RLIMIT_NOFILE),
        addresses=[address for address in (_source(*one) for one in _OUTSIDE) if address],
        daemon=_daemon(socket_path) if socket_path else None,
        disk=_disk,
        lookup=look_up,
        ports=check_ports,
        stun=stun.seen_by,
        mail=mail,
        mail_to=mail_to,
    )


def _synchronised() -> bool | None:
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: only ask
    state = ctypes.CDLL(None).adjtimex(buffer)
    return None if state < 0 else state != _TIME_ERROR


def _source(peer: str, family: socket.AddressFamily) -> str | None:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((peer, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _disk(path: Path) -> tuple[int, int, float]:
    while not path.exists():
        path = path.absolute().parent
    usage, inodes = shutil.disk_usage(path), os.statvfs(path)
    return usage.free, usage.total, inodes.f_favail / inodes.f_files if inodes.f_files else 1.0


def look_up(name: str) -> list[str]:
    """The addresses `name` leads to: by SRV as SIP asks (RFC 3263 §4.2), else as a host."""
    resolver = dns.resolver.Resolver()
    resolver.lifetime = PATIENCE_S
    hosts = []
    for service in ("_sip._udp", "_sip._tcp", "_sips._tcp"):
        try:
            hosts += [str(one.target).rstrip(".") for one in resolver.resolve(f"{service}.{name}", "SRV")]
        except (dns.exception.DNSException, OSError):
            continue
    found: list[str] = []
    for host in hosts or [name]:
        try:
            found += [str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)]
        except (OSError, UnicodeError):
            continue
    return list(dict.fromkeys(found))


def _daemon(path: Path) -> Daemon | None:
    """Who answers on the socket; None where nobody does."""
    connection = http.client.HTTPConnection("localhost", timeout=PATIENCE_S)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect(str(path))
        pid, _, _ = _PEER.unpack(connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        body = response.read()
        return Daemon(pid, "" if response.status == 200 else _trouble(body), _file_limit(pid))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _trouble(body: bytes) -> str:
    try:
        return json.dumps(json.loads(body))
    except ValueError:
        return "it says that it is not ready"


def _file_limit(pid: int) -> int | None:
    try:
        found = re.search(r"^Max open files\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None
