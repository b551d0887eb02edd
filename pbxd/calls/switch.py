"""Where requests come in: who asks, for whom, and which part of the house answers (RFC 3261 §8.2).

The core of the SIP stack. It keeps the live calls, and decides nothing that a part of its own could decide.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from media.fax import FaxMode
from media.session import OutOfFiles, OutOfPorts
from pbxd.calls import causes
from pbxd.calls.admission import Admission, Refusal
from pbxd.calls.call import Call, CallState, End, Fallback
from pbxd.calls.dial import Target
from pbxd.calls.facilities import Facilities
from pbxd.calls.following import FindFallback, Following, MakeAct, last_of
from pbxd.calls.gate import HOUSE, Barred, Gate
from pbxd.calls.identity import Caller, shown_outside
from pbxd.calls.leg import Leg
from pbxd.calls.limits import Limits
from pbxd.calls.outcall import OutCall
from pbxd.calls.pager import MAX_BODY, Page
from pbxd.calls.peer import Arrival, Challenge, Peer, peer_of
from pbxd.calls.policy import LAWS
from pbxd.calls.record import CallRecord, Direction, LegRecord, Result, Role, Timeline
from pbxd.calls.register import Registration
from pbxd.calls.routing import (
    Hours,
    Reject,
    Route,
    ToEcho,
    ToGroup,
    ToHouse,
    ToTrunk,
    ToUser,
    described,
    fax_mode,
    no_hours,
    number_called,
    route,
    takes_images,
)
from pbxd.calls.rulebook import Rulebook
from pbxd.calls.stage import Act
from pbxd.calls.targets import targets_of, targets_of_user
from pbxd.calls.watchers import Watchers
from pbxd.config.groups import UserRing
from pbxd.directory.authentication import Authenticator
from pbxd.directory.model import Account, ExtensionKind, Trunk, User
from pbxd.errors import HouseError, NotFound, Overloaded, Unavailable
from pbxd.ids import new_id
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Flow, place
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.stack import DropReason
from pbxd.sip.transaction import Failure, ServerTransaction
from pbxd.sip.uri import Uri
from pbxd.trace import Topic

log = logging.getLogger(__name__)

Headers = Sequence[tuple[str, str]]
SERVED_SCHEMES = frozenset({"sip", "sips", "tel"})
_AUTHENTICATED = frozenset({"INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE"})


class Switch:
    """The house's core: `calls` by id, newest last. `acts` make what the house does at numbers of its own; `fallback`
    says what it does for a user who does not answer, and may be set later."""

    def __init__(
        self,
        facilities: Facilities,
        authenticator: Authenticator,
        admission: Admission,
        acts: Mapping[ExtensionKind, MakeAct],
    ) -> None:
        self._facilities = facilities
        self._authenticator = authenticator
        self._clock = facilities.clock
        self._acts = acts
        self._registration = Registration(facilities, authenticator)
        self.watchers = Watchers(facilities, authenticator)
        self.fallback: FindFallback = lambda _user, _record: None
        self.hours: Hours = no_hours
        self.gate = Gate(facilities, Limits(Rulebook(facilities.directory)), self.alive)
        self.following = Following(facilities, acts, self._mailbox, self.gate.hold)
        self._methods: dict[str, Callable[[ServerTransaction, Request, float], None]] = {
            "INVITE": self._invite,
            "REGISTER": self._register,
            "OPTIONS": self._options,
            "MESSAGE": self._message,
            "REFER": lambda transaction, _request, now: self._reply(transaction, 603, now),
            "SUBSCRIBE": self.watchers.serve,
            "PUBLISH": lambda transaction, _request, now: self._reply(transaction, 489, now),
            "NOTIFY": lambda transaction, _request, now: self._reply(transaction, 481, now),
            "BYE": lambda transaction, _request, now: self._reply(transaction, 481, now),
            "INFO": lambda transaction, _request, now: self._reply(transaction, 481, now),
            "PRACK": lambda transaction, _request, now: self._reply(transaction, 481, now),
            "UPDATE": lambda transaction, _request, now: self._reply(transaction, 481, now),
        }
        self.admission = admission
        self.calls: dict[str, Call] = {}

    @property
    def refused(self) -> dict[Refusal, int]:
        """Calls and legs that could not be had, by reason."""
        return self._facilities.refused

    # ---- Core of the stack

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        try:
            self._serve(transaction, request, now)
        except ParseError as error:
            self._facilities.stack.unreadable(transaction.flow)
            self._decide(request, f"refused with {error.status}: {error.reason}", now)
            self._reply(transaction, error.status, now, reason=error.reason)
        except Overloaded as error:
            self._decide(request, f"refused with 503: {error.message}", now)
            reason = causes.reason_q850(causes.CONGESTION, error.message)  # RFC 6432
            self._reply(transaction, 503, now, headers=[("Retry-After", str(error.retry_after_s)), ("Reason", reason)])
        except Barred as error:
            self._decide(request, f"refused with {error.sip_status}: {error.message}", now)
            headers = [("Reason", causes.reason_q850(error.q850, error.why.value))]
            headers += [("Retry-After", str(error.retry_after_s))] if error.retry_after_s is not None else []
            self._reply(transaction, error.sip_status, now, headers=headers)
        except HouseError as error:
            self._decide(request, f"refused with {error.sip_status}: {error.message}", now)
            self._reply(transaction, error.sip_status, now)
        except Exception:
            self._decide(request, "refused with 500: a fault of ours, see the log", now)
            log.exception("a %s could not be served", request.method)
            self._reply(transaction, 500, now)

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        self._facilities.sessions.receive_ack(request, flow, now)

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._facilities.sessions.receive_cancel(transaction, request, now)

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        self._facilities.sessions.server_failed(transaction, failure, now)

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        self._facilities.stack.drop(DropReason.STRAY_RESPONSE)

    # ---- for the API and the daemon

    def hangup(self, call_id: str, now: float) -> bool:
        """Ends a live call; False when there is none of that id."""
        call = self.calls.get(call_id)
        if call is not None:
            call.hangup(now)
        return call is not None

    def hangup_all(self, now: float, reason: str) -> None:
        """Ends every call, for a daemon that stops."""
        for call in tuple(self.calls.values()):
            call.hangup(now, reason=reason, drain=True)

    def call_out(self, account_id: str, number: str, act: Act, name: str) -> Call:
        """The house calls an extension's phones by itself, shown there as `name`, and `act` begins with the one that
        answers. Raises NotFound, Unavailable (no phone is registered), Overloaded, Barred."""
        account, found = self._way_to(account_id, number)
        if not isinstance(found, ToUser):
            raise NotFound(f"{number} is no extension with a phone")
        targets = targets_of_user(self._facilities, found.user.name, Caller(number, name), account, self._clock())
        return self._call_out(account, found, number, Caller("", name), targets, act, self._forget)

    def send_out(
        self,
        account_id: str,
        number: str,
        act: Act,
        caller: Caller,
        over: Callable[[Call], None],
        fax: FaxMode = FaxMode.AUTO,
    ) -> Call:
        """The house calls a number of an account, a phone's or one that leaves by a trunk, in G.711, or in T.38 where
        `fax` or the trunk begins with that; `act` begins when it is answered, and `over` hears the end. Raises
        NotFound, Unavailable, Overloaded, Barred."""
        account, found = self._way_to(account_id, number)
        outbound = self._facilities.directory.outbound(account, number)
        if isinstance(found, ToHouse | ToEcho | Reject) and outbound is not None:
            found = ToTrunk(*outbound)  # to a number of the house's own, too, by a trunk that leads back
        if not isinstance(found, ToUser | ToTrunk):
            raise NotFound(f"no route leads to {number}")
        if isinstance(found, ToTrunk):
            caller = shown_outside(caller, None, found.trunk)
        targets = targets_of(self._facilities, found, None, caller, account, self._clock())

        def ended(call: Call) -> None:
            self._forget(call)
            over(call)

        image = [fax.images and FaxMode.T38 in (fax, target.fax) for target in targets]
        targets = [replace(target, codecs=LAWS, image=one) for target, one in zip(targets, image, strict=True)]
        return self._call_out(account, found, number, caller, targets, act, ended)

    def _way_to(self, account_id: str, number: str) -> tuple[Account, Route]:
        directory = self._facilities.directory
        account = directory.account_or_default(account_id)
        return account, route(directory, account, number, source=None)

    def _call_out(
        self,
        account: Account,
        found: ToUser | ToTrunk,
        number: str,
        caller: Caller,
        targets: Sequence[Target],
        act: Act,
        over: Callable[[Call], None],
    ) -> Call:
        """Raises Overloaded, Unavailable, Barred."""
        refusal = self.admission.refusal(len(self.calls))
        if refusal is not None:
            raise Overloaded(refusal.value, self.admission.retry_after_s)
        if not targets:
            raise Unavailable(f"no phone of {number} is registered")
        now = self._clock()
        wall = self._facilities.wall(now)
        record = CallRecord(new_id("call", wall), account.id, found.direction, caller.number, caller.name, number, wall)
        call = OutCall(self._facilities, record, reroute=lambda _uri: [], on_over=over)
        self.gate.enter(record, found.user.name if isinstance(found, ToUser) else None, None, found, HOUSE)
        self.calls[record.id] = call
        self._facilities.tracer.began(record.id, record.id, record.account_id, now)  # its dialogs join when they ring
        try:
            call.call_out(targets, act, now)
        except Exception:
            call.fail(now)
            raise
        return call

    def alive(self) -> frozenset[str]:
        """The ids of the calls that are up."""
        return frozenset(name for name, call in self.calls.items() if call.state is not CallState.ENDED)

    # ---- inside

    def _mailbox(self, user: User, record: CallRecord) -> Fallback | None:
        return self.fallback(user, record)

    def _serve(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.uri.scheme not in SERVED_SCHEMES:
            self._reply(transaction, 416, now)
            return
        if self.watchers.receive(transaction, request, now) or self._facilities.sessions.receive(
            transaction, request, now
        ):
            return
        method = self._methods.get(request.method)
        objection = self._objection(request)
        if method is None or objection or request.method not in _AUTHENTICATED:
            self._authenticator.stranger(request, transaction.flow, now)
        if method is None:
            self._reply(transaction, 501, now, headers=[("Allow", self._allow())])
        elif objection:
            self._reply(transaction, objection[0], now, headers=objection[1])
        else:
            method(transaction, request, now)

    def _objection(self, request: Request) -> tuple[int, Headers] | None:
        """What is wrong with it whoever sent it."""
        if request.max_forwards == 0 and request.method not in ("OPTIONS", "REGISTER"):
            return 483, ()
        unsupported = (request.require | request.proxy_require) - set(self._facilities.session.supported)
        if unsupported and request.method != "CANCEL":
            return 420, [("Unsupported", ", ".join(sorted(unsupported)))]
        return None

    def _allow(self) -> str:
        return ", ".join(self._facilities.session.allow)

    def _decide(self, request: Request, text: str, now: float) -> None:
        self._facilities.tracer.note(request.call_id, Topic.DECISION, text, now)

    def _reply(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Headers = (),
    ) -> None:
        if transaction.answered or transaction.dead:
            return
        response = response_to(transaction.request, status, reason)
        for name, value in headers:
            response.headers.add(name, value)
        self._facilities.stack.respond(transaction, response, now)

    def _options(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        settings = self._facilities.session
        headers = [
            ("Allow", self._allow()),
            ("Accept", ", ".join(settings.accept)),
            ("Supported", ", ".join(settings.supported)),
        ]
        if self.admission.draining:
            self._reply(transaction, 503, now, headers=[*headers, ("Retry-After", str(self.admission.retry_after_s))])
        else:
            self._reply(transaction, 200, now, headers=headers)

    def _register(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._registration.serve(transaction, request, now)

    def _peer(self, transaction: ServerTransaction, request: Request, now: float) -> Peer | None:
        directory, registrar = self._facilities.directory, self._facilities.registrar
        found = peer_of(directory, registrar, self._authenticator, request, transaction.flow, now)
        if isinstance(found, Challenge):
            self._decide(request, f"challenged with {found.status}: {found.reason.value}", now)
            self._facilities.stack.challenge(transaction, found.response(request))
            return None
        return found

    def _message(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        peer = self._peer(transaction, request, now)
        if peer is None:
            return
        if len(request.body) > MAX_BODY:
            self._reply(transaction, 513, now)
            return
        found = self._route(peer, request.uri, by_default=False)
        if not isinstance(found, ToUser | ToTrunk):
            self._reply(transaction, found.status if isinstance(found, Reject) else 405, now)
            return
        source = place(transaction.flow.transport, *transaction.flow.remote)
        self.gate.post(peer.account.id, peer.party, request.uri.user or "", found, source)
        targets = targets_of(self._facilities, found, request, peer.caller, peer.account, now)
        if targets:
            kind = request.headers.get("Content-Type")
            answered = partial(self._reply, transaction)
            Page(self._facilities, request.body, kind, answered).send(targets)
        else:
            self._reply(transaction, 480, now)

    def _route(self, peer: Peer, uri: Uri, *, by_default: bool = True) -> Route:
        directory = self._facilities.directory
        if peer.device is not None and directory.is_foreign(peer.account, uri.host):
            return Reject(404, "the number is one of another account")
        private, source = peer.caller.private, peer.trunk
        return route(
            directory,
            peer.account,
            uri.user or "",
            source=source,
            hours=self.hours,
            private=private,
            by_default=by_default,
        )

    def _arrived(self, peer: Peer, uri: Uri) -> Peer:
        """A call by a trunk is one of the account whose number is called."""
        directory = self._facilities.directory
        if peer.trunk is None:
            return peer
        number = number_called(directory, peer.account, uri.user or "", default=directory.default_account)
        account = directory.account(number.account_id) if number is not None else None
        return replace(peer, account=account) if account is not None else peer

    # ---- INVITE

    def _invite(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self._admit(transaction, self.admission.refusal(len(self.calls)))
        accept = request.headers.get("Accept")
        if accept is not None and "application/sdp" not in accept.lower() and "*/*" not in accept:
            self._reply(transaction, 406, now)
            return
        peer = self._peer(transaction, request, now)
        if peer is None:
            return
        self._admit(transaction, self.admission.count(now))
        self._reply_trying(transaction, now)
        peer = self._arrived(peer, request.uri)
        found = self._route(peer, request.uri)
        record = self._record(peer, request, found, now)
        call = Call(
            self._facilities,
            record,
            reroute=lambda uri: self._reroute(uri, record, peer, request),
            on_over=self._forget,
        )
        try:
            self._enter(record, peer, found, transaction)
            leg = self._caller_leg(call, peer, found, transaction, now)
        except (Overloaded, Barred) as error:
            self._trace(record, peer, request, found, now)
            q850 = error.q850 if isinstance(error, Barred) else causes.CONGESTION
            call.turn_away(error.message, now, status=error.sip_status, q850=q850)
            raise
        except BaseException:
            self.gate.leave(record, now)
            raise
        if leg is None:
            self.gate.leave(record, now)
            return
        self.calls[record.id] = call
        record.legs.append(leg.record)
        self._trace(record, peer, request, found, now)
        call.start(leg, now)
        try:
            self._connect(call, leg, found, peer, request, now)
        except Exception:
            call.fail(now)
            raise

    def _trace(self, record: CallRecord, peer: Peer, request: Request, found: Route, now: float) -> None:
        tracer = self._facilities.tracer
        tracer.began(record.id, request.call_id, record.account_id, now)
        who = f"phone {peer.party}, by its password" if peer.device else f"trunk {peer.party}, by its address"
        tracer.note(record.id, Topic.DECISION, f"the caller is {who}; {described(found)}", now)

    def _forget(self, call: Call) -> None:
        self.calls.pop(call.record.id, None)
        self.gate.leave(call.record, self._clock())
        self._facilities.tracer.ended(call.record.id, self._clock())

    def _reply_trying(self, transaction: ServerTransaction, now: float) -> None:
        self._facilities.stack.respond(transaction, response_to(transaction.request, 100), now)

    def _admit(self, transaction: ServerTransaction, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._facilities.refuse(refusal, place(transaction.flow.transport, *transaction.flow.remote))
            raise Overloaded(refusal.value, self.admission.retry_after_s)

    def _enter(self, record: CallRecord, peer: Peer, found: Route, transaction: ServerTransaction) -> None:
        if not isinstance(found, Reject):
            user, trunk = (None, peer.party) if peer.trunk else (peer.party, None)
            source = place(transaction.flow.transport, *transaction.flow.remote)
            self.gate.enter(record, user, trunk, found, source, carrier=peer.trunk)

    def _record(self, peer: Peer, request: Request, found: Route, now: float) -> CallRecord:
        wall = self._facilities.wall(now)
        default = Direction.INBOUND if peer.trunk else Direction.INTERNAL
        return CallRecord(
            id=new_id("call", wall),
            account_id=peer.account.id,
            direction=default if isinstance(found, Reject) else found.direction,
            caller=peer.caller.number,
            caller_name=peer.caller.name,
            called=request.uri.user or "",
            started_at=wall,
            clock=Timeline(wall, now),
        )

    def _caller_leg(
        self, call: Call, peer: Peer, found: Route, transaction: ServerTransaction, now: float
    ) -> Leg | None:
        flow, wall = transaction.flow, call.wall(now)
        fax = fax_mode(self._facilities.directory, peer.account, call.record.called, found, source=peer.trunk)
        policy = self._facilities.policy_for(peer.codecs, peer.srtp, fax)
        record = LegRecord(
            id=new_id("leg", wall),
            role=Role.CALLER,
            party=peer.party,
            sip_call_id=transaction.request.call_id,
            remote=place(flow.transport, *flow.remote),
            started_at=wall,
        )
        try:
            return Leg.incoming(self._facilities, call, record, transaction, policy, now)
        except OutOfFiles:
            self._admit(transaction, Refusal.FILES_FULL)
            return None
        except OutOfPorts:
            self._admit(transaction, Refusal.PORTS_FULL)
            return None

    def _connect(self, call: Call, leg: Leg, found: Route, peer: Peer, request: Request, now: float) -> None:
        if isinstance(found, Reject):
            call.refuse(End(Result.CLIENT, found.status, causes.q850_of(found.status), found.reason, "house"), now)
        elif not leg.read_offer(images=takes_images(found), passes=isinstance(found, ToTrunk)):
            call.refuse(End(Result.CLIENT, 488, causes.q850_of(488), leg.refusal, "house"), now)
        elif isinstance(found, ToEcho):
            call.echo(now)
        elif isinstance(found, ToHouse):
            act = self._acts[found.extension.kind](found.extension, call.record)
            call.perform(act, now, Arrival(peer, request))
        elif isinstance(found, ToGroup):
            arrival = Arrival(peer, request)
            call.perform(self.following.group(found, peer.account, call.record, arrival), now, arrival)
        elif isinstance(found, ToUser):
            self._ring_user(call, found, peer, request, now)
        else:
            caller = self._shown(peer, found.trunk)
            call.ring(targets_of(self._facilities, found, request, caller, peer.account, now), now)

    def _ring_user(self, call: Call, found: ToUser, peer: Peer, request: Request, now: float) -> None:
        user, arrival = found.user, Arrival(peer, request)
        call.fallback = self.following.of_user(user, peer.account, call.record, arrival)
        if user.dnd:
            if not call.fall_back(486, now):
                reason = "the user is not to be disturbed"
                call.refuse(End(Result.UPSTREAM, 486, causes.q850_of(486), reason, "house"), now)
            return
        targets = targets_of(self._facilities, found, request, peer.caller, peer.account, now)
        try:
            targets = self.gate.hold(call.record, peer.party, found, targets)
        except Barred as error:
            if not call.fall_back(486, now):
                call.refuse(End(Result.UPSTREAM, error.sip_status, error.q850, error.message, "house"), now)
            return
        if len(targets) > 1 and user.ring_strategy is UserRing.SEQUENTIAL:
            fallback, call.fallback = call.fallback, None
            call.perform(self.following.phones(targets, user, last_of(fallback)), now, arrival)
        elif targets:
            call.ring(targets, now, user.ring_timeout_s)
        elif not call.fall_back(480, now):
            call.refuse(End(Result.UPSTREAM, 480, 20, "no phone is registered", "house"), now)

    def _shown(self, peer: Peer, trunk: Trunk) -> Caller:
        """Who a provider is told is calling: another trunk's caller as they came."""
        if peer.device is None:
            return peer.caller
        return shown_outside(peer.caller, self._facilities.directory.user(peer.account, peer.device.user), trunk)

    def _reroute(self, uri: Uri, record: CallRecord, peer: Peer, request: Request) -> list[Target]:
        found = self._route(peer, uri)
        if not isinstance(found, ToUser | ToTrunk):
            return []
        targets = targets_of(self._facilities, found, request, peer.caller, peer.account, self._clock())
        try:
            return self.gate.hold(record, peer.party, found, targets)
        except Barred as error:
            self._facilities.tracer.note(record.id, Topic.DECISION, f"not redirected: {error.message}", self._clock())
            return []
