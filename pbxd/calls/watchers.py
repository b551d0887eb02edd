"""SUBSCRIBE and NOTIFY: phones that want to hear what happens to their user (RFC 6665), and those that are told without
asking (RFC 3842 §3.2 as most lamps need it)."""

from __future__ import annotations

from pbxd.calls.facilities import Facilities
from pbxd.calls.peer import Challenge, peer_of
from pbxd.calls.targets import domain_of
from pbxd.directory.authentication import Authenticator
from pbxd.directory.model import Account, Aor, Device
from pbxd.errors import Denied
from pbxd.sip.dialog import destination_of
from pbxd.sip.headers import Headers, NameAddr
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.subscription import Package, SubscriptionTable, package_name
from pbxd.sip.transaction import ClientTransaction, Failure, ServerTransaction
from pbxd.sip.uri import Uri


class Watchers:
    """Answers SUBSCRIBE for the packages it has been given; the resource of each is an Aor."""

    def __init__(self, facilities: Facilities, authenticator: Authenticator) -> None:
        self._facilities = facilities
        self._authenticator = authenticator
        self._packages: dict[str, Package] = {}
        self.subscriptions = SubscriptionTable(facilities.stack)

    def offer(self, package: Package) -> None:
        """From now on phones may subscribe to it."""
        self._packages[package.name] = package

    def serve(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A SUBSCRIBE outside of a dialog: 489 for a package that nobody offers, else a challenge, or a subscription
        to the user in the Request-URI, who must be the phone's own. Raises Denied."""
        package = self._packages.get(package_name(request) or "")
        if package is None:
            self._authenticator.stranger(request, transaction.flow, now)
            response = response_to(request, 489)
            if self._packages:
                response.headers.add("Allow-Events", ", ".join(self._packages))
            self._facilities.stack.respond(transaction, response, now)
            return
        directory, registrar = self._facilities.directory, self._facilities.registrar
        peer = peer_of(directory, registrar, self._authenticator, request, transaction.flow, now)
        if isinstance(peer, Challenge):
            self._facilities.stack.challenge(transaction, peer.response(request))
            return
        resource = self._own(peer.account, peer.device, request.uri.user or "")
        contact = self._facilities.contact(request.uri.user, destination_of(transaction.flow))
        self.subscriptions.open(transaction, request, package, resource, contact, now)

    def _own(self, account: Account, device: Device | None, name: str) -> Aor:
        aor = self._facilities.directory.aor(account, name)
        if device is None or aor is None or aor.user != device.user:
            raise Denied("a phone may watch its own user only")
        return aor

    def receive(self, transaction: ServerTransaction, request: Request, now: float) -> bool:
        """A request inside a dialog. False: it is not a subscription's."""
        return request.to.tag is not None and self.subscriptions.receive(transaction, request, now)

    def changed(self, package: Package, aor: Aor, now: float, *, unsolicited: bool = False) -> None:
        """Tells the phones of `aor` that subscribed; with `unsolicited` all that are registered."""
        self.subscriptions.changed(package, aor, now)
        if unsolicited:
            self.tell_all(package, aor, now)

    def tell_all(self, package: Package, aor: Aor, now: float) -> None:
        """Not what RFC 6665 says: there is no subscription. Phones that are set so expect just that."""
        facilities = self._facilities
        account = facilities.directory.account(aor.account_id)
        if account is None:
            return
        user = NameAddr(None, Uri.sip(aor.user, domain_of(account)), {})
        body = package.body(aor)
        for binding in facilities.registrar.bindings(aor, now):
            destination = binding.destination()
            headers = Headers()
            headers.add("From", str(user.with_params({"tag": facilities.stack.new_tag()})))
            headers.add("To", str(user))
            headers.add("Call-ID", facilities.stack.new_call_id())
            headers.add("CSeq", "1 NOTIFY")
            headers.add("Contact", f"<{facilities.contact(aor.user, destination)}>")
            headers.add("Event", package.name)
            headers.add("Subscription-State", "active")
            headers.add("Content-Type", package.content_type)
            request = Request("NOTIFY", binding.contact.with_(headers=""), headers, body)
            facilities.stack.request(request, [destination], _Whatever(), now)


class _Whatever:
    """Hears how an unsolicited NOTIFY went: that changes nothing."""

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """The phone took it, or not."""

    def on_failure(self, transaction: ClientTransaction, failure: Failure, now: float) -> None:
        """The phone is not there."""
