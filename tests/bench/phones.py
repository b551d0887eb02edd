"""Thousands of phones that register, each from an address of its own, through one socket."""

from __future__ import annotations

import hashlib
import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from tests.bench.daemon import BenchError

IP_PKTINFO = 8  # <linux/in.h>: says which address of ours a datagram leaves from
PATIENCE_S = 10.0
EXPIRES_S = 3600

_NUMBER = re.compile(rb"\r\nCall-ID: (\d+)@")
_NONCE = re.compile(rb'\r\nWWW-Authenticate: Digest (?=[^\r]*algorithm=MD5)[^\r]*?nonce="([^"]+)"')


@dataclass(slots=True)
class Phone:
    """One phone: what it must remember between two REGISTERs."""

    user: str
    address: str
    ha1: str
    nonce: str = ""
    uses: int = 0
    seq: int = 0
    asked_at: float = 0.0


class Phones:
    """Registers phones at a steady rate. `refused` counts what was answered neither 200 nor 401."""

    def __init__(self, users: Sequence[str]) -> None:
        self.users = users
        self.refused: Counter[str] = Counter()
        self._phones = [
            Phone(user, f"127.{1 + index // 65536}.{index // 256 % 256}.{index % 256}", self._ha1(user))
            for index, user in enumerate(users)
        ]
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind(("0.0.0.0", 0))
        self._port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @staticmethod
    def password(user: str) -> str:
        return f"lab-{user}"

    def _ha1(self, user: str) -> str:
        return _md5(f"{user}:127.0.0.1:{self.password(user)}")

    def register(self, sip_port: int, numbers: Iterable[int], a_second: int) -> list[float]:
        """Registers the phones of these numbers, one after the other; seconds from each request to its answer, the
        challenges not counted. Raises BenchError when answers stay away."""
        pbx = ("127.0.0.1", sip_port)
        took: list[float] = []
        waiting: set[int] = set()
        start = heard_at = time.monotonic()
        for begun, number in enumerate(numbers):
            due = start + begun / a_second
            while (now := time.monotonic()) < due:
                self._hear(pbx, due - now, waiting, took)
            waiting.add(number)
            self._ask(number, pbx)
        while waiting:
            if self._hear(pbx, 0.1, waiting, took):
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > PATIENCE_S:
                raise BenchError(f"{len(waiting)} REGISTERs were not answered")
        return took

    def _hear(self, pbx: tuple[str, int], seconds: float, waiting: set[int], took: list[float]) -> bool:
        if not select.select([self._socket], [], [], seconds)[0]:
            return False
        answer = self._socket.recv(65536)
        found = _NUMBER.search(answer)
        if found is None or int(found[1]) not in waiting:
            return True
        number = int(found[1])
        phone, status = self._phones[number], answer[8:11]
        if status == b"401" and (challenge := _NONCE.search(answer)) is not None:
            phone.nonce, phone.uses = challenge[1].decode(), 0
            self._ask(number, pbx)
        elif status[:1] != b"1":
            waiting.remove(number)
            took.append(time.monotonic() - phone.asked_at)
            if status != b"200":
                self.refused[answer[8:40].decode()] += 1
        return True

    def _ask(self, number: int, pbx: tuple[str, int]) -> None:
        phone = self._phones[number]
        phone.seq += 1
        phone.uses += 1
        text = (
            f"REGISTER sip:127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {phone.address}:{self._port};branch=z9hG4bK{number}-{phone.seq};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{phone.user}@127.0.0.1>;tag={number}\r\n"
            f"To: <sip:{phone.user}@127.0.0.1>\r\nCall-ID: {number}@bench\r\nCSeq: {phone.seq} REGISTER\r\n"
            f"Contact: <sip:{phone.user}@{phone.address}:{self._port}>;expires={EXPIRES_S}\r\n"
            f"User-Agent: bench\r\n{self._proof(phone)}Content-Length: 0\r\n\r\n"
        )
        source = struct.pack("=I4s4x", 0, socket.inet_aton(phone.address))
        phone.asked_at = time.monotonic()
        self._socket.sendmsg([text.encode()], [(socket.IPPROTO_IP, IP_PKTINFO, source)], 0, pbx)

    def _proof(self, phone: Phone) -> str:
        """RFC 7616 §3.4, with MD5."""
        if not phone.nonce:
            return ""
        uses = f"{phone.uses:08x}"
        asked = _md5("REGISTER:sip:127.0.0.1")
        response = _md5(f"{phone.ha1}:{phone.nonce}:{uses}:bench:auth:{asked}")
        return (
            f'Authorization: Digest username="{phone.user}", realm="127.0.0.1", nonce="{phone.nonce}", '
            f'uri="sip:127.0.0.1", response="{response}", algorithm=MD5, qop=auth, nc={uses}, cnonce="bench"\r\n'
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
