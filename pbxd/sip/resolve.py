"""Where a SIP URI leads: the shell around `lookup` that owns the DNS sockets, the cache and the tasks."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.rrset

from pbxd.sip.answers import Cache, Hosts, ResolverSettings
from pbxd.sip.flow import Destination
from pbxd.sip.lookup import Answer, Kind, Lookup, Means, Naptr, Question, Record, ResolveError, Srv, Trouble, lookup
from pbxd.sip.uri import Uri

log = logging.getLogger(__name__)

Callback = Callable[[list[Destination] | ResolveError], None]

_MAX_RECORDS = 64
_DNS_SLACK_S = 0.5


@dataclass(slots=True, eq=False)
class _Job:
    """One URI in work: the machine, who wants its result, and the answers it still waits for."""

    machine: Lookup
    callback: Callback
    name: str
    answers: dict[Question, Answer] = field(default_factory=dict)
    missing: int = 0


class Resolver:
    """RFC 3263 for the whole house. Each call of `destinations` is answered exactly once, at the latest by `close`.

    `failures` counts look-ups that came to nothing, by reason.
    """

    def __init__(self, means: Means, rng: random.Random, settings: ResolverSettings | None = None) -> None:
        self.means = means
        self._rng = rng
        self._settings = settings or ResolverSettings()
        self._hosts = Hosts(self._settings.hosts, self._settings.recheck_files_s)
        self._cache = Cache(self._settings)
        self._dns = _client(self._settings)
        self._dns_checked = time.monotonic()
        self._resolv_conf_modified = _modified(self._settings.resolv_conf)
        self._tasks: dict[Question, asyncio.Task[None]] = {}
        self._waiting: dict[Question, list[_Job]] = {}
        self._jobs: set[_Job] = set()
        self._closed = False
        self.failures: Counter[Trouble] = Counter(dict.fromkeys(Trouble, 0))

    def destinations(self, uri: Uri, callback: Callback, *, verify: bool = True) -> None:
        """Call `callback` once with where to send a request for `uri`, in the order to try, or with a ResolveError.

        At once, before this returns, for IP literals, names of the hosts file and all that the cache knows.
        `verify`: a TLS peer must prove the URI's domain (see `lookup`).
        """
        if self._closed:
            callback(ResolveError(Trouble.CLOSED, uri.host))
            return
        job = _Job(lookup(uri, self.means, self._rng, verify=verify), callback, uri.host)
        self._advance(job, start=True)

    async def close(self) -> None:
        """End all look-ups: who still waits gets Trouble.CLOSED."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        for job in list(self._jobs):
            self._finish(job, ResolveError(Trouble.CLOSED, job.name))
        self._waiting.clear()

    @property
    def pending(self) -> int:
        """How many URIs wait for DNS."""
        return len(self._jobs)

    def _advance(self, job: _Job, *, start: bool = False) -> None:
        """Run the machine as far as hosts file and cache carry it."""
        try:
            questions = next(job.machine) if start else job.machine.send(job.answers)
            while not self._fill(job, questions):
                questions = job.machine.send(job.answers)
        except StopIteration as done:
            self._finish(job, done.value)
        except ResolveError as error:
            self._finish(job, error)

    def _fill(self, job: _Job, questions: Sequence[Question]) -> bool:
        """Collect the answers to `questions`; True when some have to come from DNS first."""
        now = time.monotonic()
        job.answers = {}
        missing: list[Question] = []
        for question in dict.fromkeys(questions):
            answer = self._hosts.answer(question, now) or self._cache.get(question, now)
            if answer is None:
                missing.append(question)
            else:
                job.answers[question] = answer
        if not missing:
            return False
        news = sum(question not in self._tasks for question in missing)
        if len(self._tasks) + news > self._settings.max_questions or len(self._jobs) >= self._settings.max_waiting:
            raise ResolveError(Trouble.BUSY, job.name)
        job.missing = len(missing)
        self._jobs.add(job)
        for question in missing:
            self._waiting.setdefault(question, []).append(job)
            if question not in self._tasks:
                self._tasks[question] = asyncio.get_running_loop().create_task(self._ask(question))
        return True

    def _finish(self, job: _Job, result: list[Destination] | ResolveError) -> None:
        if isinstance(result, ResolveError):
            self.failures[result.trouble] += 1
        self._jobs.discard(job)
        job.machine.close()
        try:
            job.callback(result)
        except Exception:
            log.exception("who asked for %s failed on the answer", job.name)

    async def _ask(self, question: Question) -> None:
        try:
            answer, ttl = await self._query(question)
        except asyncio.CancelledError:
            del self._tasks[question]
            raise
        except Exception:
            log.exception("the question for %s %s failed", question.name, question.kind.value)
            answer, ttl = Answer(trouble=Trouble.SERVER_FAILURE), None
        answer = self._cache.put(question, answer, ttl, time.monotonic())
        del self._tasks[question]
        for job in self._waiting.pop(question, []):
            job.answers[question] = answer
            job.missing -= 1
            if job.missing == 0 and not self._closed:
                self._jobs.discard(job)
                self._advance(job)

    async def _query(self, question: Question) -> tuple[Answer, float | None]:
        """Ask the name servers. The seconds the answer holds are None when nobody said."""
        self._follow_resolv_conf()
        searchable = "." not in question.name
        name = dns.name.from_text(question.name, None if searchable else dns.name.root)
        try:
            # dnspython goes by the wall clock: set back an hour, it would wait so long
            async with asyncio.timeout(self._settings.question_s + _DNS_SLACK_S):
                reply = await self._dns.resolve(
                    name,
                    question.kind.value,
                    raise_on_no_answer=False,
                    lifetime=self._settings.question_s,
                    search=searchable,
                )
        except dns.resolver.NXDOMAIN as error:
            return Answer(), _negative_ttl(list(error.kwargs.get("responses", {}).values()))
        except (dns.exception.Timeout, TimeoutError):
            return Answer(trouble=Trouble.TIMEOUT), None
        except (dns.exception.DNSException, OSError) as error:
            log.info("DNS could not answer %s %s: %s", question.name, question.kind.value, error)
            return Answer(trouble=Trouble.SERVER_FAILURE), None
        records = _records(reply.rrset, question.kind)
        ttl = float(reply.chaining_result.minimum_ttl) if records else _negative_ttl([reply.response])
        return Answer(records), ttl

    def _follow_resolv_conf(self) -> None:
        now = time.monotonic()
        if self._settings.nameservers or now - self._dns_checked < self._settings.recheck_files_s:
            return
        self._dns_checked = now
        modified = _modified(self._settings.resolv_conf)
        if modified != self._resolv_conf_modified:
            self._resolv_conf_modified = modified
            self._dns = _client(self._settings)


def _client(settings: ResolverSettings) -> dns.asyncresolver.Resolver:
    client = dns.asyncresolver.Resolver(configure=False)
    if settings.nameservers:
        client.nameservers = list(settings.nameservers)
    else:
        try:
            client.read_resolv_conf(str(settings.resolv_conf))
        except (dns.resolver.NoResolverConfiguration, OSError):
            log.warning("no DNS servers in %s: only addresses and hosts files work", settings.resolv_conf)
            client.nameservers = []
    client.port = settings.port
    client.timeout = settings.try_s
    client.lifetime = settings.question_s
    client.cache = None
    return client


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _negative_ttl(responses: list[dns.message.Message]) -> float | None:
    """How long an absence holds: the smaller of the SOA's own TTL and its minimum (RFC 2308 §5)."""
    for response in responses:
        for rrset in response.authority:
            if rrset.rdtype == dns.rdatatype.SOA:
                return float(min(rrset.ttl, *(record.minimum for record in rrset)))
    return None


def _records(rrset: dns.rrset.RRset | None, kind: Kind) -> tuple[Record, ...]:
    records: list[Record] = []
    for record in list(rrset or ())[:_MAX_RECORDS]:
        if kind is Kind.NAPTR:
            flags, service = record.flags.decode("ascii", "replace"), record.service.decode("ascii", "replace")
            replacement = _text(record.replacement)
            records.append(Naptr(record.order, record.preference, flags, service, replacement))
        elif kind is Kind.SRV:
            records.append(Srv(record.priority, record.weight, record.port, _text(record.target)))
        else:
            records.append(str(record.address))
    return tuple(records)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""
