"""Our registrations at providers, against a provider on the virtual wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from pbxd.directory.model import Trunk, TrunkRegister
from pbxd.directory.trunks import Surroundings, Tell, TrunkChanged, TrunkRegistrations, TrunkState, TrunkStatus
from pbxd.events import Bus
from pbxd.sip.digest import Challenge, Credentials, ha1, verify
from pbxd.sip.flow import Destination, Flow
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.stack import Stack
from pbxd.sip.transaction import Failure, ServerTransaction
from pbxd.sip.uri import Uri
from tests.wire import START, Host, Wire

REGISTER = TrunkRegister("me", "mine-alone", "4930", 600)
TRUNK = Trunk("trk_1", "acc_1", "carrier", "sip:carrier.example", register=REGISTER)

Answer = Callable[[Request], Response]


class Provider:
    """A registrar far away. It answers by `script` while that lasts, then as it should."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.requests: list[Request] = []
        self.script: list[Answer] = []
        self.realm = "carrier.example"
        self.password = "mine-alone"
        self.granted = 600

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else self.proper
        self.stack.respond(transaction, answer(request), now)

    def proper(self, request: Request) -> Response:
        line = request.headers.get("Authorization")
        if line is None:
            return self.challenge(request)
        credentials = Credentials.parse(line)
        secret = ha1("me", self.realm, self.password, credentials.algorithm)
        if not verify(secret, "REGISTER", credentials):
            return self.challenge(request)
        return self.accept(request)

    def challenge(self, request: Request, *, stale: bool = False) -> Response:
        response = response_to(request, 401)
        for algorithm in ("SHA-256", "MD5"):
            value = str(Challenge(self.realm, f"nonce{len(self.requests)}", algorithm, stale=stale))
            response.headers.add("WWW-Authenticate", value)
        return response

    def accept(self, request: Request) -> Response:
        response = response_to(request, 200)
        response.headers.add("Contact", "<sip:4930@192.0.2.99>;expires=5")  # somebody else's
        if request.expires:
            response.headers.add("Contact", f"{request.contacts[0]};expires={self.granted}")
        return response

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        raise AssertionError("nobody sends ACK here")

    def on_cancel(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        raise AssertionError("nobody sends CANCEL here")

    def on_stray_response(self, response: Response, flow: Flow, now: float) -> None:
        raise AssertionError("the provider asked nothing")

    def on_server_failure(self, transaction: ServerTransaction, failure: Failure, now: float) -> None:
        raise AssertionError(failure)


@dataclass
class Scene:
    """The house, the provider, and what the house was told."""

    wire: Wire
    provider: Provider
    destinations: list[Destination]
    registrations: TrunkRegistrations
    trusted: dict[str, frozenset[str]] = field(default_factory=dict)
    states: list[TrunkState] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def status(self) -> TrunkStatus:
        (status,) = self.registrations.status()
        return status

    def start(self, *trunks: Trunk) -> None:
        self.registrations.apply(trunks or [TRUNK], self.wire.now)
        self.wire.settle()

    def run(self, seconds: float) -> None:
        self.wire.after(seconds)


@pytest.fixture
def scene() -> Scene:
    wire = Wire()
    house = wire.stack("pbx")
    address = wire.next_address
    Host(wire, "pbx", house)
    far = wire.stack("provider")
    provider = Provider(far)
    far.core = provider
    destinations = [Host(wire, "provider", far).destination()]
    house.core = provider
    bus = Bus()

    def resolve(_: Uri, tell: Tell) -> None:
        tell(made.destinations, wire.now)

    def trust(trunk: Trunk, addresses: frozenset[str]) -> None:
        made.trusted[trunk.name] = addresses

    def changed(event: TrunkChanged) -> None:
        made.states.append(event.status.state)
        made.reasons.append(event.status.reason)

    surroundings = Surroundings(house, resolve, lambda _: address, trust, bus, Random(1))
    made = Scene(wire, provider, destinations, TrunkRegistrations(surroundings))
    bus.subscribe(TrunkChanged, changed)
    return made


def status(code: int, *headers: tuple[str, str]) -> Answer:
    def answer(request: Request) -> Response:
        response = response_to(request, code)
        for name, value in headers:
            response.headers.add(name, value)
        return response

    return answer


def test_a_trunk_registers_with_its_password(scene: Scene) -> None:
    scene.start()
    first, second = scene.provider.requests
    assert str(first.uri) == "sip:carrier.example"
    assert (str(first.to.uri), first.from_.uri, first.expires) == ("sip:4930@carrier.example", first.to.uri, 600)
    assert str(first.contacts[0].uri) == "sip:4930@10.0.0.1:5060"
    assert (first.call_id, first.cseq.number, second.cseq.number) == (second.call_id, 1, 2)
    assert Credentials.parse(second.headers.get("Authorization") or "").algorithm == "SHA-256"
    assert scene.states == [TrunkState.TRYING, TrunkState.REGISTERED]
    assert scene.status == TrunkStatus(TRUNK, TrunkState.REGISTERED, START, START + 600, "for 600 s")
    assert scene.trusted == {"carrier": frozenset({"10.0.0.2"})}


def test_only_who_answered_is_trusted_of_all_that_the_name_leads_to(scene: Scene) -> None:
    (provider,) = scene.destinations
    scene.destinations[:] = [provider, replace(provider, host="192.0.2.7")]
    scene.start()
    assert scene.trusted == {"carrier": frozenset({"10.0.0.2"})}
    scene.provider.script = [status(503)]  # the next in the list is asked, and says nothing
    scene.run(600)
    assert "192.0.2.7" not in scene.trusted["carrier"]


def test_it_refreshes_before_the_time_is_up_and_says_nothing(scene: Scene) -> None:
    scene.provider.granted = 100
    scene.start()
    scene.run(89.9)
    assert len(scene.provider.requests) == 2
    scene.run(0.2)
    assert len(scene.provider.requests) == 4
    scene.run(400)
    assert {request.call_id for request in scene.provider.requests} == {scene.provider.requests[0].call_id}
    numbers = [request.cseq.number for request in scene.provider.requests]
    assert numbers == list(range(1, len(numbers) + 1))
    assert scene.states == [TrunkState.TRYING, TrunkState.REGISTERED]
    assert scene.status.since == START


def test_a_wrong_password_is_visible_and_not_hammered(scene: Scene) -> None:
    scene.provider.password = "another"
    scene.start()
    assert scene.states == [TrunkState.TRYING, TrunkState.REFUSED]
    assert scene.reasons[-1] == "the provider does not accept the username and password"
    assert len(scene.provider.requests) == 2
    scene.run(3600)
    assert len(scene.provider.requests) <= 2 * 12
    assert scene.states == [TrunkState.TRYING, TrunkState.REFUSED]
    scene.provider.password = "mine-alone"
    scene.run(750)
    assert scene.status.state is TrunkState.REGISTERED


def test_the_pauses_grow_to_ten_minutes(scene: Scene) -> None:
    scene.destinations.clear()
    asked: list[float] = []
    scene.start()
    assert scene.status.reason == "carrier.example was not found"
    while len(asked) < 10:
        at = scene.wire.hosts["pbx"].node.timer()
        assert at is not None
        asked.append(at - scene.wire.now)
        scene.run(at - scene.wire.now)
    for pause, base in zip(asked, [30, 60, 120, 240, 480, 600, 600, 600, 600, 600], strict=True):
        assert base * 0.75 <= pause <= base * 1.25
    assert len(set(asked)) == len(asked)  # never all trunks at once


def test_a_provider_that_does_not_answer_is_unreachable_until_it_does(scene: Scene) -> None:
    scene.wire.lose(*["REGISTER"] * 11)
    scene.start()
    scene.run(32)
    assert (scene.status.state, scene.status.reason) == (TrunkState.UNREACHABLE, "no final response in time")
    scene.run(60)
    assert scene.status.state is TrunkState.REGISTERED
    assert scene.states == [TrunkState.TRYING, TrunkState.UNREACHABLE, TrunkState.REGISTERED]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (403, TrunkState.REFUSED),
        (404, TrunkState.REFUSED),
        (302, TrunkState.REFUSED),
        (603, TrunkState.REFUSED),
        (500, TrunkState.UNREACHABLE),
        (503, TrunkState.UNREACHABLE),
    ],
)
def test_every_failure_has_its_state(scene: Scene, code: int, state: TrunkState) -> None:
    scene.provider.script = [status(code)]
    scene.start()
    assert scene.status.state is state
    assert scene.status.reason.startswith(f"{code} ")
    assert scene.trusted == {"carrier": frozenset()}


def test_retry_after_is_honoured(scene: Scene) -> None:
    scene.provider.script = [status(503, ("Retry-After", "300 (maintenance);duration=60"))]
    scene.start()
    scene.run(299)
    assert len(scene.provider.requests) == 1
    scene.run(2)
    assert scene.status.state is TrunkState.REGISTERED


def test_too_brief_is_asked_again_for_longer(scene: Scene) -> None:
    scene.provider.script = [status(423, ("Min-Expires", "1800"))]
    scene.provider.granted = 1800
    scene.start()
    assert [request.expires for request in scene.provider.requests] == [600, 1800, 1800]
    assert scene.status.state is TrunkState.REGISTERED


@pytest.mark.parametrize("headers", [(), (("Min-Expires", "600"),), (("Min-Expires", "soon"),)])
def test_a_423_that_makes_no_sense_is_a_refusal(scene: Scene, headers: Sequence[tuple[str, str]]) -> None:
    scene.provider.script = [status(423, *headers)]
    scene.start()
    assert scene.status.state is TrunkState.REFUSED


def test_a_stale_nonce_is_answered_anew_but_not_forever(scene: Scene) -> None:
    scene.provider.script = [scene.provider.challenge, lambda request: scene.provider.challenge(request, stale=True)]
    scene.start()
    assert scene.status.state is TrunkState.REGISTERED
    assert len(scene.provider.requests) == 3


def test_a_provider_that_is_never_content_is_left_alone(scene: Scene) -> None:
    scene.provider.script = [lambda request: scene.provider.challenge(request, stale=True)] * 20
    scene.start()
    assert scene.status.state is TrunkState.REFUSED
    assert len(scene.provider.requests) == 4


def test_a_kind_of_credentials_we_do_not_have_is_a_refusal(scene: Scene) -> None:
    scene.provider.script = [status(401, ("WWW-Authenticate", 'Bearer realm="x"'))]
    scene.start()
    assert scene.status.reason == "the provider asks for credentials of a kind we do not have"


def test_a_proxy_challenge_is_answered_as_one(scene: Scene) -> None:
    challenge = str(Challenge("carrier.example", "n", "MD5"))
    scene.provider.script = [status(407, ("Proxy-Authenticate", challenge)), scene.provider.accept]
    scene.start()
    assert scene.provider.requests[1].headers.get("Proxy-Authorization") is not None
    assert scene.status.state is TrunkState.REGISTERED


def test_what_is_granted_is_read_from_our_contact_or_the_message(scene: Scene) -> None:
    scene.provider.script = [status(200, ("Expires", "200"))]
    scene.start()
    assert scene.status.expires == START + 200


def test_a_registration_for_no_time_is_a_refusal(scene: Scene) -> None:
    scene.provider.granted = 0
    scene.start()
    assert scene.status.state is TrunkState.REFUSED


def test_trust_lasts_while_the_registration_does(scene: Scene) -> None:
    scene.start()
    scene.provider.script = [status(500)] * 100
    scene.run(545)
    assert scene.status.state is TrunkState.UNREACHABLE
    assert scene.trusted == {"carrier": frozenset({"10.0.0.2"})}  # still registered there
    scene.run(200)
    assert scene.trusted == {"carrier": frozenset()}


def test_stopping_deregisters_with_the_password(scene: Scene) -> None:
    scene.start()
    idle = []
    scene.registrations.stop(scene.wire.now)
    idle.append(scene.registrations.idle)
    scene.wire.settle()
    idle.append(scene.registrations.idle)
    assert idle == [False, True]
    assert [request.expires for request in scene.provider.requests] == [600, 600, 0, 0]
    assert scene.states[-1] is TrunkState.OFF
    assert scene.trusted == {"carrier": frozenset()}
    assert scene.registrations.status() == []
    scene.run(7200)
    assert len(scene.provider.requests) == 4


def test_stopping_what_is_not_registered_sends_nothing(scene: Scene) -> None:
    scene.provider.script = [status(403)]
    scene.start()
    scene.registrations.stop(scene.wire.now)
    scene.run(3600)
    assert len(scene.provider.requests) == 1
    assert scene.registrations.idle


def test_a_reload_leaves_what_did_not_change_in_peace(scene: Scene) -> None:
    scene.start()
    scene.start(replace(TRUNK, max_calls=5))
    assert len(scene.provider.requests) == 2
    scene.start(replace(TRUNK, register=replace(REGISTER, aor="4931")))
    assert [str(request.to.uri.user) for request in scene.provider.requests[2:]] == ["4930", "4931", "4930", "4931"]
    assert scene.status.state is TrunkState.REGISTERED
    scene.start(replace(TRUNK, register=None))
    assert scene.registrations.status() == []
    assert scene.provider.requests[-1].expires == 0


def test_a_trunk_without_registration_is_none_of_its_business(scene: Scene) -> None:
    scene.registrations.apply([replace(TRUNK, register=None), replace(TRUNK, proxy=None)], scene.wire.now)
    assert scene.registrations.status() == []


def test_an_answer_that_comes_after_the_stop_is_not_heard(scene: Scene) -> None:
    waiting: list[Tell] = []
    surroundings = replace(scene.registrations._surroundings, resolve=lambda _, tell: waiting.append(tell))
    scene.registrations = TrunkRegistrations(surroundings)
    scene.start()
    scene.registrations.stop(scene.wire.now)
    waiting[0](scene.destinations, scene.wire.now)
    scene.run(10)
    assert scene.provider.requests == []
