"""The operations of the house's own API: what the command line and the web pages use."""

from __future__ import annotations

from collections import Counter
from datetime import UTC

from pbxd import __version__
from pbxd.api.contract import Contract, Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.tenancy import AccountQuery, account_of, account_seen, call_of
from pbxd.api.house.views import (
    AorPath,
    CallPath,
    CallsView,
    CallView,
    ErrorDetail,
    ErrorView,
    ExtensionPath,
    KeySecretView,
    PhonePasswordView,
    PhonesView,
    PhoneView,
    RecordQuery,
    RecordsView,
    RegistrationsView,
    RegistrationView,
    RemovedView,
    SettingsView,
    SettingView,
    TrunksView,
    TrunkView,
    moment,
    moment_or_none,
)
from pbxd.errors import Conflict, NotFound, Unavailable
from pbxd.services.cdr import RecordFilter


def _error(_status: int, code: str, message: str) -> ErrorView:
    return ErrorView(error=ErrorDetail(code=code, message=message))


HOUSE: Contract[House] = Contract(
    name="house",
    title="pbxd: the house's own API",
    description="Live calls, call records, phones, registrations, trunks and settings of one pbxd.",
    prefix="/house/v1",
    version=__version__,
    error=_error,
    error_model=ErrorView,
    security={
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    },
)


class RecordsQuery(RecordQuery, AccountQuery):
    """Which records."""


@HOUSE.operation("GET", "/calls", tag="calls", scope="calls:read", errors=(NotFound,))
async def list_calls(house: House, query: AccountQuery, identity: Identity) -> CallsView:
    """List the calls that are up, oldest first.

    A key that may do everything in the house sees those of all accounts, unless it names one.
    """
    wall, seen = house.wall(), account_seen(house, identity, query.account)
    return CallsView(calls=[CallView.of(call, wall) for call in house.calls.calls() if seen in (None, call.account_id)])


@HOUSE.operation("GET", "/calls/{id}", tag="calls", scope="calls:read", errors=(NotFound,))
async def get_call(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> CallView:
    """Get a call that is up."""
    return CallView.of(call_of(house, identity, query.account, path.id), house.wall(), whole=True)


@HOUSE.operation("POST", "/calls/{id}/hangup", tag="calls", scope="calls:write", errors=(NotFound,))
async def hangup_call(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> CallView:
    """Hang up a call.

    Both sides get a BYE, or what their state asks for. The answer is the call as it then is.
    """
    record = call_of(house, identity, query.account, path.id)
    if not house.calls.hangup(path.id):
        raise NotFound("the call has just ended")
    return CallView.of(record, house.wall())


@HOUSE.operation("GET", "/records", tag="records", scope="records:read", errors=(NotFound, Unavailable))
async def list_records(house: House, query: RecordsQuery, identity: Identity) -> RecordsView:
    """List calls that have ended, newest first.

    Pass `next` as `cursor` to get the page after.
    """
    since = query.since.replace(tzinfo=query.since.tzinfo or UTC).timestamp() if query.since else None
    seen = account_seen(house, identity, query.account)
    wanted = RecordFilter(query.limit, query.cursor, query.result, since, seen)
    records = await house.records.page(wanted)
    more = records[-1].id if len(records) == query.limit else None
    return RecordsView(records=[CallView.of(record, house.wall()) for record in records], next=more)


@HOUSE.operation("GET", "/records/{id}", tag="records", scope="records:read", errors=(NotFound, Unavailable))
async def get_record(house: House, path: CallPath, query: AccountQuery, identity: Identity) -> CallView:
    """Get the record of a call, with its legs and how they sounded."""
    record = await house.records.find(path.id)
    if record is None or account_seen(house, identity, query.account) not in (None, record.account_id):
        raise NotFound("there is no record of such a call")
    return CallView.of(record, house.wall())


@HOUSE.operation("GET", "/registrations", tag="registrations", scope="registrations:read", errors=(NotFound,))
async def list_registrations(house: House, query: AccountQuery, identity: Identity) -> RegistrationsView:
    """List what is registered, and where it is reached."""
    account = account_of(house, identity, query.account)
    return RegistrationsView(
        registrations=[
            RegistrationView(
                aor=contact.user,
                contact=contact.contact,
                source=contact.source,
                behind_nat=contact.behind_nat,
                q=contact.q,
                user_agent=contact.user_agent or None,
                registered_at=moment(contact.registered_at),
                expires_at=moment(contact.expires_at),
            )
            for contact in house.registrations.contacts(account.id)
        ]
    )


@HOUSE.operation("DELETE", "/registrations/{aor}", tag="registrations", scope="registrations:write", errors=(NotFound,))
async def remove_registrations(house: House, path: AorPath, query: AccountQuery, identity: Identity) -> RemovedView:
    """Forget every contact of a user.

    The phones are not told; they are back when they register the next time.
    """
    removed = house.registrations.remove(account_of(house, identity, query.account).id, path.aor)
    if not removed:
        raise NotFound("nothing is registered there")
    return RemovedView(removed=removed)


@HOUSE.operation("GET", "/phones", tag="phones", scope="phones:read", errors=(NotFound,))
async def list_phones(house: House, query: AccountQuery, identity: Identity) -> PhonesView:
    """List the phones."""
    account = account_of(house, identity, query.account)
    registered = Counter(contact.user for contact in house.registrations.contacts(account.id))
    return PhonesView(
        phones=[
            PhoneView(
                extension=phone.extension,
                user=phone.user,
                name=phone.display_name,
                auth_username=phone.auth_username,
                declared=phone.declared,
                registered=registered[phone.user],
            )
            for phone in house.phones.phones(account)
        ]
    )


@HOUSE.operation(
    "POST", "/phones/{extension}/password", tag="phones", scope="phones:write", errors=(NotFound, Conflict, Unavailable)
)
async def rotate_password(
    house: House, path: ExtensionPath, query: AccountQuery, identity: Identity
) -> PhonePasswordView:
    """Give a phone a new password, shown this once.

    The old one stops to work at once. A phone that the configuration declares keeps the password it has there.
    """
    account = account_of(house, identity, query.account)
    phone = next((phone for phone in house.phones.phones(account) if phone.extension == path.extension), None)
    if phone is None:
        raise NotFound("there is no such phone")
    password = await house.phones.rotate_password(account, phone.extension)
    return PhonePasswordView(extension=phone.extension, auth_username=phone.auth_username, password=password)


@HOUSE.operation("POST", "/keys/admin/reset", tag="keys", scope="*", errors=(Conflict, Unavailable))
async def reset_admin_key(house: House) -> KeySecretView:
    """Make the admin key anew, shown this once.

    The old one stops to work at once. Only who may do everything may do this: a key with `*`, or the local user.
    """
    name, secret = await house.reset_admin()
    return KeySecretView(name=name, secret=secret)


@HOUSE.operation("GET", "/trunks", tag="trunks", scope="trunks:read", errors=(NotFound,))
async def list_trunks(house: House, query: AccountQuery, identity: Identity) -> TrunksView:
    """List the trunks and the state of their registrations."""
    account = account_of(house, identity, query.account)
    return TrunksView(
        trunks=[
            TrunkView(
                name=trunk.name,
                proxy=trunk.proxy,
                sources=list(trunk.sources),
                from_user=trunk.from_user,
                registers=trunk.registers,
                state=trunk.state,
                since=moment_or_none(trunk.since),
                expires_at=moment_or_none(trunk.expires_at),
                reason=trunk.reason,
            )
            for trunk in house.trunks(account)
        ]
    )


@HOUSE.operation("GET", "/settings", tag="settings", scope="settings:read")
async def list_settings(house: House) -> SettingsView:
    """List every setting with its value, where the value comes from, and what it is for. Secrets are masked."""
    return SettingsView(
        settings=[
            SettingView(
                key=setting.key,
                value=setting.value,
                source=setting.source.kind.value,
                where=setting.source.where,
                description=setting.description,
                restart=setting.restart,
            )
            for setting in house.settings()
        ]
    )
