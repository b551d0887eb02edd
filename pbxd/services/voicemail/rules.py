"""What voicemail speaks of: messages, greetings, and what happens to them, as others hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from pbxd.calls.record import CallRecord


class Reason(StrEnum):
    """Why a caller is to leave a message."""

    BUSY = "busy"
    UNAVAILABLE = "unavailable"

    @classmethod
    def of(cls, status: int) -> Reason:
        """From the SIP status of a call that failed."""
        return cls.BUSY if status in {486, 600} else cls.UNAVAILABLE


class GreetingKind(StrEnum):
    """What an owner may record. A temporary greeting is played before all others."""

    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    TEMPORARY = "temporary"
    NAME = "name"


class Folder(StrEnum):
    NEW = "new"
    SAVED = "saved"
    DELETED = "deleted"


class Left(Enum):
    """How leaving a message ended."""

    DELIVERED = "a message was left"
    NOTHING = "no message was left"
    FULL = "the mailbox is full"
    FAILED = "no message could be taken"


class VoicemailChange(StrEnum):
    RECEIVED = "received"
    SAVED = "saved"
    DELETED = "deleted"
    RESTORED = "restored"
    PURGED = "purged"
    LOCKED = "locked"  # too many wrong PINs
    PIN = "pin"
    GREETING = "greeting"


@dataclass(frozen=True, slots=True)
class VoicemailChanged:
    """Published on the bus. `mailbox` is its number; `message_id` is empty where it is about none."""

    change: VoicemailChange
    account_id: str
    mailbox: str
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who leaves a message, and in which call."""

    caller: str
    caller_name: str
    call_id: str

    @classmethod
    def of(cls, record: CallRecord) -> Origin:
        return cls(record.caller, record.caller_name, record.id)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Times are seconds since the epoch; `seconds` is None while it is being left;
    `transcript` where nobody wrote down what it says."""

    id: str
    account_id: str
    mailbox_id: str
    caller: str
    caller_name: str
    call_id: str
    received_at: float
    seconds: float | None = None
    folder: Folder = Folder.NEW
    urgent: bool = False
    forwarded_by: str | None = None
    deleted_at: float | None = None
    told_at: float | None = None
    transcript: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a lamp shows (RFC 3842 §5.2)."""

    new: int = 0
    old: int = 0
    new_urgent: int = 0
    old_urgent: int = 0
