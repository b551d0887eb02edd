"""Who is at the other end of a request: a phone with credentials, a trunk we trust by its address, or nobody yet."""

from __future__ import annotations

from dataclasses import dataclass

from media.keys import SrtpMode
from media.plan import Codec
from pbxd.calls.identity import Caller, caller_of, claims_nobody
from pbxd.calls.routing import as_e164
from pbxd.directory.accounts import Directory
from pbxd.directory.authentication import Authenticator, Outcome, Reason
from pbxd.directory.model import Account, Device, Trunk
from pbxd.directory.registrar import Registrar
from pbxd.directory.sources import Called
from pbxd.errors import Denied
from pbxd.sip.flow import Flow
from pbxd.sip.message import Request, Response, response_to


@dataclass(frozen=True, slots=True)
class Peer:
    """Exactly one of `device` and `trunk` is set."""

    account: Account
    caller: Caller
    device: Device | None = None
    trunk: Trunk | None = None

    @property
    def party(self) -> str:
        """Who it is in a call's record."""
        return self.device.user if self.device else self.trunk.name if self.trunk else ""

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """The codecs of its own policy; empty for the house's."""
        return self.device.codecs if self.device else self.trunk.codecs if self.trunk else ()

    @property
    def srtp(self) -> SrtpMode | None:
        """The SRTP of its own policy; None for the house's."""
        return self.device.srtp if self.device else self.trunk.srtp if self.trunk else None


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a call came to the house: who asked, and with which INVITE."""

    peer: Peer
    request: Request


@dataclass(frozen=True, slots=True)
class Challenge:
    """The answer to who has not proven who they are."""

    status: int
    reason: Reason
    headers: tuple[tuple[str, str], ...]
    phrase: str | None = None

    def response(self, request: Request) -> Response:
        """The answer to `request`."""
        response = response_to(request, self.status, self.phrase)
        for name, value in self.headers:
            response.headers.add(name, value)
        return response


def peer_of(
    directory: Directory,
    registrar: Registrar,
    authenticator: Authenticator,
    request: Request,
    flow: Flow,
    now: float,
) -> Peer | Challenge:
    """Who sent a request that begins something. Raises `Denied` for a phone that says it is someone else, and
    `Invalid` for an identity that cannot be read."""
    trunk = _trunk_of(directory, registrar, request, flow.remote[0])
    if trunk is not None:
        account = directory.account_or_default(trunk.account_id)
        return Peer(account, caller_of(request, extension=None, name=None, trusted=True), trunk=trunk)
    account = directory.account_for_host(request.from_.uri.host)
    verdict = authenticator.check(request, account, flow, now)
    if verdict.outcome is not Outcome.PASS or verdict.device is None:
        return Challenge(verdict.status, verdict.reason, verdict.headers, verdict.phrase)
    device = verdict.device
    if not claims_nobody(request) and not directory.owns(account, device, request.from_.uri.user or ""):
        raise Denied("From is not the authenticated phone's own")
    user = directory.user(account, device.user)
    name = user.display_name if user else None
    return Peer(account, caller_of(request, extension=device.user, name=name, trusted=False), device=device)


def _trunk_of(directory: Directory, registrar: Registrar, request: Request, source: str) -> Trunk | None:
    """The trunk that sends this. One that a tenant has registered by API takes nothing that may be of another account's
    phones: nothing in the name of that account, and nothing from an address where such a phone is registered."""
    called, from_ = request.uri.user or "", request.from_.uri
    number = directory.number(as_e164(called)) if called else None
    asked = Called(called, number.account_id if number is not None else None)
    trunk = directory.trunk_for(source, from_.user, asked)
    if trunk is None or directory.trusts(trunk, source):
        return trunk
    named = directory.account_named_by(from_.host)
    foreign = named is not None and named.id != trunk.account_id
    return None if foreign or registrar.others_at(source, trunk.account_id) else trunk
