"""401 and 407 to anything we send (RFC 3261 §22)."""

from __future__ import annotations

import pytest

from pbxd.sip.digest import Challenge, Credentials, ha1, verify
from pbxd.sip.message import Request, Response, response_to
from pbxd.sip.session import EndCause, SessionSettings
from pbxd.sip.session.settings import Account
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Wire

REALM = "example.com"
MD5 = Challenge(REALM, "n1")
KNOWN = SessionSettings(credentials=lambda realm: Account("alice", "secret") if realm == REALM else None)


class Guard:
    """Challenges every request but ACK, CANCEL and what has good credentials; each of `nonces` in turn is the good
    one, changed by `turn`."""

    def __init__(self, *challenges: Challenge, status: int = 401) -> None:
        self.challenges = challenges
        self.status = status
        self.counts: list[int | None] = []
        self.header, self.reply = (
            ("Authorization", "WWW-Authenticate") if status == 401 else ("Proxy-Authorization", "Proxy-Authenticate")
        )

    def __call__(self, request: Request) -> Response | None:
        if request.method in ("ACK", "CANCEL"):
            return None
        text = request.headers.get(self.header)
        if text is not None:
            given = Credentials.parse(text)
            secret = ha1("alice", given.realm, "secret", given.algorithm)
            if given.nonce in {each.nonce for each in self.challenges} and verify(secret, request.method, given):
                self.counts.append(given.nonce_count)
                return None
        response = response_to(request, self.status)
        for challenge in self.challenges:
            response.headers.add(self.reply, str(challenge))
        return response


def guarded(wire: Wire, guard: Guard, settings: SessionSettings = KNOWN) -> tuple[Party, Party]:
    alice, bob = Party(wire, "alice", settings=settings), Party(wire, "bob")
    bob.challenge = guard
    return alice, bob


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_invite_with_credentials(status: int, algorithm: str) -> None:
    wire = Wire()
    guard = Guard(Challenge(REALM, "n1", algorithm), status=status)
    alice, bob = guarded(wire, guard)
    alice >> "INVITE" >> bob
    bob >> status >> alice
    alice >> "ACK" >> bob
    alice >> "INVITE" >> bob
    first, second = alice.sent("INVITE")
    assert (second.call_id, second.from_.tag, second.to.tag) == (first.call_id, first.from_.tag, None)
    assert second.cseq.number == first.cseq.number + 1
    assert second.body == first.body
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    assert alice.last("ACK").headers.get(guard.header) == second.headers.get(guard.header)  # RFC 3261 §22.1
    alice >> "UPDATE" >> bob
    bob >> 200 >> alice
    alice >> "BYE" >> bob
    bob >> 200 >> alice
    assert guard.counts == [1, 2, 3]  # never asked again: the nonce count rises
    assert alice.heard() == ["answered [bob 1]", "reanswer 200 [bob 2]", "ended LOCAL_HANGUP"]
    assert nothing_left(wire, alice, bob)


def test_the_strongest_of_several() -> None:
    wire = Wire()
    guard = Guard(MD5, Challenge(REALM, "n2", "SHA-256"), Challenge(REALM, "n3", "SHA3-9000"))
    alice, bob = guarded(wire, guard)
    alice >> "INVITE" >> bob
    bob >> 401 >> alice
    alice >> "ACK" >> bob
    alice >> "INVITE" >> bob
    text = alice.last("INVITE").headers.get("Authorization")
    assert text is not None
    assert Credentials.parse(text).algorithm == "SHA-256"
    bob >> 486 >> alice
    assert nothing_left(wire, alice, bob)


def test_ha1_is_enough() -> None:
    wire = Wire()
    account = Account("alice", ha1s=(("MD5", ha1("alice", REALM, "secret", "MD5")),))
    assert "secret" not in repr(Account("alice", "secret"))
    alice, bob = guarded(wire, Guard(MD5), SessionSettings(credentials=lambda realm: account))
    alice >> "INVITE" >> bob
    bob >> 401 >> alice
    alice >> "ACK" >> bob
    alice >> "INVITE" >> bob
    bob >> 486 >> alice
    assert nothing_left(wire, alice, bob)


@pytest.mark.parametrize(
    "settings",
    [
        SessionSettings(),
        SessionSettings(credentials=lambda realm: None),
        SessionSettings(credentials=lambda realm: Account("alice", "wrong")),
        SessionSettings(credentials=lambda realm: Account("alice", ha1s=(("SHA-256", "00"),))),
    ],
    ids=["none", "unknown realm", "wrong password", "no HA1 for it"],
)
def test_a_challenge_that_cannot_be_met_is_a_refusal(settings: SessionSettings) -> None:
    wire = Wire()
    alice, bob = guarded(wire, Guard(MD5), settings)
    alice.invite(bob)
    wire.after(1)
    assert alice.heard() == ["ended REJECTED 401"]
    assert len(alice.sent("INVITE")) <= 2
    assert nothing_left(wire, alice)


def test_a_scheme_we_do_not_know() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=KNOWN), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 401, headers=[("WWW-Authenticate", 'Basic realm="example.com"')])
    assert alice.call.ending.cause is EndCause.REJECTED
    assert nothing_left(wire, alice)


def test_a_stale_nonce_is_renewed() -> None:
    """RFC 7616 §3.3: stale=true says that the password was right."""
    wire = Wire()
    guard = Guard(MD5)
    alice, bob = guarded(wire, guard)
    alice >> "INVITE" >> bob
    bob >> 401 >> alice
    alice >> "ACK" >> bob
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    guard.challenges = (Challenge(REALM, "n2", stale=True),)
    alice >> "UPDATE" >> bob
    bob >> 401 >> alice
    alice >> "UPDATE" >> bob
    bob >> 200 >> alice
    assert guard.counts == [1, 1]
    nonces = [Credentials.parse(each.headers.get("Authorization") or "").nonce for each in alice.sent("UPDATE")]
    assert nonces == ["n1", "n2"]
    alice >> "BYE" >> bob
    bob >> 200 >> alice
    assert guard.counts == [1, 1, 2]
    assert nothing_left(wire, alice, bob)


def test_stale_for_ever() -> None:
    """A server that never likes a nonce does not keep us busy."""
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=KNOWN), Script(wire, "bob")
    alice.invite(bob)
    for number in range(10):
        wire.settle()
        if alice.call.endings:
            break
        challenge = Challenge(REALM, f"n{number}", stale=True)
        bob.reply(alice, bob.request("INVITE"), 401, headers=[("WWW-Authenticate", str(challenge))])
    assert len(bob.requests("INVITE")) == 2
    assert alice.heard() == ["ended REJECTED 401"]
    assert nothing_left(wire, alice)


def test_proxy_and_peer_both_ask() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=KNOWN), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 407, headers=[("Proxy-Authenticate", str(Challenge(REALM, "proxy")))])
    bob.reply(alice, bob.request("INVITE"), 401, headers=[("WWW-Authenticate", str(Challenge(REALM, "peer")))])
    last = bob.request("INVITE")
    assert Credentials.parse(last.headers.get("Proxy-Authorization") or "").nonce == "proxy"
    assert Credentials.parse(last.headers.get("Authorization") or "").nonce == "peer"
    bob.reply(alice, last, 200, sdp=b"bob")
    assert alice.session.established
    alice.session.hangup(wire.now)
    wire.settle()
    assert "Proxy-Authorization" in bob.request("BYE").headers
    bob.reply(alice, bob.request("BYE"), 200)
    assert nothing_left(wire, alice)


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "BYE"])
def test_a_challenge_in_the_dialog(method: str) -> None:
    wire = Wire()
    guard = Guard(MD5)
    alice, bob = Party(wire, "alice", settings=KNOWN), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    bob.challenge = guard
    alice >> method >> bob
    bob >> 401 >> alice
    if method == "INVITE":
        alice >> "ACK" >> bob
    alice >> method >> bob
    assert guard.counts == [1]
    if method != "BYE":
        bob >> 200 >> alice
        assert alice.session.established
        alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_given_up_while_it_is_challenged() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", settings=KNOWN), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    alice.session.hangup(wire.now)
    bob.reply(alice, bob.request("INVITE"), 401, headers=[("WWW-Authenticate", str(MD5))])
    assert alice.heard() == ["ended LOCAL_HANGUP"]
    assert len(bob.requests("INVITE")) == 1
    assert nothing_left(wire, alice)


def test_many_realms() -> None:
    """What a peer can make us remember is bounded."""
    wire = Wire()
    settings = SessionSettings(credentials=lambda realm: Account("alice", "secret"))
    alice, bob = Party(wire, "alice", settings=settings), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    for number in range(10):
        if alice.call.endings:
            break
        challenge = Challenge(f"realm{number}", "n")
        bob.reply(alice, bob.request("INVITE"), 401, headers=[("WWW-Authenticate", str(challenge))])
    assert len(bob.requests("INVITE")) == 5
    assert alice.heard() == ["ended REJECTED 401"]
    assert nothing_left(wire, alice)
