"""What a phone is told about its line: the words that the test and the phone's own process share."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Transport(StrEnum):
    """How the phone reaches the house."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class Srtp(StrEnum):
    """Whether the phone protects its sound."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class Verb(StrEnum):
    """Commands to a phone."""

    REGISTER = "register"
    UNREGISTER = "unregister"
    DIAL = "dial"
    ANSWER = "answer"
    HANG_UP = "hang_up"
    HOLD = "hold"
    RESUME = "resume"
    UPDATE = "update"
    DIGITS = "digits"
    MESSAGE = "message"
    REFER = "refer"
    QUIT = "quit"


class Kind(StrEnum):
    """Events from a phone."""

    READY = "ready"
    REGISTERED = "registered"
    UNREGISTERED = "unregistered"
    REGISTRATION_FAILED = "registration_failed"
    INCOMING = "incoming"
    DIALLING = "dialling"
    RINGING = "ringing"
    ESTABLISHED = "established"
    RECORDING = "recording"
    ENDED = "ended"
    DIGIT = "digit"
    MESSAGE = "message"
    LAMP = "lamp"
    MESSAGE_STATUS = "message_status"
    REFER_STATUS = "refer_status"
    TRANSACTION = "transaction"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One phone's account and habits; travels to the phone's process as JSON."""

    extension: str
    password: str
    server: str
    """host:port of the house, an IPv6 host in brackets."""
    domain: str
    """The realm and host part of the addresses."""
    address: str
    """The phone's own IP address, for SIP and RTP."""
    folder: str
    """Where recordings and logs go."""
    transport: Transport = Transport.UDP
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    tone_hz: float = 450.0
    tone_dbfs: float = -15.0
    sound: str = ""
    """A WAV file, 8 kHz and one channel, that is said again and again instead of the tone. Only baresip_py."""
    expires_s: int = 300
    session_expires_s: int | None = None
    """Insist on RFC 4028 session timers with this interval."""
    reliable_provisional: bool = False
    """Insist on 100rel (RFC 3262)."""
    srtp: Srtp = Srtp.OFF
    suite: str = ""
    """The one crypto suite it knows; empty for all that it has."""
    registers: bool = True
    lamp: bool = False
    """Subscribe to message-summary (RFC 3842)."""
    log_level: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Line":
        fields: dict[str, Any] = json.loads(text)
        fields["transport"] = Transport(fields["transport"])
        fields["srtp"] = Srtp(fields["srtp"])
        fields["codecs"] = tuple(fields["codecs"])
        return cls(**fields)

    def uri(self, number: str) -> str:
        """The address of another number of the same house."""
        return f"sip:{number}@{self.domain}"

    @property
    def server_uri(self) -> str:
        """The house as next hop, with the transport."""
        parameter = "" if self.transport is Transport.UDP else f";transport={self.transport}"
        return f"sip:{self.server}{parameter}"
