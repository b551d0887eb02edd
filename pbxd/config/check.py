"""What no single setting can know: names that must exist, numbers that must not clash, ports that must be free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

from pbxd.config.explain import suggestion
from pbxd.config.problem import Problem
from pbxd.config.schema import SCOPES, Config
from pbxd.config.tree import KeyPath, Tree
from pbxd.config.values import Address, NumberRange


def cross_check(tree: Tree) -> list[Problem]:
    """Compare the sections with each other. Works on the plain tree, so that it also finds something in a file whose
    single settings are wrong; what has the wrong type is passed over here and reported there."""
    root = tree.value if isinstance(tree.value, dict) else {}
    found = (
        _routes(root),
        _extensions(root),
        _numbers(root),
        _mailboxes(root),
        _trunks(root),
        _listeners(root),
        _repeated(root),
        _scopes(root),
    )
    return [
        Problem(tree.place(path), ".".join(map(str, path)), message) for problems in found for path, message in problems
    ]


Found = Iterator[tuple[KeyPath, str]]


def _mapping(root: dict[str, object], *path: str) -> dict[str, object]:
    value: object = root
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _first_numbers(root: dict[str, object]) -> tuple[str, ...]:
    """The numbers of `first_start.phones`, of the default when the file does not say, none when it says nonsense."""
    text = _mapping(root, "first_start").get("phones", str(Config().first_start.phones))
    try:
        return NumberRange.parse(text).numbers if isinstance(text, str) else ()
    except ValueError:
        return ()


def _routes(root: dict[str, object]) -> Found:
    trunks = _mapping(root, "trunks")
    for index, route in enumerate(_sequence(root.get("routes"))):
        name = route.get("trunk") if isinstance(route, dict) else None
        if not isinstance(name, str):
            continue
        trunk = trunks.get(name)
        if name not in trunks:
            yield ("routes", index, "trunk"), f"there is no trunk {name}" + suggestion(name, trunks)
        elif isinstance(trunk, dict) and trunk.get("proxy") is None:
            yield ("routes", index, "trunk"), f"the trunk {name} has no proxy to call"


def _extensions(root: dict[str, object]) -> Found:
    users = {*_mapping(root, "phones"), *_first_numbers(root)}
    for number, extension in _mapping(root, "extensions").items():
        user = extension.get("user") if isinstance(extension, dict) else None
        if isinstance(user, str) and user not in users:
            yield ("extensions", number, "user"), f"there is no user {user}" + suggestion(user, sorted(users))


def _mailboxes(root: dict[str, object]) -> Found:
    users = {*_mapping(root, "phones"), *_first_numbers(root)}
    mailboxes = _mapping(root, "mailboxes")
    for number, mailbox in mailboxes.items():
        named = mailbox.get("users") if isinstance(mailbox, dict) else None
        for index, user in enumerate(_sequence(named)):
            if isinstance(user, str) and user not in users:
                yield (
                    ("mailboxes", number, "users", index),
                    f"there is no user {user}" + suggestion(user, sorted(users)),
                )
        if named is None and number not in users:
            yield ("mailboxes", number), f"there is no user {number}; a shared mailbox says whose it is: users"
    for number, extension in _mapping(root, "extensions").items():
        wanted = extension.get("mailbox") if isinstance(extension, dict) else None
        if isinstance(wanted, str) and wanted not in mailboxes:
            said = f"there is no mailbox {wanted}" + suggestion(wanted, sorted(mailboxes))
            yield ("extensions", number, "mailbox"), said


def _numbers(root: dict[str, object]) -> Found:
    phones = _mapping(root, "phones")
    first = set(_first_numbers(root))
    extensions = _mapping(root, "extensions")
    for number in extensions:
        if (owner := _owner(number, phones, first)) is not None:
            yield ("extensions", number), f"the number {number} is also {owner}"
    rooms: dict[str, str] = {}
    for text in _mapping(root, "conferences"):
        for number in _expanded(text):
            owner = _owner(number, phones, first) or ("an extension" if number in extensions else rooms.get(number))
            if owner is not None:
                yield ("conferences", text), f"the number {number} is also {owner}"
            rooms[number] = f"in the conferences {text}"


def _owner(number: str, phones: dict[str, object], first: set[str]) -> str | None:
    if number in phones:
        return "a phone under phones"
    return "one of first_start.phones" if number in first else None


def _expanded(text: str) -> tuple[str, ...]:
    try:
        return NumberRange.parse(text).numbers
    except ValueError:
        return ()


def _trunks(root: dict[str, object]) -> Found:
    owners: dict[tuple[str, str], str] = {}
    for name, trunk in _mapping(root, "trunks").items():
        if not isinstance(trunk, dict):
            continue
        sources = _sequence(trunk.get("sources"))
        for index, source in enumerate(sources):
            owner = owners.setdefault((str(source), str(trunk.get("from_user"))), name)
            if owner != name:
                yield ("trunks", name, "sources", index), f"calls from {source} already belong to the trunk {owner}"


def _listeners(root: dict[str, object]) -> Found:
    default = Config()
    sip = _mapping(root, "sip")
    taken: dict[tuple[bool, str], str] = {}
    for key in ("udp", "tcp", "tls"):
        said = sip.get(key, [str(address) for address in getattr(default.sip, key)])
        for index, text in enumerate(_sequence(said)):
            if isinstance(text, str) and not text.endswith(":0"):
                earlier = taken.setdefault((key == "udp", text), f"sip.{key}.{index}")
                if earlier != f"sip.{key}.{index}":
                    yield ("sip", key, index), f"{text} is already taken by {earlier}"
    if all(sip.get(key) == [] for key in ("udp", "tcp", "tls")):
        yield ("sip",), "udp, tcp and tls are all empty: no phone could reach us"
    for index, text in enumerate(_sequence(_mapping(root, "http").get("tls"))):
        if isinstance(text, str) and not text.endswith(":0"):
            earlier = taken.setdefault((False, text), f"http.tls.{index}")
            if earlier != f"http.tls.{index}":
                yield ("http", "tls", index), f"{text} is already taken by {earlier}"
    http = _mapping(root, "http").get("listen", str(default.http.listen))
    if isinstance(http, str) and (False, http) in taken and not http.endswith(":0"):
        yield ("http", "listen"), f"{http} is already taken by {taken[False, http]}"


def _repeated(root: dict[str, object]) -> Found:
    for path in (("sip", "digest", "algorithms"), ("codecs", "allow")):
        items = _sequence(_mapping(root, *path[:-1]).get(path[-1]))
        for index, item in enumerate(items):
            if isinstance(item, str) and item in items[:index]:
                yield (*path, index), f"{item} is named twice"


def _scopes(root: dict[str, object]) -> Found:
    known = ("*", *SCOPES, *dict.fromkeys(scope.partition(":")[0] + ":*" for scope in SCOPES))
    for name, key in _mapping(root, "keys").items():
        for index, scope in enumerate(_sequence(key.get("scopes") if isinstance(key, dict) else None)):
            if isinstance(scope, str) and scope not in known:
                yield ("keys", name, "scopes", index), f"there is no scope {scope}" + suggestion(scope, known)


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
