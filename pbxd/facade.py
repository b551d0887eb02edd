"""The live house as its own API sees it: calls, and the phones, registrations and trunks of an account."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from pbxd.api.house import RegisteredContact, TrunkRow
from pbxd.calls.record import CallRecord
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account, Aor, PhoneEntry, Trunk
from pbxd.directory.trunks import TrunkState, TrunkStatus
from pbxd.services.remote import RemoteCalls
from pbxd.sip.flow import place
from pbxd.telephony import Telephony


class LiveCalls:
    """The calls that are up, for the API: those of the house, and those of nodes, which it cannot hang up."""

    def __init__(self, telephony: Telephony, remote: RemoteCalls) -> None:
        self._telephony = telephony
        self._remote = remote

    def calls(self) -> list[CallRecord]:
        own = [call.record for call in self._telephony.switch.calls.values()]
        return sorted([*own, *(call.record for call in self._remote.live())], key=lambda record: record.started_at)

    def get(self, call_id: str) -> CallRecord | None:
        call = self._telephony.switch.calls.get(call_id)
        if call is not None:
            return call.record
        found = self._remote.record(call_id)
        return found if found is not None and found.ended_at is None else None

    def hangup(self, call_id: str) -> bool:
        return self._telephony.hangup(call_id)


class Phones:
    """The phones of an account, for the API."""

    def __init__(self, directory: Directory, telephony: Telephony) -> None:
        self._directory, self._telephony = directory, telephony

    def phones(self, account: Account) -> Sequence[PhoneEntry]:
        return self._directory.phones(account)

    async def rotate_password(self, account: Account, extension: str) -> str:
        """Who registered with the old password is no longer called."""
        directory = self._directory
        password = await directory.rotate_password(account, extension)
        if (aor := directory.aor(account, extension)) is not None:
            self._telephony.registrar.remove(aor)
        return password


class Registrations:
    """What is registered in an account, for the API."""

    def __init__(self, telephony: Telephony) -> None:
        self._telephony = telephony

    def contacts(self, account_id: str) -> list[RegisteredContact]:
        return [
            RegisteredContact(
                user=binding.aor.user,
                contact=str(binding.contact),
                source=place(binding.transport, *binding.source),
                behind_nat=binding.behind_nat,
                q=binding.q / 1000,
                user_agent=binding.user_agent,
                registered_at=binding.registered_at,
                expires_at=binding.expires_at,
            )
            for binding in self._telephony.registrar.all(time.monotonic())
            if binding.aor.account_id == account_id
        ]

    def remove(self, account_id: str, user: str) -> int:
        return self._telephony.registrar.remove(Aor(account_id, user))


def trunks(directory: Directory, telephony: Telephony, account: Account) -> list[TrunkRow]:
    """The trunks of an account, and how they are."""
    states = {status.trunk.id: status for status in telephony.trunks.status()}
    return [_trunk(telephony, trunk, states.get(trunk.id)) for trunk in directory.trunks(account)]


def _trunk(telephony: Telephony, trunk: Trunk, status: TrunkStatus | None) -> TrunkRow:
    row = partial(
        TrunkRow,
        name=trunk.name,
        proxy=trunk.proxy,
        sources=tuple(map(str, trunk.sources)),
        from_user=trunk.from_user,
        registers=trunk.register is not None,
    )
    if status is None:
        return row(state=TrunkState.OFF.value)
    expires = None if status.expires is None else telephony.wall(status.expires)
    return row(state=status.state.value, since=telephony.wall(status.since), expires_at=expires, reason=status.reason)
