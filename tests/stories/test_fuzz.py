"""20,000 damaged messages through the whole house, by a fixed seed: it never crashes, stalls, complains or grows.

A trusted trunk sends them, so that they get past the password and into calls; where the house calls out, the far side
answers with damaged responses.
"""

import random
import secrets
import socket
import time
from collections.abc import Callable

import pytest

from tests.clients.lab import Lab, eventually
from tests.clients.raw_message import RawMessage, sdp
from tests.clients.raw_sip import RawDialog, RawSip
from tests.sip.test_fuzz_parser import MESSAGES, compose, mutate

pytestmark = pytest.mark.unwitnessed  # much of it is part of no call

SEED = 4475
MESSAGES_PER_ROUND = 10_000
MESSAGES_PER_PING = 20
LONGEST_STALL_S = 1.0
TRANSACTIONS_S = 34.0
"""64 T1 and a little: nothing of a message may be left after it (RFC 3261 §17)."""
MAX_GROWTH_KIB = 8 * 1024
SETTINGS = {
    "sip.guard.trusted": ["127.0.0.0/8"],
    "calls.max": 30,
    "calls.rtp_timeout_s": 1,
    "calls.ring_timeout_s": 1,
    "rtp.quarantine_s": 0,
}
"""So that calls end soon and new ones find room: damage is to reach calls, not only the door."""
PEER = "127.0.0.11"
METHODS = ["INVITE"] * 6 + [
    "ACK",
    "BYE",
    "CANCEL",
    "UPDATE",
    "PRACK",
    "INFO",
    "MESSAGE",
    "OPTIONS",
    "REGISTER",
    "REFER",
]
NUMBERS = ["600", "600", "8001", "8002", "1001", "4711"]
RESPONSES = [100, 180, 180, 183, 200, 200, 200, 302, 401, 407, 422, 486, 491, 503, 603]


class Fuzzer:
    """Sends damage as the trunk lab-peer and as the far side of lab-uas."""

    def __init__(self, lab: Lab, seed: int = SEED) -> None:
        self._rng = random.Random(seed)
        self._trunk = lab.raw(address=PEER)
        self._far = lab.raw(address="127.0.0.1", port=lab.house.uas_port)
        self._pinger = lab.raw(address=PEER)
        self._dialogs: list[RawDialog] = []
        self.longest_stall_s = 0.0

    def round(self, count: int) -> None:
        """Send so many, pinging now and then; the answer to a ping is what lets the next ones go."""
        for number in range(count):
            self._send_one()
            if number % MESSAGES_PER_PING == 0:
                self._answer_calls()
                self._ping()

    def _send_one(self) -> None:
        rng = self._rng
        kind = rng.random()
        if kind < 0.2:
            data = mutate(rng, rng.choice(MESSAGES), MESSAGES)
        elif kind < 0.3:
            data = compose(rng)
        else:
            data = self._conversation()
            data = mutate(rng, data, MESSAGES) if rng.random() < 0.8 else data
        if data:
            self._trunk.send_bytes(data)

    def _conversation(self) -> bytes:
        """A proper message of a new or a known dialog."""
        rng = self._rng
        if not self._dialogs or rng.random() < 0.5:
            self._dialogs = [*self._dialogs[-20:], RawDialog.calling(self._trunk, "outside", rng.choice(NUMBERS))]
        dialog = rng.choice(self._dialogs)
        method = rng.choice(METHODS)
        body = sdp(PEER, rng.randrange(20_000, 30_000), version=rng.randrange(9)) if rng.random() < 0.8 else ""
        lines = [f"{method} {dialog.target} SIP/2.0"]
        lines += [f"{name}: {value}" for name, value in dialog.headers(method)]
        lines += ["Content-Type: application/sdp"] if body else []
        return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()

    def _answer_calls(self) -> None:
        """What the house has sent: follow its dialogs, and answer its own calls with damage."""
        for message in self._trunk.drain(0.001):
            known = [dialog for dialog in self._dialogs if dialog.call_id in message.all("Call-ID")]
            if known and message.status == 200 and message.method == "INVITE" and "Contact" in message:
                known[0].acknowledge(message)
                if self._rng.random() < 0.9:
                    known[0].send("BYE")
        for message in self._far.drain(0.001):
            if message.status is None and message.method != "ACK":
                self._answer(message)

    def _answer(self, request: RawMessage) -> None:
        rng, status = self._rng, self._rng.choice(RESPONSES)
        lines = [f"SIP/2.0 {status} Damaged", *(f"Via: {via}" for via in request.all("Via"))]
        lines += [f"{name}: {request[name]}" for name in ("From", "Call-ID", "CSeq")]
        lines += [f"To: {request['To']};tag={secrets.token_hex(2)}", f"Contact: <sip:far@{self._far.host}>"]
        body = sdp("127.0.0.1", 20_000, formats="0") if status in (183, 200) else ""
        lines += ["Content-Type: application/sdp", "Require: 100rel", "RSeq: 1"] if body else []
        data = ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
        self._far.send_bytes(mutate(rng, data, MESSAGES) or b"\r\n")

    def _ping(self) -> None:
        start = time.monotonic()
        RawDialog.calling(self._pinger, "ping", "600").send("OPTIONS")
        self._pinger.response(method="OPTIONS", timeout=5)
        self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - start)


def passed(moment: float) -> Callable[[], bool]:
    """A condition: that moment lies behind us."""
    return lambda: time.monotonic() > moment


def test_damage_through_the_whole_house(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(**SETTINGS)
    fuzzer = Fuzzer(lab)
    sizes = []
    for _ in range(2):
        fuzzer.round(MESSAGES_PER_ROUND)
        quiet = time.monotonic() + TRANSACTIONS_S
        eventually(lambda: not lab.house.calls(), "all calls to be over", timeout=60)
        eventually(passed(quiet), "all timers to have run out", timeout=60)
        sizes.append(lab.house.resident_kib())
        lab.house.assert_clean_log()
    assert fuzzer.longest_stall_s < LONGEST_STALL_S
    assert sizes[1] - sizes[0] < MAX_GROWTH_KIB, f"resident memory grew: {sizes} KiB"
    assert lab.house.metrics()["pbxd_rtp_ports_in_use"] == 0


def test_connections_full_of_rubbish(new_lab: Callable[..., Lab]) -> None:
    """Streams of damage cost at most their own connection."""
    lab = new_lab(**SETTINGS)
    rng = random.Random(SEED + 1)
    for _ in range(200):
        with socket.create_connection(lab.house.sip) as connection:
            try:
                for _ in range(20):
                    connection.sendall(mutate(rng, rng.choice(MESSAGES), MESSAGES))
            except ConnectionError:
                continue  # closed by the house, as it may
    healthy: RawSip = lab.raw(tcp=True)
    RawDialog.calling(healthy, "ping", "600").send("OPTIONS")
    assert healthy.response(method="OPTIONS").status == 200
