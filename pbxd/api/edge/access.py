"""Who may ask the edge: addresses that are listed, and keys with its scope. Everybody else is nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web

from pbxd.api.access import MAX_KEY_LENGTH, Access, FindKey, key_of
from pbxd.api.contract import Identity
from pbxd.api.edge.contract import SCOPE
from pbxd.api.origin import Network, Origins
from pbxd.errors import Denied, Unauthorized

MEDIA = "/media/{key}"
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
_BROWSER = ("Origin", "Sec-Fetch-Site")


class EdgeAccess:
    """Identifies requests to the edge. `sources`, and `media_sources` for media alone, may be assigned anew at any
    time; empty, no address counts, not even loopback.

    An address counts only for who comes from it directly, or through a trusted proxy that says so; and never for a
    browser, which any page may lead to ask (and which says where it was led from).
    """

    def __init__(
        self,
        find_key: FindKey,
        origins: Origins,
        sources: Sequence[Network] = (),
        media_sources: Sequence[Network] = (),
    ) -> None:
        self.sources = sources
        self.media_sources = media_sources
        self._find_key = find_key
        self._origins = origins
        self._house = Access(find_key)

    def identify(self, request: web.Request) -> Identity:
        """Who asks. Raises Unauthorized without credentials, Denied for wrong ones."""
        origin = self._origins.of(request)
        if not origin.address:
            return self._house.identify(request)  # the Unix socket
        secret = request.headers.get("x-admin-token") or key_of(request)
        if secret:
            identity = self._find_key(secret) if len(secret) <= MAX_KEY_LENGTH else None
            if identity is None:
                raise Denied("this key is not known")
            return identity
        if self._listed(request, origin.address):
            return Identity(f"node {origin.address}", None, frozenset({SCOPE}))
        raise Unauthorized("give a known API key in x-admin-token, X-API-Key or Authorization: Bearer")

    def _sources(self, request: web.Request) -> Sequence[Network]:
        """Media nodes get to media, and to nothing else."""
        resource = request.match_info.route.resource
        more = self.media_sources if resource is not None and resource.canonical == MEDIA else ()
        return (*self.sources, *more)

    def _listed(self, request: web.Request, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if any(name in request.headers for name in _BROWSER) or not _within(ip, self._sources(request)):
            return False
        peer = request.transport.get_extra_info("peername")[0] if request.transport else ""
        if peer == address:  # nobody we trust stands between: then nobody may stand there at all
            return not any(name in request.headers for name in _FORWARDED) and not _within(ip, self._origins.proxies)
        return True


def _within(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Sequence[Network]) -> bool:
    return any(ip in network for network in networks)
