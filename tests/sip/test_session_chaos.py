"""Two user agents that do whatever comes to mind on a bad wire: however it goes, it ends, once, and nothing is left."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pbxd.sip.session import Reliability, SessionSettings, SessionState
from tests.sip.party import Party, nothing_left
from tests.wire import Weather, Wire

WEATHERS = {
    "fair": Weather(delay=0.02),
    "lossy": Weather(loss=0.2, delay=0.02),
    "doubling": Weather(duplicate=0.3, delay=0.02, jitter=0.03),
    "shuffled": Weather(reorder=0.4, hold=1.5, delay=0.02, jitter=0.1),
    "awful": Weather(loss=0.15, duplicate=0.15, reorder=0.3, hold=2.0, delay=0.1, jitter=0.3),
    "dead": Weather(loss=1.0),
}
KINDS = {
    "plain": SessionSettings(supported=("timer",), allow=("INVITE", "ACK", "BYE", "CANCEL", "INFO")),
    "full": SessionSettings(reliable=Reliability.WHEN_SUPPORTED),
    "brisk": SessionSettings(reliable=Reliability.WHEN_SUPPORTED, session_expires=90),
}


class Chaos(RuleBasedStateMachine):
    wire: Wire
    alice: Party
    bob: Party

    @initialize(
        seed=st.integers(0, 2**32),
        weather=st.sampled_from(sorted(WEATHERS)),
        kinds=st.tuples(st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(KINDS))),
        offers=st.booleans(),
        up=st.booleans(),
    )
    def begin(self, seed: int, weather: str, kinds: tuple[str, str], offers: bool, up: bool) -> None:
        self.wire = Wire(seed=seed)
        self.alice = Party(self.wire, "alice", settings=KINDS[kinds[0]], offers=offers)
        self.bob = Party(self.wire, "bob", settings=KINDS[kinds[1]])
        self.alice.invite(self.bob)
        self.wire.settle()
        if up:
            self.bob.act(200, self.alice)
            self.wire.settle()
            if not offers:
                self.alice.session.answer(self.alice.call.sdp(), self.wire.now)
            self.wire.settle()
            assert self.alice.session.established
            assert self.bob.session.established
        self.wire.weather = WEATHERS[weather]

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.05, 0.3, 1.0, 5.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.wire.after(seconds)

    @rule(weather=st.sampled_from(sorted(WEATHERS)))
    def change_the_weather(self, weather: str) -> None:
        self.wire.weather = WEATHERS[weather]

    @precondition(lambda self: self.bob.calls)
    @rule(status=st.sampled_from([180, 183, 183, 200, 200, 200, 302, 486]))
    def bob_answers(self, status: int) -> None:
        call = self.bob.call
        if call.session.held is not None and status < 200:
            return
        call.requests.clear()
        self.bob.act(status, self.alice)

    @rule(status=st.sampled_from([200, 488]))
    def alice_answers(self, status: int) -> None:
        session = self.alice.session
        if session.held is not None:
            self.alice.act(status, self.bob)
        elif session.remote_offer is not None and status == 200:
            session.answer(self.alice.call.sdp(), self.wire.now)

    @rule(
        who=st.booleans(),
        what=st.sampled_from(["INVITE", "UPDATE", "INVITE", "UPDATE", "INFO", "BYE", "answer INFO"]),
    )
    def somebody_acts(self, who: bool, what: str) -> None:
        party, other = (self.alice, self.bob) if who else (self.bob, self.alice)
        if not party.calls:
            return
        if what == "answer INFO":
            for transaction, _ in party.call.requests:
                party.session.respond(transaction, 200, self.wire.now)
            party.call.requests.clear()
        elif what != "INVITE" or not party.session.ended:
            party.act(what, other)

    def teardown(self) -> None:
        if not hasattr(self, "wire"):
            return
        wire = self.wire
        for party in (self.alice, self.bob):
            if party.calls:
                for transaction, _ in party.call.requests:
                    party.session.respond(transaction, 200, wire.now)
                party.session.hangup(wire.now)
        wire.after(40)  # an ACK that never comes is waited for, and then BYE
        for party in (self.alice, self.bob):
            for call in party.calls:
                call.session.hangup(wire.now)
        assert nothing_left(wire, self.alice, self.bob)
        for party in (self.alice, self.bob):
            assert all(call.session.state is SessionState.ENDED for call in party.calls)


TestChaos = Chaos.TestCase
TestChaos.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
