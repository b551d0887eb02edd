"""A peer without manners: any message at any time, well formed and out of place. Nothing raises, and it ends."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from pbxd.sip.message import Request
from pbxd.sip.session import Reliability, SessionSettings
from pbxd.sip.session.settings import Account
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Wire

SETTINGS = SessionSettings(
    reliable=Reliability.WHEN_SUPPORTED, session_expires=120, credentials=lambda realm: Account("me", "secret")
)
bodies = st.sampled_from([b"", b"", b"sdp one", b"sdp two"])
HEADERS = [
    ("Require", "100rel"),
    ("Require", "timer"),
    ("Require", "xyzzy"),
    ("Supported", "100rel, timer"),
    ("Allow", "INVITE, UPDATE, PRACK"),
    ("Allow", ""),
    ("RSeq", "1"),
    ("RSeq", "2"),
    ("RSeq", "999999999999999"),
    ("RSeq", "²"),
    ("RAck", "1 1 INVITE"),
    ("RAck", "² ² INVITE"),
    ("Session-Expires", "90;refresher=uac"),
    ("Session-Expires", "90;refresher=uas"),
    ("Session-Expires", "10"),
    ("Min-SE", "900"),
    ("Retry-After", "1"),
    ("Retry-After", "²"),
    ("WWW-Authenticate", 'Digest realm="r", nonce="n"'),
    ("WWW-Authenticate", 'Digest realm="r", nonce="m", stale=true'),
    ("WWW-Authenticate", "Digest"),
    ("Record-Route", "<sip:10.0.0.1;lr>"),
    ("Record-Route", "<sip:10.0.0.1>"),
    ("Contact", "<tel:+1555>"),
    ("Contact", "*"),
    ("Reason", "SIP;cause=1"),
]
headers = st.lists(st.sampled_from(HEADERS), max_size=4)
tags = st.sampled_from(["script", "script", "script", "other", ""])
METHODS = ["INVITE", "UPDATE", "PRACK", "BYE", "CANCEL", "ACK", "INFO", "OPTIONS"]
STATUSES = [100, 180, 183, 199, 200, 202, 300, 401, 407, 408, 422, 481, 486, 487, 488, 491, 500, 503, 603]
ACTIONS = ["ring", "early", "accept", "reject", "offer", "update", "answer", "refuse", "INFO", "hangup", "respond"]


class Rude(RuleBasedStateMachine):
    wire: Wire
    us: Party
    peer: Script
    number: int

    @initialize(outgoing=st.booleans(), offers=st.booleans(), up=st.booleans(), lines=headers, body=bodies)
    def begin(self, outgoing: bool, offers: bool, up: bool, lines: list[tuple[str, str]], body: bytes) -> None:
        self.wire = Wire()
        self.us, self.peer = Party(self.wire, "us", settings=SETTINGS, offers=offers), Script(self.wire, "peer")
        self.number = 1
        if outgoing:
            self.us.invite(self.peer)
            self.wire.settle()
        else:
            lines = [line for line in lines if line != ("Contact", "*")]
            self.peer.ask(self.us, "INVITE", 1, headers=[] if up else lines, sdp=body, contact=False)
        if up:
            self._bring_up(outgoing)

    def _bring_up(self, outgoing: bool) -> None:
        call, session = self.us.call, self.us.session
        if outgoing:
            self.peer.reply(self.us, self.peer.request("INVITE"), 200, sdp=b"answer", headers=[HEADERS[4]])
            session.answer(call.sdp(), self.wire.now)
        else:
            session.accept(call.sdp(), self.wire.now)
            self.wire.settle()
            self.peer.ask(self.us, "ACK", 1, to_tag=session.local_tag, sdp=b"answer")
        assert session.established

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 33.0]))
    def wait(self, seconds: float) -> None:
        self.wire.after(seconds)

    @rule(status=st.sampled_from(STATUSES), tag=tags, lines=headers, body=bodies, which=st.integers(0, 5))
    def peer_replies(self, status: int, tag: str, lines: list[tuple[str, str]], body: bytes, which: int) -> None:
        requests = [each for method in METHODS for each in self.peer.requests(method)]
        if requests:
            request = requests[-1 - which % len(requests)]
            self.peer.reply(self.us, request, status, tag=tag, headers=lines, sdp=body, contact=status % 2 == 0)

    @rule(lines=headers, body=bodies)
    def peer_agrees(self, lines: list[tuple[str, str]], body: bytes) -> None:
        """To the last request it got."""
        requests = [each for each in self.peer.got if isinstance(each, Request) and each.method != "ACK"]
        if requests:
            self.peer.reply(self.us, requests[-1], 200, headers=lines, sdp=body)

    @rule(method=st.sampled_from(METHODS), tag=tags, lines=headers, body=bodies, step=st.integers(-1, 2))
    def peer_asks(self, method: str, tag: str, lines: list[tuple[str, str]], body: bytes, step: int) -> None:
        if not self.us.calls:
            return
        self.number = max(1, self.number + step)
        session = self.us.session
        if method == "ACK" and session.unacked is not None:
            number = session.unacked.number
        else:
            number = self.number
        self.peer.ask(
            self.us,
            method,
            number,
            call_id=session.call_id,
            from_tag=tag,
            to_tag=session.local_tag,
            headers=lines,
            sdp=body,
            contact=False,
        )

    @rule(action=st.sampled_from(ACTIONS))
    def we_act(self, action: str) -> None:
        if not self.us.calls:
            return
        call, session, now = self.us.call, self.us.session, self.wire.now
        match action:
            case "ring":
                session.ring(180, now)
            case "early":
                session.ring(183, now, answer=call.sdp())
            case "accept":
                session.accept(call.sdp(), now)
            case "reject":
                session.reject(486, now)
            case "offer" | "update":
                session.offer(call.sdp(), now, prefer_update=action == "update")
            case "answer":
                session.answer(call.sdp(), now)
            case "refuse":
                session.refuse(488, now)
            case "respond" if call.requests:
                session.respond(call.requests.pop()[0], 200, now)
            case "INFO":
                session.request("INFO", now)
            case "hangup":
                session.hangup(now)
        self.wire.settle()

    def teardown(self) -> None:
        if hasattr(self, "wire"):
            for call in self.us.calls:
                call.session.hangup(self.wire.now)
            self.wire.after(40)
            assert nothing_left(self.wire, self.us)


TestRude = Rude.TestCase
TestRude.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
