"""Which phones of a user ring, and in which order: what they registered, and what the user and each device want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pbxd.config.groups import UserRing
from pbxd.directory.accounts import Directory
from pbxd.directory.binding import Binding
from pbxd.directory.model import Account, Device, User
from pbxd.sip.flow import Destination


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone where it is registered; `device` is whose log-in that was."""

    binding: Binding
    device: Device
    destination: Destination


def phone_of(directory: Directory, account: Account, binding: Binding) -> Phone | None:
    """The phone of a registration. None: its user or device is gone, or it would be called over another transport than
    it is set to."""
    user = binding.aor.user
    device = directory.device(account, binding.device or user)
    if device is None and not binding.device:  # of before log-ins were written down
        device = next((one for one in directory.devices(account) if one.user == user), None)
    if device is None or device.user != user or directory.user(account, user) is None:
        return None
    destination = binding.destination()
    if device.transport not in (None, destination.transport):
        return None
    return Phone(binding, device, destination)


def ringing(phones: Sequence[Phone], user: User) -> list[Phone]:
    """Those of a user's phones that a call rings, by their `ring_order`, the most wanted first within it. All of them,
    one after the other, where the user wants that; otherwise those that ring beside others, and only where none is
    there the first of the rest. A user who wants `specific` phones has no rest."""
    ordered = sorted(phones, key=lambda phone: phone.device.ring_order)
    if user.ring_strategy is UserRing.SEQUENTIAL:
        return ordered
    together = [phone for phone in ordered if phone.device.ring_on_fork]
    if together or user.ring_strategy is UserRing.SPECIFIC:
        return together
    return [phone for phone in ordered if phone.device is ordered[0].device]
