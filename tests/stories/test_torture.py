"""The torture messages of RFC 4475 and RFC 5118 at the running house: each gets what the RFC says, and it lives on."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.clients.house import House
from tests.clients.raw_message import RawMessage
from tests.clients.raw_sip import RawDialog, RawSip

VECTORS = Path(__file__).parents[1] / "vectors/sip"
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case | {"path": VECTORS / folder / case["file"]}
    for folder in ("rfc4475", "rfc5118")
    for case in json.loads((VECTORS / folder / "manifest.json").read_text())["messages"]
}
VIA_PORTS = (5060, 5050, 5070, 6050, 9823, 19823)
"""Where the messages' Vias want their answers: few of them ask for rport (RFC 3261 §18.2.2)."""
ANSWER_S = 1.5
SILENCE_S = 0.3


class Torturer:
    """A sender at an address of its own that hears answers wherever a Via may send them."""

    def __init__(self, house: House, stack: ExitStack) -> None:
        address = house.block.address()
        self.sips = [stack.enter_context(RawSip(address, house.sip, port=port)) for port in VIA_PORTS]

    def answers(self, data: bytes, seconds: float, *, until_final: bool) -> list[int]:
        """Send it; the statuses that come back within a time, or until the first final one.

        Refusals of earlier INVITEs, which nobody acknowledges and which therefore come again, do not count.
        """
        for sip in self.sips:
            sip.forget()
        self.sips[0].send_bytes(data)
        statuses: list[int] = []
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            news = [message for sip in self.sips for message in sip.drain(0.01)]
            statuses += [message.status or 0 for message in news if is_about(message, data)]
            if until_final and any(status >= 200 for status in statuses):
                break
        return statuses

    def ping(self) -> RawMessage:
        """OPTIONS, answered: the house lives."""
        dialog = RawDialog.calling(self.sips[0], "ping", "ping")
        dialog.send("OPTIONS")
        return self.sips[0].response(method="OPTIONS")


def is_about(message: RawMessage, data: bytes) -> bool:
    """Whether an answer may be one to this message; some of the RFCs' messages share a branch, but no two INVITEs."""
    return message.method != "INVITE" or all(call_id.encode() in data for call_id in message.all("Call-ID"))


@pytest.fixture(scope="module")
def torturer(worker_house: House) -> Iterator[Torturer]:
    """One sender for all: some messages share branch and Call-ID, and answers go to where the first came from."""
    with ExitStack() as stack:
        torturer = Torturer(worker_house, stack)
        worker_house.order(
            "POST", "/house/v1/security/allowed", {"network": torturer.sips[0].address, "note": "tortures us by order"}
        )
        yield torturer


def test_all_are_here() -> None:
    assert len(CASES) == 62


@pytest.mark.parametrize("name", list(CASES))
def test_each_gets_what_the_rfc_says(torturer: Torturer, house: House, name: str) -> None:
    case = CASES[name]
    silent = case["outcome"] == "ignore" or case.get("silence")
    data = case["path"].read_bytes()
    statuses = torturer.answers(data, SILENCE_S if silent else ANSWER_S, until_final=not silent)
    final = next((status for status in statuses if status >= 200), None)
    if case["outcome"] == "ignore" or case.get("answerable") is False:
        assert statuses == []
    elif final is None:
        assert case.get("silence"), f"no answer, where {case} is due"
    elif case["outcome"] == "accept":
        allowed = case.get("good")
        assert final not in case["forbid"]
        assert allowed is None or final in allowed
    else:
        assert final in [*case["codes"], *case.get("also", [])]
    assert torturer.ping().status == 200
    assert house.registrations() == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["outcome"] != "ignore"])
def test_a_connection_that_brings_one_does_no_harm(torturer: Torturer, house: House, name: str) -> None:
    """Over TCP the length decides where a message ends, so one may be answered, refused, or cost the connection."""
    data = CASES[name]["path"].read_bytes().replace(b"z9hG4bK", b"z9hG4bKtcp")
    data = re.sub(rb"(?mi)^(call-id|i)([ \t]*:[ \t]*)", rb"\1\2tcp", data)  # no repetition of what went over UDP
    with socket.create_connection(house.sip) as connection, suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(ANSWER_S)
        answer = connection.recv(65535)
        assert answer == b"" or answer.startswith(b"SIP/2.0 ")
    assert torturer.ping().status == 200
