"""A scripted SIP endpoint in plain sockets, for everything that well-behaved phones refuse to do.

It keeps no transactions: what is sent is what the story says, byte for byte, and a repeated message is only counted.
"""

import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.clients.raw_message import Headers, RawMessage, credentials, tag_of


class RawSip:
    """A UDP or TCP socket that speaks SIP when told to; use it as a context manager."""

    def __init__(self, address: str, server: tuple[str, int], *, port: int = 0, tcp: bool = False) -> None:
        self.server = server
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._tcp = tcp
        self._socket = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        if tcp:
            self._socket.connect(server)
        self.address, self.port = self._socket.getsockname()[:2]
        self.inbox: list[RawMessage] = []
        self.repeated: Counter[str] = Counter()
        """How often each start line with CSeq came again."""
        self._seen: set[bytes] = set()
        self._stream = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def hears_only_the_server(self) -> None:
        """From here on as a NAT would have it: what does not come from the very address that was asked is lost."""
        self._socket.connect(self.server)

    @property
    def host(self) -> str:
        """Own address and port as a URI or Via has them."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def transport(self) -> str:
        return "TCP" if self._tcp else "UDP"

    def via(self) -> str:
        """A fresh top Via."""
        return f"SIP/2.0/{self.transport} {self.host};branch=z9hG4bK{secrets.token_hex(8)};rport"

    def send(self, start: str, headers: Headers, body: str = "") -> None:
        """Send exactly this, with Content-Length added."""
        lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body.encode())}"]
        self.send_bytes(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    def send_bytes(self, data: bytes) -> None:
        """Send exactly this."""
        if self._tcp:
            self._socket.sendall(data)
        else:
            self._socket.sendto(data, self.server)

    def respond(
        self, request: RawMessage, status: int, *, tag: str = "", headers: Headers | None = None, body: str = ""
    ) -> None:
        """Answer a request as RFC 3261 §8.2.6 wants it."""
        answer: Headers = [("Via", via) for via in request.all("Via")]
        answer += [("Record-Route", route) for route in request.all("Record-Route")]
        to = request["To"] if tag_of(request["To"]) or not tag else f"{request['To']};tag={tag}"
        answer += [("From", request["From"]), ("To", to), ("Call-ID", request["Call-ID"]), ("CSeq", request["CSeq"])]
        answer += headers or []
        answer += [("Content-Type", "application/sdp")] if body else []
        self.send(f"SIP/2.0 {status} Scripted", answer, body)

    def _receive(self, deadline: float) -> bool:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self._socket.recv(65535)
        except TimeoutError:
            return False
        for message in self._split(data):
            parsed = RawMessage.parse(message)
            if message in self._seen:
                self.repeated[" ".join([parsed.start, *parsed.all("CSeq")])] += 1
            else:
                self._seen.add(message)
                self.inbox.append(parsed)
        return bool(data)

    def _split(self, data: bytes) -> list[bytes]:
        if not self._tcp:
            return [data] if data.strip() else []
        self._stream += data
        messages = []
        while b"\r\n\r\n" in (stream := self._stream.lstrip(b"\r\n")):
            head, _, rest = stream.partition(b"\r\n\r\n")
            length = re.search(rb"\r\n(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", head, re.IGNORECASE)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                break
            messages.append(head + b"\r\n\r\n" + rest[:size])
            self._stream = rest[size:]
        return messages

    def take(self, wanted: Callable[[RawMessage], bool], what: str, *, timeout: float = 4.0) -> RawMessage:
        """The first message that fits, waiting for it; others stay in the inbox."""
        deadline = time.monotonic() + timeout
        while True:
            for message in self.inbox:
                if wanted(message):
                    self.inbox.remove(message)
                    return message
            more = self._receive(deadline)
            assert more, f"no {what} in {timeout:g} s; inbox {[message.start for message in self.inbox]}"

    def request(self, method: str, *, timeout: float = 4.0) -> RawMessage:
        """Wait for a request."""
        return self.take(lambda message: message.status is None and message.method == method, method, timeout=timeout)

    def response(self, *statuses: int, method: str | None = None, timeout: float = 4.0) -> RawMessage:
        """Wait for a response with one of these statuses, or any final one when none is given."""

        def wanted(message: RawMessage) -> bool:
            status = message.status
            if status is None or (method and message.method != method):
                return False
            return status in statuses if statuses else status >= 200

        return self.take(wanted, f"{statuses or 'final response'} to {method or 'a request'}", timeout=timeout)

    def forget(self) -> None:
        """Take what comes from now on as new, even if it came before."""
        self._seen.clear()
        self.inbox.clear()

    def receive_bytes(self, size: int, *, timeout: float = 4.0) -> bytes:
        """Bytes of a TCP connection as they come, outside of any message."""
        self._socket.settimeout(timeout)
        return self._socket.recv(size)

    def drain(self, seconds: float) -> list[RawMessage]:
        """Everything that comes within a time, for what must not come."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._receive(deadline)
        messages, self.inbox = self.inbox, []
        return messages


@dataclass(slots=True)
class RawDialog:
    """What a call needs to remember; every field may be bent by the story."""

    sip: RawSip
    local: str
    """From (or To, when called) with tag."""
    remote: str
    target: str
    call_id: str = field(default_factory=lambda: secrets.token_hex(10))
    sequence: int = 1
    routes: list[str] = field(default_factory=list)

    @classmethod
    def calling(cls, sip: RawSip, user: str, number: str, *, domain: str = "127.0.0.1") -> "RawDialog":
        host, port = sip.server
        host = f"[{host}]" if ":" in host else host
        return cls(
            sip,
            local=f"<sip:{user}@{domain}>;tag={secrets.token_hex(4)}",
            remote=f"<sip:{number}@{domain}>",
            target=f"sip:{number}@{host}:{port}",
        )

    @classmethod
    def called(cls, sip: RawSip, invite: RawMessage, tag: str) -> "RawDialog":
        return cls(
            sip,
            local=f"{invite['To']};tag={tag}",
            remote=invite["From"],
            target=invite.contact(),
            call_id=invite["Call-ID"],
            routes=invite.all("Record-Route"),
        )

    def headers(self, method: str, *, sequence: int | None = None, via: str | None = None) -> Headers:
        """The usual headers of a request of this dialog; takes the next CSeq unless one is given."""
        if sequence is None:
            sequence = self.sequence
            self.sequence += method != "ACK"
        fixed: Headers = [
            ("Via", via or self.sip.via()),
            ("Max-Forwards", "70"),
            ("From", self.local),
            ("To", self.remote),
        ]
        fixed += [("Call-ID", self.call_id), ("CSeq", f"{sequence} {method}")]
        fixed += [("Route", route) for route in self.routes]
        if method in ("INVITE", "UPDATE", "REGISTER", "OPTIONS", "ACK"):
            fixed += [("Contact", f"<sip:raw@{self.sip.host};transport={self.sip.transport.lower()}>")]
        return fixed

    def send(
        self, method: str, *, body: str = "", extra: Headers | None = None, sequence: int | None = None
    ) -> Headers:
        """Send a request; returns its headers, for a CANCEL or ACK of the same transaction."""
        headers = self.headers(method, sequence=sequence) + (extra or [])
        content: Headers = [("Content-Type", "application/sdp")] if body else []
        self.sip.send(f"{method} {self.target} SIP/2.0", headers + content, body)
        return headers

    def follow(self, response: RawMessage) -> None:
        """Learn the far end's tag, target and route from a response."""
        self.remote = response["To"]
        if "Contact" in response:
            self.target = response.contact()
        self.routes = list(reversed(response.all("Record-Route")))

    def acknowledge(self, response: RawMessage, *, body: str = "") -> None:
        """ACK a 2xx (a new transaction) after following it."""
        self.follow(response)
        self.send("ACK", sequence=int(response["CSeq"].split()[0]), body=body)

    def acknowledge_failure(self, invite: Headers, response: RawMessage) -> None:
        """ACK a 3xx-6xx (RFC 3261 §17.1.1.3: same branch, same Request-URI)."""
        sent = dict(invite)
        number = sent["CSeq"].split()[0]
        ack: Headers = [("Via", sent["Via"]), ("Max-Forwards", "70"), ("From", sent["From"]), ("To", response["To"])]
        ack += [("Call-ID", sent["Call-ID"]), ("CSeq", f"{number} ACK")]
        self.sip.send(f"ACK {self.target} SIP/2.0", ack)

    def cancel(self, invite: Headers) -> None:
        """CANCEL a pending INVITE (RFC 3261 §9.1)."""
        sent = dict(invite)
        number = sent["CSeq"].split()[0]
        same: Headers = [(name, sent[name]) for name in ("Via", "Max-Forwards", "From", "To", "Call-ID")]
        self.sip.send(f"CANCEL {self.target} SIP/2.0", [*same, ("CSeq", f"{number} CANCEL")])

    def invite(
        self, body: str, *, user: str = "", password: str = "", extra: Headers | None = None
    ) -> tuple[RawMessage, Headers]:
        """INVITE, answering one challenge if there is a password; returns the first 18x or final and what was sent."""
        sent = self.send("INVITE", body=body, extra=extra)
        answer = self.sip.take(lambda m: (m.status or 0) > 100 and m.method == "INVITE", "answer to INVITE")
        if answer.status not in (401, 407) or not password:
            return answer, sent
        self.acknowledge_failure(sent, answer)
        name, reply = (
            ("WWW-Authenticate", "Authorization")
            if answer.status == 401
            else ("Proxy-Authenticate", "Proxy-Authorization")
        )
        proof = credentials(answer[name], user=user, password=password, method="INVITE", uri=self.target)
        sent = self.send("INVITE", body=body, extra=[*(extra or []), (reply, proof)])
        return self.sip.take(lambda m: (m.status or 0) > 100 and m.method == "INVITE", "second answer to INVITE"), sent


def register(sip: RawSip, user: str, password: str, *, expires: int = 300, contact: str | None = None) -> RawMessage:
    """Register with digest and return the final response."""
    dialog = RawDialog.calling(sip, user, user)
    return register_with(dialog, user, password, expires=expires, contact=contact)


def register_with(
    dialog: RawDialog, user: str, password: str, *, expires: int = 300, contact: str | None = None
) -> RawMessage:
    """Register under the Call-ID, tags and next CSeq of `dialog`."""
    sip = dialog.sip
    host, port = sip.server
    registrar = f"sip:[{host}]:{port}" if ":" in host else f"sip:{host}:{port}"
    where: Headers = [("Contact", contact or f"<sip:{user}@{sip.host};transport={sip.transport.lower()}>")]
    where += [("Expires", str(expires))]

    def send(extra: Headers) -> RawMessage:
        headers = [pair for pair in dialog.headers("REGISTER") if pair[0] != "Contact"]
        sip.send(f"REGISTER {registrar} SIP/2.0", headers + where + extra)
        return sip.response(method="REGISTER")

    answer = send([])
    if answer.status != 401:
        return answer
    proof = credentials(answer["WWW-Authenticate"], user=user, password=password, method="REGISTER", uri=registrar)
    return send([("Authorization", proof)])
