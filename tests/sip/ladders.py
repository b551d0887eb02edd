"""How calls begin in many tests of sessions."""

from __future__ import annotations

from pbxd.sip.session import SessionSettings
from tests.sip.party import Party
from tests.sip.script import Script
from tests.wire import Wire

_ALLOW = [("Allow", "INVITE, ACK, BYE, UPDATE")]


def two(wire: Wire, *, settings: SessionSettings | None = None, offers: bool = True) -> tuple[Party, Party]:
    """Alice and Bob, who have nothing to do with each other yet; without `offers` Alice calls without SDP."""
    return Party(wire, "alice", settings=settings, offers=offers), Party(wire, "bob", settings=settings)


def call_up(alice: Party, bob: Party) -> tuple[Party, Party]:
    """Alice has called Bob, who has answered."""
    alice >> "INVITE" >> bob
    bob >> 200 >> alice
    alice >> "ACK" >> bob
    return alice, bob


def scripted_caller(wire: Wire) -> tuple[Script, Party, str]:
    """A script that has called bob with CSeq 1, and the tag it got."""
    alice, bob = Script(wire, "alice"), Party(wire, "bob")
    alice.ask(bob, "INVITE", 1, sdp=b"alice", headers=_ALLOW)
    bob.session.accept(b"bob", wire.now)
    wire.settle()
    tag = alice.response("INVITE").to.tag
    assert tag is not None
    alice.ask(bob, "ACK", 1, to_tag=tag)
    return alice, bob, tag


def scripted_callee(wire: Wire) -> tuple[Party, Script]:
    """A script that alice has called."""
    alice, bob = Party(wire, "alice"), Script(wire, "bob")
    alice.invite(bob)
    wire.settle()
    bob.reply(alice, bob.request("INVITE"), 200, sdp=b"bob", headers=_ALLOW)
    return alice, bob
