"""REGISTER (RFC 3261 §10.3): who may register what, and the answer that lists what is registered."""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.calls.facilities import Facilities
from pbxd.directory.authentication import Authenticator, Outcome
from pbxd.sip.message import Request, response_to
from pbxd.sip.transaction import ServerTransaction


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
        verdict = self._authenticator.check(request, account, now)
        if verdict.outcome is not Outcome.PASS or verdict.device is None:
            self._answer(transaction, verdict.status, now, verdict.headers)
            return
        aor = self._facilities.directory.aor(account, to.user or "")
        if aor is None:
            self._answer(transaction, 403, now)
            return
        wall = self._facilities.wall(now)
        outcome = self._facilities.registrar.register(aor, verdict.device, request, transaction.flow, now, wall)
        self._answer(transaction, outcome.status, now, outcome.headers, outcome.reason)

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
