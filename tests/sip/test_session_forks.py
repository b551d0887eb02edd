"""One INVITE, several peers: a proxy downstream has forked it (RFC 3261 §13.2.2.4)."""

from __future__ import annotations

from pbxd.sip.session import EndCause
from tests.sip.party import Party, nothing_left
from tests.sip.script import Script
from tests.wire import Wire


def forked(wire: Wire, *, offers: bool = True) -> tuple[Party, Script]:
    alice, proxy = Party(wire, "alice", offers=offers), Script(wire, "proxy")
    alice.invite(proxy)
    wire.settle()
    return alice, proxy


def test_the_first_2xx_wins() -> None:
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 180, tag="one")
    proxy.reply(alice, invite, 183, tag="two", sdp=b"early two")
    proxy.reply(alice, invite, 200, tag="one", sdp=b"one")
    assert alice.heard() == ["progress 180", "progress 183 [early two]", "answered [one]"]
    assert proxy.request("ACK").to.tag == "one"
    assert alice.session.dialog is not None
    assert alice.session.dialog.remote_tag == "one"
    alice.session.hangup(wire.now)
    wire.settle()
    assert proxy.request("BYE").to.tag == "one"
    proxy.reply(alice, proxy.request("BYE"), 200)
    assert nothing_left(wire, alice)


def test_a_later_2xx_gets_ack_and_bye_at_once() -> None:
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 180, tag="one")
    proxy.reply(alice, invite, 180, tag="two")
    proxy.reply(alice, invite, 200, tag="one", sdp=b"one")
    for _ in range(2):  # it comes again: the ACK too, the BYE not
        proxy.reply(alice, invite, 200, tag="two", sdp=b"two")
    assert [ack.to.tag for ack in proxy.requests("ACK")] == ["one", "two", "two"]
    assert [bye.to.tag for bye in proxy.requests("BYE")] == ["two"]
    proxy.reply(alice, proxy.request("BYE"), 200)
    assert alice.session.established
    assert alice.session.remote_sdp == b"one"
    assert alice.heard() == ["progress 180", "progress 180", "answered [one]"]
    proxy.ask(alice, "BYE", 1, call_id=invite.call_id, from_tag="one", to_tag=invite.from_.tag)
    assert proxy.response("BYE").status == 200
    assert nothing_left(wire, alice)


def test_a_second_2xx_after_the_end() -> None:
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 200, tag="one", sdp=b"one")
    alice.session.hangup(wire.now)
    wire.settle()
    proxy.reply(alice, proxy.request("BYE"), 200)
    assert alice.heard() == ["answered [one]", "ended LOCAL_HANGUP"]
    proxy.reply(alice, invite, 200, tag="two", sdp=b"two")
    assert [each.to.tag for each in (*proxy.requests("ACK"), *proxy.requests("BYE"))] == ["one", "two", "one", "two"]
    assert nothing_left(wire, alice)


def test_each_fork_numbers_its_own_reliable_responses() -> None:
    """RFC 3262 §4: RSeq and PRACK belong to an early dialog."""
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    for tag, number in (("one", 7), ("two", 100), ("one", 8)):
        headers = [("Require", "100rel"), ("RSeq", str(number))]
        proxy.reply(alice, invite, 183, tag=tag, headers=headers, sdp=f"early {tag}".encode())
        proxy.reply(alice, proxy.request("PRACK"), 200, tag=tag)
    assert [(each.to.tag, (each.headers.get("RAck") or "")[:3]) for each in proxy.requests("PRACK")] == [
        ("one", "7 " + str(invite.cseq.number)[0]),
        ("two", "100"),
        ("one", "8 " + str(invite.cseq.number)[0]),
    ]
    assert [each.cseq.number - invite.cseq.number for each in proxy.requests("PRACK")] == [1, 1, 2]
    assert alice.heard() == ["progress 183 [early one]", "progress 183 [early two]", "progress 183"]
    proxy.reply(alice, invite, 200, tag="two")
    assert alice.heard()[-1] == "answered"
    assert alice.session.remote_sdp == b"early two"
    proxy.ask(alice, "BYE", 1, call_id=invite.call_id, from_tag="two", to_tag=invite.from_.tag)
    assert nothing_left(wire, alice)


def test_a_request_in_another_early_dialog() -> None:
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 180, tag="one")
    proxy.reply(alice, invite, 180, tag="two")
    proxy.ask(alice, "INFO", 1, call_id=invite.call_id, from_tag="one", to_tag=invite.from_.tag)
    assert alice.heard()[-1] == "request INFO"
    alice.act(200, proxy)
    wire.settle()
    assert proxy.response("INFO").status == 200
    proxy.ask(alice, "INFO", 2, call_id=invite.call_id, from_tag="three", to_tag=invite.from_.tag)
    assert proxy.response("INFO").status == 481
    proxy.reply(alice, invite, 486, tag="one")
    assert alice.call.ending.cause is EndCause.REJECTED
    assert nothing_left(wire, alice)


def test_the_losing_forks_of_a_delayed_offer() -> None:
    """The loser's offer gets an ACK without an answer, and its BYE."""
    wire = Wire()
    alice, proxy = forked(wire, offers=False)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 200, tag="one", sdp=b"offer one")
    proxy.reply(alice, invite, 200, tag="two", sdp=b"offer two")
    assert [ack.to.tag for ack in proxy.requests("ACK")] == ["two"]
    alice.session.answer(b"mine", wire.now)
    wire.settle()
    assert (proxy.request("ACK").to.tag, proxy.request("ACK").body) == ("one", b"mine")
    assert alice.session.remote_sdp == b"offer one"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice)


def test_too_many_forks() -> None:
    """What a peer can make us remember is bounded; a 2xx is always looked at."""
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    for number in range(40):
        proxy.reply(alice, invite, 180, tag=f"fork{number}")
    assert len(alice.heard()) == 40
    proxy.reply(alice, invite, 200, tag="fork39", sdp=b"me")
    assert alice.heard()[-1] == "answered [me]"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice)


def test_the_route_set_is_that_of_the_2xx() -> None:
    """RFC 3261 §12.1.2, §13.2.2.4: Record-Route of the 2xx, in reverse, whatever the 18x said."""
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    address = f"{proxy.address[0]}:{proxy.address[1]}"
    proxy.reply(alice, invite, 180, tag="one", headers=[("Record-Route", "<sip:10.9.9.9;lr>")])
    record = [("Record-Route", f"<sip:far.example.com;lr>, <sip:{address};lr>")]
    proxy.reply(alice, invite, 200, tag="one", sdp=b"one", headers=record)
    ack = proxy.request("ACK")
    assert ack.headers.values("Route") == [f"<sip:{address};lr>", "<sip:far.example.com;lr>"]
    assert ack.uri.user == "proxy"
    alice.session.hangup(wire.now)
    assert nothing_left(wire, alice)


def test_a_peer_without_a_tag() -> None:
    """RFC 2543 peers have none: their 18x makes no dialog, their 2xx does (RFC 3261 §12.1.2)."""
    wire = Wire()
    alice, proxy = forked(wire)
    invite = proxy.request("INVITE")
    proxy.reply(alice, invite, 180, tag="")
    assert alice.session.dialog is None
    proxy.reply(alice, invite, 200, tag="", sdp=b"old")
    assert alice.heard() == ["progress 180", "answered [old]"]
    proxy.ask(alice, "BYE", 1, call_id=invite.call_id, from_tag="", to_tag=invite.from_.tag)
    assert proxy.response("BYE").status == 200
    assert nothing_left(wire, alice)
