"""Debug switches: a call, a phone or an address that is watched closely for a while."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from pbxd.trace.tape import Tape
from pbxd.trace.track import Track

_WORD = re.compile(r"[^\s\"<>]{1,128}")


class TargetKind(Enum):
    ADDRESS = "address"
    CALL = "call"
    PHONE = "phone"


@dataclass(frozen=True, slots=True)
class Target:
    """What is watched: an IP address, a call (by its id or a SIP Call-ID), or a phone (its user or number)."""

    kind: TargetKind
    text: str


def read_target(text: str) -> Target:
    """The target that `text` names. Raises ValueError when it names none."""
    try:
        return Target(TargetKind.ADDRESS, str(ip_address(text.strip("[]"))))
    except ValueError:
        pass
    if not _WORD.fullmatch(text):
        raise ValueError("a target is an IP address, a call's id, a SIP Call-ID, or a phone's number")
    is_call = text.startswith("call_") or "@" in text
    return Target(TargetKind.CALL if is_call else TargetKind.PHONE, text)


class Switch:
    """One thing that is watched, until `expires_at` (monotonic seconds); `track` is what was seen of it, `tape` what
    was heard, if that was asked for."""

    __slots__ = ("_matches", "expires_at", "matched", "tape", "target", "track")

    def __init__(self, target: Target, expires_at: float, track: Track) -> None:
        self.target = target
        self.expires_at = expires_at
        self.track = track
        self.tape: Tape | None = None
        self.matched = 0
        self._matches = _MATCHERS[target.kind](target.text)

    def sees(self, data: bytes, remote_ip: str, names: tuple[str, ...]) -> bool:
        """Whether a message of `remote_ip` in a dialog known by `names` is its business."""
        return self._matches(data, remote_ip, names)


Matcher = Callable[[bytes, str, tuple[str, ...]], bool]


def _address(text: str) -> Matcher:
    return lambda _data, remote_ip, _names: remote_ip == text


def _call(text: str) -> Matcher:
    return lambda _data, _remote_ip, names: text in names


def _phone(text: str) -> Matcher:
    """Anybody who calls itself so, is called so, or is a dialog of that name."""
    user = re.escape(text.encode())
    pattern = re.compile(rb"sips?:" + user + rb"[@;:>]|username[ \t]*=[ \t]*\"" + user + rb"\"", re.IGNORECASE)
    return lambda data, _remote_ip, names: text in names or pattern.search(data) is not None


_MATCHERS = {TargetKind.ADDRESS: _address, TargetKind.CALL: _call, TargetKind.PHONE: _phone}
