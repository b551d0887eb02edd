"""What is known without asking DNS: answers that still hold, and the names of the hosts file."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pbxd.sip.lookup import Answer, Kind, Question

_MAX_HOSTS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """Times in seconds. `nameservers` empty: those of `resolv_conf`, read again when that file changes."""

    nameservers: tuple[str, ...] = ()
    port: int = 53
    hosts: Path = Path("/etc/hosts")
    resolv_conf: Path = Path("/etc/resolv.conf")
    try_s: float = 1.0  # one server, one try
    question_s: float = 2.5  # all servers and tries for one question; a URI needs at most three in a row
    min_ttl_s: float = 1.0
    max_ttl_s: float = 3600.0
    negative_ttl_s: float = 30.0  # when the zone does not say (RFC 2308 §5)
    max_negative_ttl_s: float = 300.0
    trouble_ttl_s: float = 5.0  # RFC 2308 §7: an outage is remembered too, shortly
    max_stale_s: float = 86400.0  # RFC 8767: an old answer is better than none while DNS is down
    cache_entries: int = 2048
    max_questions: int = 128  # in flight
    max_waiting: int = 2048  # URIs in work
    recheck_files_s: float = 5.0


@dataclass(slots=True)
class _Entry:
    answer: Answer
    expires: float
    fetched: float


class Cache:
    """Answers until they expire, least recently used out first. Expired ones with records stay as a last resort."""

    def __init__(self, settings: ResolverSettings) -> None:
        self._settings = settings
        self._entries: OrderedDict[Question, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, question: Question, now: float) -> Answer | None:
        entry = self._entries.get(question)
        if entry is None or now >= entry.expires:
            return None
        self._entries.move_to_end(question)
        return entry.answer

    def put(self, question: Question, answer: Answer, ttl: float | None, now: float) -> Answer:
        """Remember `answer` for as long as its kind may be; the answer to use, which is an older one when `answer`
        is only trouble and the older one is not too old (RFC 8767 §4). `ttl` None: nobody said."""
        settings = self._settings
        old = self._entries.get(question)
        if answer.trouble is not None:
            if old is not None and old.answer.records and now - old.fetched < settings.max_stale_s:
                old.expires = now + settings.trouble_ttl_s
                return old.answer
            lifetime = settings.trouble_ttl_s
        elif answer.records:
            lifetime = min(max(ttl or 0.0, settings.min_ttl_s), settings.max_ttl_s)
        else:
            lifetime = min(settings.negative_ttl_s if ttl is None else ttl, settings.max_negative_ttl_s)
        self._entries[question] = _Entry(answer, now + lifetime, now)
        self._entries.move_to_end(question)
        while len(self._entries) > settings.cache_entries:
            self._entries.popitem(last=False)
        return answer


class Hosts:
    """The names of /etc/hosts, which DNS is never asked for; `localhost` is always among them (RFC 6761 §6.3)."""

    def __init__(self, path: Path, recheck_s: float) -> None:
        self._path = path
        self._recheck_s = recheck_s
        self._checked = -recheck_s
        self._modified: float | None = None
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._parse("")

    def answer(self, question: Question, now: float) -> Answer | None:
        """The answer of the file; None for a name that is not in it."""
        if now - self._checked >= self._recheck_s:
            self._checked = now
            self._refresh()
        name = question.name
        while name.startswith("_"):  # _sip._udp.host is as local as host
            name = name.partition(".")[2]
        addresses = self._addresses.get(name)
        if addresses is None and name.endswith(".localhost"):
            addresses = self._addresses["localhost"]
        if addresses is None:
            return None
        if question.kind is Kind.A:
            return Answer(tuple(address for address in addresses if ":" not in address))
        if question.kind is Kind.AAAA:
            return Answer(tuple(address for address in addresses if ":" in address))
        return Answer()

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            if status.st_mtime == self._modified or status.st_size > _MAX_HOSTS_BYTES:
                return
            self._modified = status.st_mtime
            self._parse(self._path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            self._modified = None
            self._parse("")

    def _parse(self, text: str) -> None:
        found: dict[str, dict[str, None]] = {}
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            try:
                literal = str(ipaddress.ip_address(address))
            except ValueError:
                continue
            for name in names:
                found.setdefault(name.lower().rstrip("."), {})[literal] = None
        local = found.setdefault("localhost", {})
        for literal in ("127.0.0.1", "::1"):
            local[literal] = None
        self._addresses = {name: tuple(literals) for name, literals in found.items()}
