"""MESSAGE that leaves the house: by a route alone, and not past who looks out for toll fraud."""

from __future__ import annotations

import pytest

from pbxd.calls.admission import Refusal
from pbxd.directory.fraud import Outward
from pbxd.sip.digest import answer, read_challenges
from pbxd.sip.uri import Uri
from tests.calls.house import Handset, House
from tests.calls.test_gate import Suspicious
from tests.calls.test_switch import ask


async def test_a_message_never_leaves_by_the_default_carrier(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = house.directory
    monkeypatch.setattr(directory, "carrier", lambda account: directory.trunk(account, "wide"))
    asker, plain = Handset(house.wire, "asker"), "Content-Type: text/plain"

    def write(number: str) -> int:
        uri = f"sip:{number}@lab.test"
        (told,) = ask(house, asker, "MESSAGE", plain, uri=uri, user="1001", body="hello")
        proof = answer(
            read_challenges(told.headers.all("WWW-Authenticate")),
            method="MESSAGE",
            uri=Uri.parse(uri),
            username="1001",
            password="lab-1001",
            cnonce="c",
        )
        lines = (plain, f"Authorization: {proof}")
        return ask(house, asker, "MESSAGE", *lines, uri=uri, user="1001", body="hello")[-1].status

    assert write("+14155551234") == 404
    assert not [rung for rung in house.wire.rungs if rung.label == "MESSAGE" and rung.sender is house]
    house.switch.gate.watchman = watchman = Suspicious()
    assert write("7912") == 403
    assert watchman.tried == [Outward("post/1", directory.default_account.id, "1001", ("7912", "7912"))]
    assert not watchman.over
    assert not [rung for rung in house.wire.rungs if rung.label == "MESSAGE" and rung.sender is house]
    assert house.switch.refused[Refusal.TOLL_FRAUD] == 1


async def test_a_message_by_a_trunk_is_watched_like_a_short_call(house: House) -> None:
    house.switch.gate.watchman = watchman = Suspicious()
    asker, provider = Handset(house.wire, "asker"), Handset(house.wire, "provider")
    ask(house, asker, "MESSAGE", "Content-Type: text/plain", uri="sip:7123@lab.test", body="hello")
    house >> "MESSAGE" >> provider
    account_id = house.directory.default_account.id
    assert watchman.tried == [Outward("post/1", account_id, "anyone", ("7123", "7123"))]
    assert watchman.over == [("post/1", 0)]
    ask(house, asker, "MESSAGE", "Content-Type: text/plain", uri="sip:1002@lab.test", body="hello")
    assert len(watchman.tried) == 1  # to a phone of ours
