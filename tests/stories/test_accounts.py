"""Two tenants in one house: the same extensions in both, and no way from one to the other."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.clients.lab import Lab, connect
from tests.clients.phone import talk
from tests.clients.phones import Make
from tests.clients.raw_message import RawMessage, credentials, sdp
from tests.clients.raw_sip import RawDialog, RawSip, register_with

OTHER = "other.lab"
Register = Callable[..., RawSip]


@pytest.fixture
def registered(lab: Lab) -> Iterator[Callable[..., RawSip]]:
    """Registers phones; they are gone when the story is over."""
    with ExitStack() as leaving:

        def register(extension: str, *, domain: str = OTHER, user: str | None = None) -> RawSip:
            raw = lab.raw()
            password = f"{'other' if domain == OTHER else 'lab'}-{extension}"
            dialog = RawDialog.calling(raw, extension, extension, domain=domain)
            contact = f"<sip:{extension}@{raw.host}>"
            answer = register_with(dialog, user or extension, password, contact=contact)
            assert answer.status == 200, answer.start
            leaving.callback(register_with, dialog, user or extension, password, contact=contact, expires=0)
            return raw

        yield register


def calling(phone: RawSip, number: str, *, at: str = OTHER, user: str = "1001", domain: str = OTHER) -> RawDialog:
    dialog = RawDialog.calling(phone, user, number, domain=domain)
    dialog.target = f"sip:{number}@{at}"
    return dialog


def refused(dialog: RawDialog, password: str, *, user: str = "1001") -> RawMessage:
    answer, sent = dialog.invite(sdp(dialog.sip.address, 20_000), user=user, password=password)
    dialog.acknowledge_failure(sent, answer)
    return answer


@pytest.mark.parametrize("at", [OTHER, "127.0.0.1"], ids=["by-domain", "by-address"])
def test_phones_of_the_other_account_reach_each_other_and_nobody_else(lab: Lab, registered: Register, at: str) -> None:
    caller, callee = registered("1001"), registered("1002")
    namesake = registered("1002", domain="127.0.0.1")
    dialog = calling(caller, "1002", at=at)
    body = sdp(caller.address, 20_000, formats="0")
    sent = dialog.send("INVITE", body=body)
    challenge = caller.response(401, method="INVITE")
    dialog.acknowledge_failure(sent, challenge)
    asked = challenge["WWW-Authenticate"]
    assert f'realm="{OTHER}"' in asked
    proof = credentials(asked, user="1001", password="other-1001", method="INVITE", uri=dialog.target)
    sent = dialog.send("INVITE", body=body, extra=[("Authorization", proof)])
    invite = callee.request("INVITE")
    assert f"sip:1001@{OTHER}" in invite["From"]
    assert f"sip:1002@{OTHER}" in invite["To"]
    assert namesake.drain(0.3) == []
    callee.respond(invite, 486, tag="busy")
    dialog.acknowledge_failure(sent, caller.response(486, method="INVITE"))
    assert lab.record()["sip_status"] == 486


def test_real_phones_of_the_other_account_talk(lab: Lab) -> None:
    def line(extension: str) -> dict[str, Any]:
        return {"domain": OTHER, "password": f"other-{extension}"}

    caller = lab.phone(Make.BARESIP_DEBIAN, "1001", **line("1001"))
    callee = lab.phone(Make.BARESIP_DEBIAN, "1002", **line("1002"))
    outgoing, incoming = connect(caller, callee)
    talk(outgoing, incoming)
    outgoing.hang_up()
    incoming.ended()


@pytest.mark.parametrize("dialled", ["+12025550123", "12025550123", "01112025550123"])
def test_a_trunk_calls_a_number_of_the_lab(lab: Lab, dialled: str) -> None:
    raw = lab.raw(address="127.0.0.11")
    dialog = RawDialog.calling(raw, "4930123456", dialled, domain="peer.example")
    answer, _ = dialog.invite(sdp("127.0.0.11", 20_002, formats="0"))
    assert answer.status in (180, 183, 200), answer.start
    ok = answer if answer.status == 200 else raw.response(200, method="INVITE")
    dialog.acknowledge(ok)
    dialog.send("BYE")
    assert raw.response(method="BYE").status == 200
    record = lab.record()
    assert (record["direction"], record["called"], record["result"]) == ("inbound", dialled, "success")


def test_a_password_of_one_account_opens_nothing_in_the_other(lab: Lab) -> None:
    raw = lab.raw()
    for domain, password in ((OTHER, "lab-1001"), ("127.0.0.1", "other-1001")):
        dialog = RawDialog.calling(raw, "1001", "1001", domain=domain)
        assert register_with(dialog, "1001", password).status == 401


def test_a_log_in_may_carry_the_domain(lab: Lab, registered: Register) -> None:
    registered("1003", user=f"1003@{OTHER}")
    raw = lab.raw()
    dialog = RawDialog.calling(raw, "1003", "1003", domain=OTHER)
    answer = register_with(dialog, "1003@127.0.0.1", "other-1003", contact=f"<sip:1003@{raw.host}>")
    assert answer.status == 401


def test_a_phone_of_the_lab_cannot_call_into_the_other_account(lab: Lab, registered: Register) -> None:
    registered("1002")
    phone = registered("1001", domain="127.0.0.1")
    dialog = calling(phone, "1002", domain="127.0.0.1")
    assert refused(dialog, "lab-1001").status == 404
    assert lab.record()["reason"] == "the number is one of another account"


def test_numbers_of_the_lab_are_not_those_of_the_other_account(lab: Lab, registered: Register) -> None:
    phone = registered("1001")
    registered("1004", domain="127.0.0.1")
    for number in ("1004", "600", "500", "8001", "700"):
        assert refused(calling(phone, number), "other-1001").status == 404


def test_a_phone_made_by_api_calls_at_once_and_is_gone_with_its_user(lab: Lab, registered: Register) -> None:
    house, directory = lab.house, "/house/v1/directory"
    wishes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("users", {"name": "1009", "display_name": "Made", "forward_always": None}),
        ("devices", {"auth_username": "1009", "user": "1009", "password": "other-1009"}),
        ("extensions", {"number": "1009", "user": "1009"}),
    )
    for word, wish in wishes:
        house.tell("POST", f"{directory}/{word}?account=other", wish)
    phone, callee = registered("1009"), registered("1002")
    dialog = calling(phone, "1002", user="1009")
    sent = dialog.send("INVITE", body=sdp(phone.address, 20_000, formats="0"))
    challenge = phone.response(401, method="INVITE")
    dialog.acknowledge_failure(sent, challenge)
    proof = credentials(
        challenge["WWW-Authenticate"], user="1009", password="other-1009", method="INVITE", uri=dialog.target
    )
    sent = dialog.send("INVITE", body=sdp(phone.address, 20_000, formats="0"), extra=[("Authorization", proof)])
    invite = callee.request("INVITE")
    assert '"Made" <sip:1009@other.lab>' in invite["From"]
    callee.respond(invite, 486, tag="busy")
    dialog.acknowledge_failure(sent, phone.response(486, method="INVITE"))
    assert lab.record()["account_id"] == house.get("/house/v1/accounts/other")["id"]

    def aors() -> list[str]:
        return [one["aor"] for one in house.get("/house/v1/registrations?account=other")["registrations"]]

    assert "1009" in aors()
    assert "1009" not in [one["aor"] for one in house.registrations()]
    for word, _ in reversed(wishes):
        house.tell("DELETE", f"{directory}/{word}/1009?account=other")
    assert "1009" not in aors()
