"""Who calls: what a leg says of itself, what the next leg is told (RFC 3323, RFC 3325), and what else may pass.

Topology hiding: a header crosses from one leg to the other only when it is named here.
"""

from __future__ import annotations

from dataclasses import dataclass

from pbxd.directory.model import Trunk, User
from pbxd.errors import Invalid
from pbxd.sip.errors import ParseError
from pbxd.sip.headers import Headers, NameAddr
from pbxd.sip.message import Request
from pbxd.sip.uri import Uri

PASSED_HEADERS = ("Alert-Info", "User-to-User")
_HIDING = frozenset({"id", "user", "header"})
_NOBODY = "anonymous.invalid"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `number` as the dialplan knows it, `name` for displays, `private` when it must not be shown."""

    number: str
    name: str = ""
    private: bool = False


def caller_of(request: Request, *, extension: str | None, name: str | None, trusted: bool) -> Caller:
    """The caller of an INVITE or MESSAGE.

    A phone (`extension` given) is who its credentials say, with its own display name; a trunk (`trusted`) is
    believed in its P-Asserted-Identity, else in its From. Raises `Invalid` on an unreadable identity.
    """
    private = bool(_HIDING & {value.strip().lower() for value in (request.headers.get("Privacy") or "").split(";")})
    private = private or claims_nobody(request)
    if extension is not None:
        return Caller(extension, name or request.from_.display or "", private)
    source = request.from_
    asserted = request.headers.values("P-Asserted-Identity") if trusted else []
    if asserted:
        try:
            source = NameAddr.parse(asserted[0])
        except ParseError as error:
            raise Invalid("P-Asserted-Identity cannot be read") from error
    if source.uri.host == _NOBODY or (source.uri.user or "").lower() == "anonymous":
        private = True
    return Caller(source.uri.user or "", source.display or "", private)


def shown_outside(caller: Caller, user: User | None, trunk: Trunk) -> Caller:
    """Who a provider is told is calling, where a phone of ours is: by its user's number for that, or the trunk's."""
    own = user.out_cid_number if user is not None else None
    name = user.out_cid_name if user is not None else ""
    return Caller(own or trunk.cid_number or caller.number, name or caller.name, caller.private)


def claims_nobody(request: Request) -> bool:
    """Whether From is that of a phone which hides its number by itself (RFC 3323 §4.1.1.3)."""
    return request.from_.uri.host == _NOBODY


def from_header(caller: Caller, domain: str) -> NameAddr:
    """The From of the next leg, without a tag; anonymous when the caller is private (RFC 3323 §4.1.1.3)."""
    if caller.private:
        return NameAddr(display="Anonymous", uri=Uri.sip("anonymous", _NOBODY), params={})
    return NameAddr(display=caller.name or None, uri=Uri.sip(caller.number or "unknown", domain), params={})


def passed_headers(
    request: Request | None, caller: Caller, domain: str, *, trusted_peer: bool
) -> list[tuple[str, str]]:
    """The headers that the next leg gets of the first one. Only a trusted peer learns a private caller's identity
    (RFC 3325 §7), and is told to keep it."""
    headers = request.headers if request is not None else Headers()
    passed = [(name, value) for name in PASSED_HEADERS for value in headers.all(name)]
    if trusted_peer and caller.number:
        identity = NameAddr(display=caller.name or None, uri=Uri.sip(caller.number, domain), params={})
        passed.append(("P-Asserted-Identity", str(identity)))
    if caller.private:
        passed.append(("Privacy", "id"))
    return passed
