"""From a route to the places that ring: a user's contacts, or a trunk's proxy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.calls.fork import phone_of, ringing
from pbxd.calls.identity import Caller, from_header, passed_headers
from pbxd.calls.routing import ToTrunk, ToUser
from pbxd.directory.model import Account, Aor, Trunk
from pbxd.sip.headers import NameAddr
from pbxd.sip.message import Request
from pbxd.sip.session import SessionSettings
from pbxd.sip.session.settings import Account as Identity
from pbxd.sip.uri import Uri


def domain_of(account: Account) -> str:
    """The host that stands behind @ in what the account says of itself."""
    return min(account.domains, default=account.realm)


def targets_of(
    facilities: Facilities,
    route: ToUser | ToTrunk,
    request: Request | None,
    caller: Caller,
    account: Account,
    now: float,
) -> list[Target]:
    """Where `route` rings; empty when a user has no contact. Without a request the house itself asks."""
    hops = (request.max_forwards if request is not None and request.max_forwards is not None else 70) - 1
    if isinstance(route, ToTrunk):
        return [_to_trunk(facilities, route, request, caller, account, hops)]
    headers = passed_headers(request, caller, domain_of(account), trusted_peer=False)
    return targets_of_user(facilities, route.user.name, caller, account, now, headers=headers, hops=hops)


def targets_of_user(
    facilities: Facilities,
    user: str,
    caller: Caller,
    account: Account,
    now: float,
    *,
    headers: Sequence[tuple[str, str]] = (),
    hops: int = 70,
) -> list[Target]:
    """The phones of a user that ring when `caller` calls, in order; empty where none is there."""
    domain, directory = domain_of(account), facilities.directory
    owner = directory.user(account, user)
    bindings = facilities.registrar.bindings(Aor(account.id, user), now)
    found = [phone for binding in bindings if (phone := phone_of(directory, account, binding)) is not None]
    headers = (*headers, ("Max-Forwards", str(hops)))
    return [
        Target(
            party=user,
            uri=uri.with_(headers="") if (uri := phone.binding.contact).headers else uri,
            to=NameAddr(display=None, uri=Uri.sip(user, domain), params={}),
            from_=from_header(caller, domain),
            headers=headers,
            settings=facilities.session,
            destinations=(phone.destination,),
            codecs=phone.device.codecs,
            srtp=phone.device.srtp,
        )
        for phone in (ringing(found, owner) if owner is not None else ())
    ]


def _to_trunk(
    facilities: Facilities, route: ToTrunk, request: Request | None, caller: Caller, account: Account, hops: int
) -> Target:
    proxy = Uri.parse(route.trunk.proxy or "")
    domain = domain_of(account)
    uri = proxy.with_(user=route.number)
    return Target(
        party=route.trunk.name,
        uri=uri,
        to=NameAddr(display=None, uri=Uri.sip(route.number, proxy.host, proxy.port), params={}),
        from_=from_header(caller, domain),
        headers=(*passed_headers(request, caller, domain, trusted_peer=True), ("Max-Forwards", str(hops))),
        settings=_settings_for(facilities.session, route.trunk),
        resolve=uri,
        codecs=route.trunk.codecs,
        srtp=route.trunk.srtp,
    )


def _settings_for(settings: SessionSettings, trunk: Trunk) -> SessionSettings:
    register = trunk.register
    if register is None:
        return settings
    identity = Identity(register.username, register.password)
    return replace(settings, credentials=lambda _realm: identity)
