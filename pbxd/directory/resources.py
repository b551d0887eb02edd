"""What an account has, by kind: one description for the file, the API, and export: the table, the natural key, and the
model that says which fields there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pbxd.config.accounts import DeviceOptions, Route, TrunkOptions, UserOptions
from pbxd.config.destinations import Conference, Extension
from pbxd.config.groups import CallLimit, Queue, RingGroup
from pbxd.config.mailboxes import Mailbox
from pbxd.config.numbers import E164, DirectNumber, Hours
from pbxd.config.section import Label, Name, Secret, Section
from pbxd.config.values import Number
from pbxd.directory.declared import kind_of, options_of, options_text, route_columns, trunk_columns
from pbxd.directory.model import ExtensionKind
from pbxd.directory.reading import plain

SECRETS = frozenset({"password", "pin", "host_pin", "ha1_md5", "ha1_sha256", "ha1b_md5", "ha1b_sha256"})
"""Fields that nobody is shown."""
CLOSED = "closed"
"""Where the options of a trunk have the password of its registration (pbxd.directory.seal)."""
_HIDDEN = SECRETS - {"pin", "host_pin"}


class UserWish(UserOptions):
    name: Number = Field(description="the user part of its address, and what its own extension is called")
    display_name: Label = Field(default="", description="the caller name it shows; empty is its name")


class DeviceWish(DeviceOptions):
    auth_username: Number = Field(description="what the phone logs in as")
    user: Number = Field(description="whose it is")
    password: Secret | None = Field(default=None, description="never shown again; null keeps the one there is")


class ExtensionWish(Extension):
    number: Number = Field(description="what is dialled")


class NumberWish(DirectNumber):
    number: E164 = Field(description="E.164, with its plus")


class ScheduleWish(Hours):
    name: Name = Field(description="what numbers call it")


class RingGroupWish(RingGroup):
    name: Name = Field(description="what destinations call it")


class QueueWish(Queue):
    name: Name = Field(description="what destinations call it")


class CallLimitWish(CallLimit):
    name: Name = Field(description="its name")


class ConferenceWish(Conference):
    number: Number = Field(description="what is dialled to join")


class MailboxWish(Mailbox):
    number: Number = Field(description="its number; a user's own has the number of the user")
    pin: None = Field(
        default=None, description="always null: a PIN is set by phone, or with POST /voicemail/NUMBER/pin"
    )


class RegisterSaid(Section):
    """How a trunk registers at its proxy, without the password."""

    username: Label = Field(min_length=1, description="auth username at the provider")
    aor: Label | None = Field(default=None, description="user part registered; null is the username")
    expires_s: Annotated[int, Field(strict=True, ge=60, le=31_536_000)] = Field(
        default=3600, description="the registration time asked for"
    )


class RegisterWish(RegisterSaid):
    password: Annotated[SecretStr, Field(min_length=1, max_length=256)] | None = Field(
        default=None, exclude=True, description="never shown again; null keeps the one there is"
    )


class TrunkWish(TrunkOptions):
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    name: Name = Field(description="what routes call it")
    register_: RegisterWish | None = Field(default=None, alias="register", description="register out to the proxy")


class RouteWish(Route):
    position: Annotated[int, Field(strict=True, ge=0, le=999)] = Field(description="the first that matches wins")


Row = Mapping[str, Any]
People = Mapping[str, str]
"""Names of users by their ids, or the other way round."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing. `columns` makes a row's columns of a wish (given the ids of users by name), `fields` the
    wish's fields of a row (given the names by id), without its key."""

    word: str
    table: str
    key: str
    model: type[BaseModel]
    columns: Callable[[Any, People], dict[str, Any]]
    fields: Callable[[Row, People], dict[str, Any]]
    belongs: Callable[[Row], bool] = lambda _row: True
    one: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)  # types of fields that are not shown as they are wished for


def _simple(word: str, table: str, model: type[BaseModel], one: str, key: str = "name", *without: str) -> Kind:
    return Kind(
        word,
        table,
        key,
        model,
        lambda wish, _users: {"options": options_text(wish, key, *without)},
        lambda row, _users: dict(json.loads(row["options"])),
        one=one,
    )


def _user_columns(wish: UserWish, _users: People) -> dict[str, Any]:
    return {"display_name": wish.display_name or wish.name, "options": options_text(wish, "name", "display_name")}


def _user_fields(row: Row, _users: People) -> dict[str, Any]:
    return {"display_name": row["display_name"], **json.loads(row["options"])}


def _device_columns(wish: DeviceWish, users: People) -> dict[str, Any]:
    options = plain(wish.model_dump(mode="json", include=set(DeviceOptions.model_fields), exclude_none=True))
    return {"user_id": users.get(wish.user, ""), "options": options}


_PLAIN_DEVICE = DeviceWish(auth_username="0", user="0").model_dump(mode="json", exclude={"auth_username", "user"})


def _device_fields(row: Row, users: People) -> dict[str, Any]:
    stored = json.loads(row["options"])
    said = {name: stored[name] for name in DeviceOptions.model_fields if name in stored}
    return {**_PLAIN_DEVICE, **said, "user": users.get(row["user_id"], "")}


def _extension_columns(wish: ExtensionWish, users: People) -> dict[str, Any]:
    user = users.get(wish.user, "") if wish.user is not None else None
    return {"kind": kind_of(wish).value, "user_id": user, "options": plain(options_of(wish))}


def _extension_fields(row: Row, users: People) -> dict[str, Any]:
    kind = ExtensionKind(row["kind"])
    match kind:
        case ExtensionKind.USER:
            return {"user": users.get(row["user_id"], "")}
        case ExtensionKind.VOICEMAIL_OWN | ExtensionKind.VOICEMAIL_ANY:
            return {"voicemail": kind.value.rpartition("_")[2]}
        case (
            ExtensionKind.ECHO
            | ExtensionKind.DIGITS
            | ExtensionKind.CALLER
            | ExtensionKind.OPERATOR
            | ExtensionKind.LISTEN
        ):
            return {kind.value: True}
        case ExtensionKind.FAX:
            return {"fax": dict(json.loads(row["options"]))}
        case _:
            return dict(json.loads(row["options"]))


def _conference_columns(wish: ConferenceWish, _users: People) -> dict[str, Any]:
    return {"kind": ExtensionKind.CONFERENCE.value, "user_id": None, "options": options_text(wish, "number")}


def _is_conference(row: Row) -> bool:
    return bool(row["kind"] == ExtensionKind.CONFERENCE.value)


def _trunk_columns(wish: TrunkWish, _users: People) -> dict[str, Any]:
    options = {"register": wish.register_.model_dump(mode="json")} if wish.register_ is not None else {}
    return trunk_columns(wish, options)


def _trunk_fields(row: Row, _users: People) -> dict[str, Any]:
    said = {name: row[name] for name in ("proxy", "from_user", "max_calls", "transit")}
    options = json.loads(row["options"])
    if "register" in options:
        options["register"] = {name: value for name, value in options["register"].items() if name != CLOSED}
    return {**said, "sources": json.loads(row["sources"]), **options}


def _route_fields(row: Row, _users: People) -> dict[str, Any]:
    return {"match": row["pattern"], "trunk": row["trunk"], "strip": row["strip"], "prepend": row["prepend"]}


# In an order in which they can be made: what others name comes first.
KINDS = {
    kind.word: kind
    for kind in (
        Kind("users", "users", "name", UserWish, _user_columns, _user_fields, one="user"),
        Kind("devices", "devices", "auth_username", DeviceWish, _device_columns, _device_fields, one="device"),
        _simple("mailboxes", "mailbox_rules", MailboxWish, "mailbox", "number", "pin"),
        Kind(
            "conferences",
            "extensions",
            "number",
            ConferenceWish,
            _conference_columns,
            lambda row, _users: dict(json.loads(row["options"])),
            _is_conference,
            one="conference",
        ),
        Kind(
            "extensions",
            "extensions",
            "number",
            ExtensionWish,
            _extension_columns,
            _extension_fields,
            lambda row: not _is_conference(row),
            one="extension",
        ),
        _simple("schedules", "schedules", ScheduleWish, "schedule"),
        _simple("ring_groups", "ring_groups", RingGroupWish, "ring group"),
        _simple("queues", "queues", QueueWish, "queue"),
        Kind(
            "trunks",
            "trunks",
            "name",
            TrunkWish,
            _trunk_columns,
            _trunk_fields,
            one="trunk",
            seen={"register_": RegisterSaid | None},
        ),
        Kind(
            "routes",
            "routes",
            "position",
            RouteWish,
            lambda wish, _users: route_columns(wish),
            _route_fields,
            one="route",
        ),
        _simple("numbers", "numbers", NumberWish, "number", "number"),
        _simple("call_limits", "call_limits", CallLimitWish, "call limit"),
    )
}


def masked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as others may see them: of secrets only that there are some."""
    return {name: "***" if name in SECRETS and value is not None else value for name, value in fields.items()}


def shown(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields without those that only a phone needs to know; the PINs of conferences are shown, for people are told."""
    return {name: value for name, value in fields.items() if name not in _HIDDEN}
