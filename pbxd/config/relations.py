"""What the sections of an account say of each other, and accounts of each other: names that must exist, numbers that
must not clash. On the plain tree of the file, so that it also works in one whose single settings are wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pbxd.config.accounts import SCOPES
from pbxd.config.explain import suggestion
from pbxd.config.tree import KeyPath
from pbxd.config.values import NumberRange

Found = Iterator[tuple[KeyPath, str]]
Plain = Mapping[str, Any]

_WORDS = {"ring_group": "ring group", "voicemail": "mailbox"}
_SCOPED = {"user": "phones", "number": "numbers", "trunk": "trunks"}


def mapping(root: Plain, *path: str) -> dict[str, Any]:
    """The mapping at `path`; an empty one where there is none."""
    value: object = root
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """`value`, if it is a list; else none."""
    return value if isinstance(value, list) else []


def check_accounts(root: Plain, first: Sequence[str]) -> Found:
    """The default account, whose sections stand in `root` beside the phones of `first_start`, and all others."""
    accounts: list[tuple[KeyPath, Plain]] = [((), root)]
    accounts += [(("accounts", slug), one) for slug, one in mapping(root, "accounts").items() if isinstance(one, dict)]
    for path, account in accounts:
        for key, message in _account(account, () if path else first):
            yield (*path, *key), message
    yield from _alone(accounts, root)
    yield from _trunks(accounts)
    yield from _keys(accounts)


def account_problems(root: Plain) -> Found:
    """The sections of one account, each against the others; users are under `phones`."""
    return _account(root, ())


def _account(root: Plain, first: Sequence[str]) -> Found:
    users = {*mapping(root, "phones"), *first}
    yield from _routes(root)
    yield from _carrier(root)
    yield from _extensions(root, users)
    yield from _clashes(root, first)
    yield from _mailboxes(root, users)
    yield from _numbers(root, users)
    yield from _groups(root, users)
    yield from _limits(root, users)
    yield from _scopes(root)


def _missing(what: str, name: str, known: Collection[str]) -> str:
    return f"there is no {what} {name}" + suggestion(name, sorted(known))


def _routes(root: Plain) -> Found:
    trunks = mapping(root, "trunks")
    for index, route in enumerate(sequence(root.get("routes"))):
        name = route.get("trunk") if isinstance(route, dict) else None
        if not isinstance(name, str):
            continue
        trunk = trunks.get(name)
        if name not in trunks:
            yield ("routes", index, "trunk"), f"there is no trunk {name}" + suggestion(name, trunks)
        elif isinstance(trunk, dict) and trunk.get("proxy") is None:
            yield ("routes", index, "trunk"), f"the trunk {name} has no proxy to call"


def _carrier(root: Plain) -> Found:
    name, trunks = root.get("carrier"), mapping(root, "trunks")
    if not isinstance(name, str) or not name:
        return
    trunk = trunks.get(name)
    if name not in trunks:
        yield ("carrier",), f"there is no trunk {name}" + suggestion(name, trunks)
    elif isinstance(trunk, dict) and trunk.get("proxy") is None:
        yield ("carrier",), f"the trunk {name} has no proxy to call"


def _extensions(root: Plain, users: Collection[str]) -> Found:
    mailboxes = mapping(root, "mailboxes")
    for number, extension in mapping(root, "extensions").items():
        said = extension if isinstance(extension, dict) else {}
        user, mailbox, queue = said.get("user"), said.get("mailbox"), said.get("queue")
        if isinstance(queue, str) and queue not in mapping(root, "queues"):
            yield ("extensions", number, "queue"), _missing("queue", queue, mapping(root, "queues"))
        if isinstance(user, str) and user not in users:
            yield ("extensions", number, "user"), _missing("user", user, users)
        if isinstance(mailbox, str) and mailbox not in mailboxes:
            yield ("extensions", number, "mailbox"), _missing("mailbox", mailbox, mailboxes)


def _mailboxes(root: Plain, users: Collection[str]) -> Found:
    for number, mailbox in mapping(root, "mailboxes").items():
        named = mailbox.get("users") if isinstance(mailbox, dict) else None
        for index, user in enumerate(sequence(named)):
            if isinstance(user, str) and user not in users:
                yield ("mailboxes", number, "users", index), _missing("user", user, users)
        if named is None and number not in users:
            yield ("mailboxes", number), f"there is no user {number}; a shared mailbox says whose it is: users"
    for number, phone in mapping(root, "phones").items():
        wanted = phone.get("mailbox") if isinstance(phone, dict) else None
        if isinstance(wanted, str) and wanted not in mapping(root, "mailboxes"):
            yield ("phones", number, "mailbox"), _missing("mailbox", wanted, mapping(root, "mailboxes"))


def _clashes(root: Plain, first: Sequence[str]) -> Found:
    phones, extensions = mapping(root, "phones"), mapping(root, "extensions")
    for number in extensions:
        if (owner := _owner(number, phones, first)) is not None:
            yield ("extensions", number), f"the number {number} is also {owner}"
    rooms: dict[str, str] = {}
    for text in mapping(root, "conferences"):
        for number in _expanded(text):
            owner = _owner(number, phones, first) or ("an extension" if number in extensions else rooms.get(number))
            if owner is not None:
                yield ("conferences", text), f"the number {number} is also {owner}"
            rooms[number] = f"in the conferences {text}"


def _owner(number: str, phones: Plain, first: Sequence[str]) -> str | None:
    if number in phones:
        return "a phone under phones"
    return "one of first_start.phones" if number in first else None


def _expanded(text: str) -> tuple[str, ...]:
    try:
        return NumberRange.parse(text).numbers
    except ValueError:
        return ()


def _numbers(root: Plain, users: Collection[str]) -> Found:
    known = _known(root, users)
    for number, said in mapping(root, "numbers").items():
        yield from _destination(known, ("numbers", number), said)
        for other in ("closed", "holiday"):
            yield from _destination(known, ("numbers", number, other), mapping(root, "numbers", number, other))
    for name in mapping(root, "ring_groups"):
        path = ("ring_groups", name, "no_answer")
        yield from _destination(known, path, mapping(root, *path))


def _destination(known: Mapping[str, Collection[str]], path: KeyPath, said: object) -> Found:
    for kind, name in said.items() if isinstance(said, dict) else ():
        if kind in known and isinstance(name, str) and name not in known[kind]:
            yield (*path, kind), _missing(_WORDS.get(kind) or kind, name, known[kind])


def _known(root: Plain, users: Collection[str]) -> dict[str, Collection[str]]:
    """The names that each kind of destination may have. Flows, and numbers to forward to, are known only once the house
    runs."""
    rooms = {number for text in mapping(root, "conferences") for number in _expanded(text)}
    return {
        "user": users,
        "extension": {*users, *mapping(root, "extensions"), *rooms},
        "conference": rooms,
        "ring_group": mapping(root, "ring_groups"),
        "queue": mapping(root, "queues"),
        "voicemail": mapping(root, "mailboxes"),
    }


def _groups(root: Plain, users: Collection[str]) -> Found:
    for section in ("ring_groups", "queues"):
        for name, group in mapping(root, section).items():
            for index, user in enumerate(sequence(group.get("members") if isinstance(group, dict) else None)):
                if isinstance(user, str) and user not in users:
                    yield (section, name, "members", index), _missing("user", user, users)


def _limits(root: Plain, users: Collection[str]) -> Found:
    for name, limit in mapping(root, "call_limits").items():
        scope, wanted = (limit.get("scope"), limit.get("id")) if isinstance(limit, dict) else (None, None)
        section = _SCOPED.get(scope) if isinstance(scope, str) else None
        if section is None or not isinstance(wanted, str):
            continue
        known = users if section == "phones" else mapping(root, section)
        if wanted not in known:
            yield ("call_limits", name, "id"), _missing(str(scope), wanted, known)


def _scopes(root: Plain) -> Found:
    known = ("*", *SCOPES, *dict.fromkeys(scope.partition(":")[0] + ":*" for scope in SCOPES))
    for name, key in mapping(root, "keys").items():
        for index, scope in enumerate(sequence(key.get("scopes") if isinstance(key, dict) else None)):
            if isinstance(scope, str) and scope not in known:
                yield ("keys", name, "scopes", index), f"there is no scope {scope}" + suggestion(scope, known)


def _alone(accounts: Sequence[tuple[KeyPath, Plain]], root: Plain) -> Found:
    """Names, realms, hosts and numbers that only one account may have."""
    owners: dict[tuple[str, str], tuple[KeyPath, str]] = {}
    for path, account in accounts:
        own = account if path else mapping(root, "account")
        at = path or ("account",)
        slug = str(path[-1]) if path else str(own.get("slug", "house"))
        domains = sequence(own.get("domains"))
        realm = own.get("realm") or (next(iter(domains), slug) if path else "pbxd")
        claims: list[tuple[str, object, KeyPath]] = [("short name", slug, at), ("realm", realm, (*at, "realm"))]
        claims += [("domain", host, (*at, "domains", index)) for index, host in enumerate(domains)]
        claims += [("number", number, (*path, "numbers", number)) for number in mapping(account, "numbers")]
        for what, name, where in claims:
            owner = owners.setdefault((what, str(name).lower()), (path, slug))
            if owner[0] != path:
                yield where, f"the {what} {name} is already that of the account {owner[1]}"


def _trunks(accounts: Sequence[tuple[KeyPath, Plain]]) -> Found:
    owners: dict[tuple[str, str], tuple[KeyPath, str]] = {}
    for path, account in accounts:
        for name, trunk in mapping(account, "trunks").items():
            if not isinstance(trunk, dict):
                continue
            for index, source in enumerate(sequence(trunk.get("sources"))):
                owner = owners.setdefault((str(source), str(trunk.get("from_user"))), (path, name))
                if owner != (path, name):
                    yield (
                        (*path, "trunks", name, "sources", index),
                        f"calls from {source} already belong to the trunk {owner[1]}",
                    )


def _keys(accounts: Sequence[tuple[KeyPath, Plain]]) -> Found:
    """A secret says whose key it is."""
    owners: dict[str, str] = {}
    for path, account in accounts:
        for name, key in mapping(account, "keys").items():
            secret = key.get("secret") if isinstance(key, dict) else None
            label = ".".join(map(str, (*path, "keys", name)))
            if isinstance(secret, str) and (owner := owners.setdefault(secret, label)) != label:
                yield (*path, "keys", name, "secret"), f"{owner} has the same secret"
