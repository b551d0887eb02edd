"""Where a session's requests go: NAT, connections, names; and sessions written down and taken up again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random

import pytest

from pbxd.sip.dialog import DialogState
from pbxd.sip.flow import Destination, Transport
from pbxd.sip.session import EndCause, Session, SessionSettings, SessionTable
from pbxd.sip.transaction import Failure
from pbxd.sip.uri import Uri
from tests.sip.party import Call, Party, nothing_left
from tests.sip.script import Script
from tests.wire import Weather, Wire

NAT = ("203.0.113.5", 33333)


def test_a_phone_behind_nat_calls() -> None:
    """Its Contact is an address nobody can reach: BYE goes where the INVITE came from."""
    wire = Wire()
    phone, pbx = Party(wire, "phone", behind=NAT), Party(wire, "pbx")
    phone >> "INVITE" >> pbx
    pbx >> 200 >> phone
    phone >> "ACK" >> pbx
    pbx >> "INVITE" >> phone
    phone >> 200 >> pbx
    pbx >> "ACK" >> phone
    pbx >> "BYE" >> phone
    phone >> 200 >> pbx
    assert nothing_left(wire, phone, pbx)


def test_a_phone_behind_nat_is_called() -> None:
    """The way to it is the one the INVITE went (its registered flow), not the Contact of its 200."""
    wire = Wire()
    pbx, phone = Party(wire, "pbx"), Party(wire, "phone", behind=NAT)
    pbx >> "INVITE" >> phone
    phone >> 180 >> pbx
    phone >> 200 >> pbx
    pbx >> "ACK" >> phone
    pbx >> "BYE" >> phone
    assert nothing_left(wire, phone, pbx)


def test_a_nat_that_changes_its_mind() -> None:
    """The last message says where the phone is."""
    wire = Wire()
    phone, pbx = Script(wire, "phone", behind=NAT), Party(wire, "pbx")
    other = Script(wire, "other", behind=("203.0.113.5", 44444))
    other.contact = phone.contact
    phone.ask(pbx, "INVITE", 1, sdp=b"phone")
    pbx.session.accept(b"pbx", wire.now)
    wire.settle()
    tag = phone.response("INVITE").to.tag
    other.ask(pbx, "ACK", 1, to_tag=tag)
    pbx.session.hangup(wire.now)
    wire.settle()
    assert other.request("BYE").uri.host == phone.address[0]
    assert phone.requests("BYE") == []
    other.reply(pbx, other.request("BYE"), 200)
    assert nothing_left(wire, pbx)


def test_not_symmetric() -> None:
    wire = Wire()
    phone = Script(wire, "phone", behind=NAT)
    pbx = Party(wire, "pbx", settings=SessionSettings(symmetric=False))
    elsewhere = Script(wire, "elsewhere")
    phone.contact = elsewhere.contact
    phone.ask(pbx, "INVITE", 1, sdp=b"phone")
    pbx.session.accept(b"pbx", wire.now)
    wire.settle()
    phone.ask(pbx, "ACK", 1, to_tag=phone.response("INVITE").to.tag)
    pbx.session.hangup(wire.now)
    wire.settle()
    elsewhere.reply(pbx, elsewhere.request("BYE"), 200)
    assert nothing_left(wire, pbx)


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_by_connection(transport: Transport) -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", transport=transport), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    bob >> "BYE" >> alice
    alice >> 200 >> bob
    assert len(wire.streams) == 1
    assert nothing_left(wire, alice, bob)


def test_a_connection_is_lost_in_the_call() -> None:
    """The BYE cannot be sent: the session ends here all the same."""
    wire = Wire()
    alice, bob = Party(wire, "alice", transport=Transport.TCP, behind=NAT), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    wire.cut(alice)
    del wire._by_address[NAT]
    bob.session.hangup(wire.now)
    wire.after(1)
    assert bob.heard()[-1] == "ended LOCAL_HANGUP"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_a_connection_is_lost_before_the_answer() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice", transport=Transport.TCP), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 180 >> alice
    wire.cut(alice)
    wire.after(1)
    assert alice.heard() == ["progress 180", "ended TRANSPORT 503"]
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


def test_a_connection_is_lost_before_the_ack() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    transaction = bob.session._acceptance.transaction  # type: ignore[union-attr]
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    assert bob.table.server_failed(transaction, Failure.TRANSPORT, wire.now)
    assert bob.heard() == ["ended TRANSPORT"]
    assert nothing_left(wire, bob)


def test_a_connection_is_lost_before_our_answer() -> None:
    wire = Wire()
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice")
    transaction = bob.session._acceptance.transaction  # type: ignore[union-attr]
    assert bob.table.server_failed(transaction, Failure.TRANSPORT, wire.now)
    assert bob.heard() == ["ended TRANSPORT"]
    assert len(bob.table) == 0


def test_several_destinations() -> None:
    """RFC 3263 §4.3: the second is tried when the first fails; the dialog is with the one that answered."""
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    nowhere = Destination(Transport.TCP, "192.0.2.99", 5060)
    alice.invite(bob, destinations=[nowhere, bob.destination()])
    wire.settle()
    bob.act(200, alice)
    wire.settle()
    assert alice.session.established
    assert alice.session.dialog is not None
    assert alice.session.dialog.peer == bob.destination()
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob)


class Names:
    """Stands for RFC 3263: remembers the questions, answers when told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Callable[[Sequence[Destination]], None]]] = []

    def __call__(self, uri: Uri, found: Callable[[Sequence[Destination]], None]) -> None:
        self.asked.append((uri.host, found))


def test_a_contact_that_is_a_name() -> None:
    wire = Wire()
    names = Names()
    alice, bob = Party(wire, "alice", settings=SessionSettings(resolve=names)), Script(wire, "bob")
    elsewhere = Script(wire, "elsewhere")
    alice.invite(bob)
    wire.settle()
    bob.contact = "<sip:bob@host.example.com>"
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob")
    assert bob.request("ACK").uri.host == "host.example.com"  # not found yet: the way the INVITE went
    ((host, found),) = names.asked
    assert host == "host.example.com"
    found([elsewhere.destination()])
    alice.session.hangup(wire.now)
    wire.settle()
    elsewhere.reply(alice, elsewhere.request("BYE"), 200)
    assert nothing_left(wire, alice)


# ---- written down


def test_a_session_lives_on_in_another_process() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    alice >> "UPDATE" >> bob
    bob >> 200 >> alice
    before = bob.session
    plain = json.loads(json.dumps(before.to_plain()))
    wire.after(40)

    bob.stack = bob.node = wire.stack("bob")
    bob.stack.core = bob
    bob.table = SessionTable(bob.stack, rng=Random(5))
    call = Call(bob)
    call.session = Session.from_plain(plain, bob.stack, table=bob.table, settings=bob.settings, user=call, now=wire.now)
    bob.calls = [call]
    assert call.session.established
    assert call.session.to_plain() == plain
    assert (call.session.local_sdp, call.session.remote_sdp) == (before.local_sdp, before.remote_sdp)
    assert (call.session.allow, call.session.peer_supports) == (before.allow, before.peer_supports)
    alice >> "INFO" >> bob
    bob >> 200 >> alice
    bob >> "INVITE" >> alice
    alice >> 200 >> bob
    bob >> "ACK" >> alice
    bob >> "BYE" >> alice
    assert alice.call.ending.cause is EndCause.REMOTE_BYE
    wire.after(70)
    assert call.ending.cause is EndCause.LOCAL_HANGUP
    assert bob.stack.idle


def test_a_session_timer_lives_on() -> None:
    wire = Wire()
    settings = SessionSettings(session_expires=100)
    alice, bob = Party(wire, "alice", settings=settings), Party(wire, "bob", settings=settings)
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    plain = bob.session.to_plain()
    other = Party(wire, "other", settings=settings)
    call = Call(other)
    other.calls = [call]
    call.session = Session.from_plain(plain, other.stack, table=other.table, settings=settings, user=call, now=wire.now)
    wire.weather = Weather(loss=1)
    wire.after(68)
    assert call.ending.cause is EndCause.SESSION_EXPIRED
    bob.session.hangup(wire.now)
    assert nothing_left(wire, alice, bob, other)


def test_only_an_established_session_is_written_down() -> None:
    wire = Wire()
    alice, bob = Party(wire, "alice"), Party(wire, "bob")
    alice >> "INVITE" >> bob
    with pytest.raises(ValueError, match="not in CALLING"):
        alice.session.to_plain()
    bob >> 486 >> alice
    with pytest.raises(ValueError, match="not in ENDED"):
        bob.session.to_plain()
    assert bob.session.dialog is not None
    assert bob.session.dialog.state is DialogState.TERMINATED
    assert nothing_left(wire, alice, bob)
