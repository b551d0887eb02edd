"""REGISTER (RFC 3261 §10.3): who may register what, and the answer that lists what is registered."""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.calls.facilities import Facilities
from pbxd.calls.peer import Challenge
from pbxd.directory.authentication import Authenticator, Outcome
from pbxd.directory.binding import is_ip, same_host
from pbxd.sip.flow import Flow
from pbxd.sip.message import Request, response_to
from pbxd.sip.transaction import ServerTransaction
from pbxd.trace import Topic


class Registration:
    """Answers REGISTER for all accounts."""

    def __init__(self, facilities: Facilities, authenticator: Authenticator) -> None:
        self._facilities = facilities
        self._authenticator = authenticator

    def serve(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """One REGISTER: a challenge, a refusal, or the bindings as they are now."""
        to = request.to.uri
        if not to.is_sip:
            self._answer(transaction, 400, now)
            return
        account = self._facilities.directory.account_for_host(to.host)
        verdict = self._authenticator.check(request, account, transaction.flow, now)
        if verdict.outcome is not Outcome.PASS or verdict.device is None:
            self._decide(request, f"not registered ({verdict.status}): {verdict.reason.value}", now)
            challenge = Challenge(verdict.status, verdict.reason, verdict.headers, verdict.phrase)
            self._facilities.stack.challenge(transaction, challenge.response(request))
            return
        aor = self._facilities.directory.aor(account, to.user or "")
        if aor is None:
            self._decide(request, f"not registered (403): there is no user {to.user}", now)
            self._answer(transaction, 403, now)
            return
        if self._leads_to_a_provider(request, transaction.flow):
            self._decide(request, "not registered (403): the contact is a provider's address", now)
            self._answer(transaction, 403, now, reason="Contact Is Not Yours")
            return
        wall = self._facilities.wall(now)
        outcome = self._facilities.registrar.register(aor, verdict.device, request, transaction.flow, now, wall)
        done = f"registered as {aor.user}" if outcome.status == 200 else f"not registered ({outcome.status})"
        self._decide(request, f"{done}: {outcome.reason or verdict.reason.value}", now)
        self._answer(transaction, outcome.status, now, outcome.headers, outcome.reason)

    def _decide(self, request: Request, text: str, now: float) -> None:
        self._facilities.tracer.note(request.call_id, Topic.DECISION, text, now)

    def _leads_to_a_provider(self, request: Request, flow: Flow) -> bool:
        """A provider trusts us by our address. A phone that registers the provider's as its own would have calls to
        itself go out there, past all routes. One that names no address of its own is called where it came from."""
        source, directory = flow.remote[0], self._facilities.directory
        hosts = {contact.uri.host for contact in request.contacts}
        others = {host for host in hosts if not same_host(host, source)}
        return others != hosts and any(is_ip(host) and directory.is_provider(host) for host in others)

    def _answer(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        headers: Sequence[tuple[str, str]] = (),
        reason: str | None = None,
    ) -> None:
        response = response_to(transaction.request, status, reason)
        for name, value in headers:
            response.headers.add(name, value)
        self._facilities.stack.respond(transaction, response, now)
