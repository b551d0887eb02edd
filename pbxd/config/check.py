"""What no single setting can know: names that must exist, numbers that must not clash, ports that must be free."""

from __future__ import annotations

import errno
import socket

from pbxd.config.problem import Problem
from pbxd.config.relations import Found, check_accounts, mapping, sequence
from pbxd.config.schema import Config
from pbxd.config.tree import Tree
from pbxd.config.values import Address, NumberRange


def cross_check(tree: Tree) -> list[Problem]:
    """Compare the sections with each other. Works on the plain tree, so that it also finds something in a file whose
    single settings are wrong; what has the wrong type is passed over here and reported there."""
    root = tree.value if isinstance(tree.value, dict) else {}
    found = (check_accounts(root, _first_numbers(root)), _listeners(root), _repeated(root))
    return [
        Problem(tree.place(path), ".".join(map(str, path)), message) for problems in found for path, message in problems
    ]


def _first_numbers(root: dict[str, object]) -> tuple[str, ...]:
    """The numbers of `first_start.phones`, of the default when the file does not say, none when it says nonsense."""
    text = mapping(root, "first_start").get("phones", str(Config().first_start.phones))
    try:
        return NumberRange.parse(text).numbers if isinstance(text, str) else ()
    except ValueError:
        return ()


def _listeners(root: dict[str, object]) -> Found:
    default = Config()
    sip = mapping(root, "sip")
    taken: dict[tuple[bool, str], str] = {}
    for key in ("udp", "tcp", "tls"):
        said = sip.get(key, [str(address) for address in getattr(default.sip, key)])
        for index, text in enumerate(sequence(said)):
            if isinstance(text, str) and not text.endswith(":0"):
                earlier = taken.setdefault((key == "udp", text), f"sip.{key}.{index}")
                if earlier != f"sip.{key}.{index}":
                    yield ("sip", key, index), f"{text} is already taken by {earlier}"
    if all(sip.get(key) == [] for key in ("udp", "tcp", "tls")):
        yield ("sip",), "udp, tcp and tls are all empty: no phone could reach us"
    for index, text in enumerate(sequence(mapping(root, "http").get("tls"))):
        if isinstance(text, str) and not text.endswith(":0"):
            earlier = taken.setdefault((False, text), f"http.tls.{index}")
            if earlier != f"http.tls.{index}":
                yield ("http", "tls", index), f"{text} is already taken by {earlier}"
    http = mapping(root, "http").get("listen", str(default.http.listen))
    if isinstance(http, str) and (False, http) in taken and not http.endswith(":0"):
        yield ("http", "listen"), f"{http} is already taken by {taken[False, http]}"


def _repeated(root: dict[str, object]) -> Found:
    for path in (("sip", "digest", "algorithms"), ("codecs", "allow")):
        items = sequence(mapping(root, *path[:-1]).get(path[-1]))
        for index, item in enumerate(items):
            if isinstance(item, str) and item in items[:index]:
                yield (*path, index), f"{item} is named twice"


def check_ports(config: Config, ours: frozenset[tuple[str, str]] = frozenset()) -> list[Problem]:
    """Try to bind every listener and every address of ours: each that cannot be had is one problem. Leaves nothing
    bound. `ours` are (key, address) pairs not to try: the running daemon of this configuration has them. Ports of
    sound are not tried: one that is taken is passed over when its turn comes."""
    wanted = [("sip.udp", address, socket.SOCK_DGRAM) for address in config.sip.udp]
    wanted += [("sip.tcp", address, socket.SOCK_STREAM) for address in config.sip.tcp]
    wanted += [("sip.tls", address, socket.SOCK_STREAM) for address in config.sip.tls]
    wanted.append(("http.listen", config.http.listen, socket.SOCK_STREAM))
    wanted += [("http.tls", address, socket.SOCK_STREAM) for address in config.http.tls]
    for key, ip in (("rtp.address.ipv4", config.rtp.address.ipv4), ("rtp.address.ipv6", config.rtp.address.ipv6)):
        if ip is not None:
            wanted.append((key, Address(str(ip), 0), socket.SOCK_DGRAM))
    problems = []
    for key, address, kind in wanted:
        if (key, str(address)) not in ours and (message := _bind_error(address, kind)):
            problems.append(Problem(config.source(key).where, key, message))
    named = [(f"sip.{key}", getattr(config.sip, key)) for key in ("certificate", "private_key")]
    for index, one in enumerate(config.sip.certificates):
        named += [(f"sip.certificates.{index}.{key}", getattr(one, key)) for key in ("certificate", "private_key")]
    for key, path in named:
        if path is not None and not path.is_file():
            problems.append(Problem(config.source(key).where, key, f"there is no file {path}"))
    return problems


def _bind_error(address: Address, kind: socket.SocketKind) -> str | None:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if address.is_ipv6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address.host, address.port))
            if kind is socket.SOCK_STREAM:
                probe.listen(1)
    except OSError as error:
        if address.is_ipv6 and address.is_wildcard and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return None  # a host without IPv6 serves IPv4 alone
        return _bind_message(address, kind, error)
    return None


def _bind_message(address: Address, kind: socket.SocketKind, error: OSError) -> str:
    name = f"{address}/{'UDP' if kind is socket.SOCK_DGRAM else 'TCP'}" if address.port else address.host
    if error.errno == errno.EADDRINUSE:
        return f"{name} is in use by another program (`ss -lnp` tells which)"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{name}: this host has no such address"
    if error.errno == errno.EACCES:
        return f"{name}: ports below 1024 need a privilege this process does not have"
    return f"{name} cannot be had: {error.strerror}"
