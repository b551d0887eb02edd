"""One phone's registration: what it said, where that came from, and so where it can be called."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Self

from pbxd.directory.model import Aor
from pbxd.sip.errors import ParseError
from pbxd.sip.flow import Destination, Flow, Transport
from pbxd.sip.grammar import format_params, parse_params
from pbxd.sip.uri import Uri

Address = tuple[str, int]


class Binding:
    """One contact of one user (RFC 3261 §10). Read it; only the registrar changes it.

    `contact` is the URI as the phone said it, and is what a call's Request-URI must be. `expires` and `seen` (its last
    REGISTER) are monotonic time, `expires_at` and `registered_at` seconds since the epoch. `source` is where the
    REGISTER came from, `flow` the way it came, None after a restart. `device` is the log-in it came with, empty where
    that was not written down. `q` is in thousandths.
    """

    __slots__ = (
        "aor",
        "behind_nat",
        "call_id",
        "contact",
        "cseq",
        "device",
        "due",
        "expires",
        "expires_at",
        "flow",
        "gone",
        "id",
        "instance",
        "local",
        "params",
        "q",
        "reg_id",
        "registered_at",
        "seen",
        "source",
        "transport",
        "user_agent",
    )

    def __init__(self, id: str, aor: Aor, contact: Uri, registered_at: float) -> None:  # noqa: A002
        self.id = id
        self.aor = aor
        self.contact = contact
        self.registered_at = registered_at
        self.device = ""
        self.params = ""
        self.instance: str | None = None
        self.reg_id: str | None = None
        self.q = 1000
        self.call_id = ""
        self.cseq = 0
        self.transport = Transport.UDP
        self.local: Address = ("", 0)
        self.source: Address = ("", 0)
        self.flow: Flow | None = None
        self.behind_nat = False
        self.user_agent = ""
        self.seen = 0.0
        self.expires = 0.0
        self.expires_at = 0.0
        self.due = 0.0  # when its entry in the registrar's timetable comes up
        self.gone = False

    def __repr__(self) -> str:
        return f"Binding({self.contact} of {self.aor.user}, {self.transport.value} from {self.source})"

    def said(self, params: Mapping[str, str | None]) -> None:
        """Take over the parameters of the Contact; all but `expires` are given back in the response."""
        self.params = format_params({name: value for name, value in params.items() if name != "expires"})
        self.instance, self.reg_id = identity(params)
        self.q = read_q(params.get("q"))

    def came(self, flow: Flow, *, behind_nat: bool) -> None:
        """Take over the way the REGISTER came."""
        self.flow = flow
        self.transport = flow.transport
        self.local = flow.local
        self.source = flow.remote
        self.behind_nat = behind_nat

    def value(self, now: float) -> str:
        """The Contact of a response to REGISTER (RFC 3261 §10.3 step 8)."""
        return f"<{self.contact}>;expires={max(0, round(self.expires - now))}{self.params}"

    def destination(self) -> Destination:
        """Where a request for this contact is sent, without asking DNS.

        A connection is used again. A phone behind a NAT, or one that names itself by a host name, is where its
        REGISTER came from; any other is where it says it is.
        """
        flow = self.flow
        if flow is not None and flow.connection:
            return Destination(flow.transport, *flow.remote, flow)
        if self.behind_nat or not is_ip(self.contact.host):
            return Destination(self.transport, *self.source, flow)
        transport = self._transport_said()
        port = self.contact.port or transport.default_port
        return Destination(transport, self.contact.host, port, flow if transport is self.transport else None)

    def _transport_said(self) -> Transport:
        if self.contact.scheme == "sips":
            return Transport.TLS
        said = (self.contact.transport or "").upper()
        return Transport[said] if said in Transport.__members__ else self.transport

    @property
    def listens(self) -> bool:
        """Whether a phone whose connection is gone can be connected to where its Contact says."""
        return not self.behind_nat and is_ip(self.contact.host) and self.contact.port != self.source[1]

    def row(self) -> dict[str, Any]:
        """The binding as a row of the store."""
        return {
            "id": self.id,
            "account_id": self.aor.account_id,
            "user_name": self.aor.user,
            "device": self.device,
            "contact": str(self.contact),
            "params": self.params,
            "instance": self.instance,
            "reg_id": self.reg_id,
            "q": self.q,
            "call_id": self.call_id,
            "cseq": self.cseq,
            "transport": self.transport.value,
            "local": f"{self.local[0]} {self.local[1]}",
            "source": f"{self.source[0]} {self.source[1]}",
            "behind_nat": self.behind_nat,
            "user_agent": self.user_agent,
            "registered_at": self.registered_at,
            "expires_at": self.expires_at,
        }

    @classmethod
    def of(cls, row: Mapping[str, Any], now: float, wall: float) -> Self:
        """The binding of a row, as it is after a restart: connections are gone. Raises ParseError."""
        aor = Aor(row["account_id"], row["user_name"])
        binding = cls(row["id"], aor, Uri.parse(row["contact"]), row["registered_at"])
        binding.said(parse_params(row["params"]))
        binding.device = row["device"]
        binding.call_id = row["call_id"]
        binding.cseq = row["cseq"]
        binding.transport = Transport(row["transport"])
        binding.local = _address(row["local"])
        binding.source = _address(row["source"])
        binding.behind_nat = row["behind_nat"]
        binding.user_agent = row["user_agent"]
        binding.expires_at = row["expires_at"]
        binding.seen = now
        binding.expires = now + row["expires_at"] - wall
        return binding


def identity(params: Mapping[str, str | None]) -> tuple[str | None, str | None]:
    """The instance and reg-id of a Contact (RFC 5626 §4.2); the instance without its angle brackets."""
    instance = (params.get("+sip.instance") or "").strip("<>") or None
    return instance, params.get("reg-id") if instance else None


def read_q(text: str | None) -> int:
    """A qvalue in thousandths (RFC 3261 §25.1); 1000 when it is absent or nonsense."""
    whole, _, part = (text or "1").partition(".")
    digits = whole + part
    if len(digits) > 8 or not (digits.isascii() and digits.isdigit()):
        return 1000
    return min(1000, int(whole or "0") * 1000 + int(part[:3].ljust(3, "0") or "0"))


def is_ip(host: str) -> bool:
    """Whether `host` is an IP literal and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def same_host(said: str, source: str) -> bool:
    """Whether a Contact's host is the address a message came from."""
    if said == source:
        return True
    return ":" in said and is_ip(said) and ip_address(said) == ip_address(source)


def _address(text: str) -> Address:
    host, _, port = text.partition(" ")
    if not (is_ip(host) and port.isdecimal()):
        raise ParseError("Bad address")
    return host, int(port)
