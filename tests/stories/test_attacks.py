"""Somebody attacks from 127.0.0.66: banned within 30 packets and two seconds, none the wiser, unnoticed by others."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.attacker import Attack, attack, disguised
from tests.clients.house import House
from tests.clients.lab import Lab, converse, end, eventually
from tests.clients.phones import Make
from tests.clients.raw_message import credentials
from tests.clients.raw_sip import RawDialog, RawSip, register

ATTACKER = "127.0.0.66"
EXTENSIONS = tuple(str(number) for number in range(1001, 1011))
MAX_PACKETS, MAX_S = 30, 2.0
OTHER_AGENT = "Yealink SIP-T46G 28.83.0.120"


def bans(house: House) -> list[tuple[str, str]]:
    """Who is banned, and for what."""
    return [(ban["network"], ban["cause"]) for ban in house.get("/house/v1/security/bans")["bans"]]


def nothing_learned(outcome: Attack) -> None:
    """No extension of the house is told apart from any other."""
    found = [number for number in EXTENSIONS if f" {number} " in outcome.output or f"|{number}" in outcome.output]
    assert not found, outcome.output
    assert len({answer.split(" ", 1)[1] for answer in outcome.answers}) <= 1, outcome.answers


def stopped_in_time(house: House, outcome: Attack, *causes: str) -> None:
    ((network, cause),) = bans(house)
    assert (network, cause in causes) == (ATTACKER, True), cause
    assert outcome.sent <= MAX_PACKETS, f"{outcome.sent} packets were heard"
    assert outcome.lasted_s <= MAX_S


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("svmap", ()),
        ("svwar", ("-e", "1000-1100", "--force")),
        ("svwar", ("-e", "1000-1100", "-m", "INVITE", "--force")),
        ("svwar", ("-e", "1000-1100", "-m", "OPTIONS", "--force")),
        ("svcrack", ("-u", "1001", "-r", "1-900")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value).replace("--", ""),
)
def test_sipvicious_as_it_is(
    new_lab: Callable[..., Lab], tmp_path: Path, program: str, arguments: tuple[str, ...]
) -> None:
    lab = new_lab()
    outcome = attack(program, *arguments, source=ATTACKER, target=lab.house.sip, folder=tmp_path, seconds=4)
    stopped_in_time(lab.house, outcome, "scanner")
    nothing_learned(outcome)


def test_sipvicious_under_another_name_beside_phones_at_work(new_lab: Callable[..., Lab], tmp_path: Path) -> None:
    """What it does gives it away. Phones on 127.0.0.1 register, call and talk meanwhile."""
    lab = new_lab()
    house, package = lab.house, disguised(tmp_path, OTHER_AGENT)
    one = lab.phone(Make.PJSUA2, "1001", address="127.0.0.1")
    other = lab.phone(Make.PJSUA2, "1002", address="127.0.0.1")
    calls = converse(one, other)

    def run(program: str, *arguments: str) -> Attack:
        return attack(
            program, *arguments, source=ATTACKER, target=house.sip, folder=tmp_path, package=package, seconds=4
        )

    # svmap sends one OPTIONS, which every phone may; svwar gives up by itself: all extensions answer alike
    assert run("svmap").answers == ("SIP/2.0 200 OK",)
    for method in ("REGISTER", "INVITE"):
        outcome = run("svwar", "-e", "1000-1100", "-m", method, "--force")
        assert set(outcome.answers) == {"SIP/2.0 401 Unauthorized"}
        nothing_learned(outcome)
    assert bans(house) == []

    outcome = run("svwar", "-e", "1000-1100", "-m", "OPTIONS", "--force")
    nothing_learned(outcome)
    stopped_in_time(house, outcome, "spray")
    house.order("POST", "/house/v1/security/unban", {"network": ATTACKER})

    outcome = run("svcrack", "-u", "1001", "-r", "1-900")
    stopped_in_time(house, outcome, "guessing")
    assert {answer.split()[1] for answer in outcome.answers} == {"401", "403"}
    assert house.metrics()['pbxd_bans_made_total{cause="guessing"}'] == 1

    end(*calls)
    third = lab.phone(Make.BARESIP_PY, "1003")
    end(*converse(third, one))
    assert {binding["aor"] for binding in house.registrations()} == {"1001", "1002", "1003"}


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH"])
def test_whoever_asks_around_for_extensions(new_lab: Callable[..., Lab], method: str) -> None:
    """At the pace of a scanner; every extension, known or not, answers alike until nothing does."""
    lab = new_lab()
    raw = lab.raw(address=ATTACKER)
    statuses: list[int | None] = []
    began = time.monotonic()
    for number in range(995, 1050):
        dialog = RawDialog.calling(raw, str(number), str(number))
        dialog.send(method)
        heard = raw.drain(0.01)
        statuses += [message.status for message in heard if message.method == method]
    took = time.monotonic() - began
    assert bans(lab.house) == [(ATTACKER, "spray")]
    assert len(set(statuses)) == 1, statuses
    assert len(statuses) <= MAX_PACKETS
    assert took < MAX_S + 1


def test_a_ban_closes_connections_and_opens_no_new_ones(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    stream = lab.raw(address=ATTACKER, tcp=True)
    RawDialog.calling(stream, "ping", "600").send("OPTIONS")
    assert stream.response(method="OPTIONS").status == 200
    healthy = lab.raw(tcp=True)
    ban = lab.house.order("POST", "/house/v1/security/bans", {"network": "127.0.0.64/26", "duration_s": 60})
    eventually(lambda: not stream._receive(time.monotonic() + 0.1), "the connection to be closed")
    with socket.socket() as refused:
        refused.bind((ATTACKER, 0))
        refused.connect(lab.house.sip)
        refused.settimeout(3)
        assert refused.recv(100) == b""
    datagrams = lab.raw(address=ATTACKER)
    RawDialog.calling(datagrams, "ping", "600").send("OPTIONS")
    assert datagrams.drain(0.3) == []
    RawDialog.calling(healthy, "ping", "600").send("OPTIONS")
    assert healthy.response(method="OPTIONS").status == 200
    assert lab.house.get(f"/house/v1/security/bans/{ban['id']}")["hits"] == 2


def test_a_ban_outlives_the_daemon(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    lab.house.order("POST", "/house/v1/security/bans", {"network": ATTACKER, "reason": "noise"})
    lab.house.stop()
    lab.house.start()
    (ban,) = lab.house.get("/house/v1/security/bans")["bans"]
    assert (ban["network"], ban["reason"], ban["until"], ban["made_by"]) == (ATTACKER, "noise", None, "lab-admin")
    raw = lab.raw(address=ATTACKER)
    RawDialog.calling(raw, "ping", "600").send("OPTIONS")
    assert raw.drain(0.3) == []


def test_a_phone_with_a_wrong_password_is_told_so_and_not_banned(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab()
    raw = lab.raw()
    statuses = []
    for _ in range(25):
        statuses.append(register(raw, "1001", "wrong-password").start)
        time.sleep(0.2)  # far faster than any phone comes back
    assert statuses[:2] == ["SIP/2.0 401 Unauthorized"] * 2
    assert set(statuses[2:]) <= {"SIP/2.0 403 Wrong User Name Or Password"}
    slower = lab.house.get("/house/v1/security/slowed")
    (phone,) = slower["misconfigured"]
    assert (phone["source"], phone["username"], phone["failures"] >= 12) == (raw.address, "1001", True)


def test_nobody_is_banned_by_who_forges_his_address(new_lab: Callable[..., Lab]) -> None:
    """The attacker sends from the phone's very address, another port, and hears nothing of what comes back."""
    lab = new_lab()
    phone = lab.raw(address="127.0.0.70")  # beyond what the lab allows
    assert register(phone, "1001", "lab-1001").status == 200
    forger = lab.raw(address=phone.address)
    spy = lab.raw(address=ATTACKER)
    RawDialog.calling(spy, "1001", "1001").send("REGISTER")
    told = spy.response(method="REGISTER")["WWW-Authenticate"]  # a nonce, but one for another address
    for number in range(300):
        _forge(forger, number, told)
        time.sleep(0.002)
    eventually(lambda: bool(lab.house.get("/house/v1/security/slowed")["slowed"]), "the source to be slowed")
    assert bans(lab.house) == []
    time.sleep(1)  # the small bucket has been filled again
    assert register(phone, "1001", "lab-1001").status == 200


def _forge(forger: RawSip, number: int, told: str) -> None:
    registrar = f"sip:{forger.server[0]}:{forger.server[1]}"
    dialog = RawDialog.calling(forger, "1001", "1001")
    proof = credentials(told, user="1001", password=f"guess-{number}", method="REGISTER", uri=registrar)
    forger.send_bytes(b"INVITE sip:1001@127.0.0.1 SIP/2.0\r\nVia: nonsense\r\n\r\n")
    forger.send(f"REGISTER {registrar} SIP/2.0", [*dialog.headers("REGISTER"), ("Authorization", proof)])
