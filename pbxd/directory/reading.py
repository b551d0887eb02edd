"""From rows to values: what the options of a row say, read by the very models that the configuration file has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row as SqlRow

from pbxd.config.accounts import DeviceOptions, UserOptions
from pbxd.config.groups import CallLimit as LimitOptions
from pbxd.config.groups import Queue as QueueOptions
from pbxd.config.groups import RingGroup as GroupOptions
from pbxd.config.numbers import Destination as DestinationOptions
from pbxd.config.numbers import DirectNumber, Hours
from pbxd.directory.model import (
    CallLimit,
    Destination,
    DestinationKind,
    Device,
    Number,
    OwnSound,
    QueueSpec,
    RingGroup,
    ScheduleSpec,
    User,
)
from pbxd.sip.flow import Transport

Row = Mapping[str, Any]


def as_dicts(rows: Sequence[SqlRow[Any]]) -> list[dict[str, Any]]:
    """Rows of one query by the names of their columns."""
    names = rows[0]._fields if rows else ()
    return [dict(zip(names, row, strict=True)) for row in rows]


def user_of(row: Row) -> User:
    said = UserOptions.model_validate_json(row["options"]).model_dump()
    operator = said.pop("operator")
    return User(
        row["id"],
        row["account_id"],
        row["name"],
        row["display_name"],
        **said,
        is_operator=operator,
        declared=row["declared"],
    )


def device_of(row: Row, user: str, own: OwnSound) -> Device:
    """`user` is the name of whose it is."""
    stored = json.loads(row["options"])  # accounts that were read in once have more there than they should
    said = DeviceOptions.model_validate({name: stored[name] for name in DeviceOptions.model_fields if name in stored})
    return Device(
        id=row["id"],
        account_id=row["account_id"],
        auth_username=row["auth_username"],
        realm=row["realm"],
        ha1_md5=row["ha1_md5"],
        ha1_sha256=row["ha1_sha256"],
        user=user,
        declared=row["declared"],
        codecs=own.codecs,
        srtp=own.srtp,
        domain=row["domain"],
        ha1b_md5=row["ha1b_md5"],
        ha1b_sha256=row["ha1b_sha256"],
        transport=Transport[said.transport.name] if said.transport is not None else None,
        ring_order=said.ring_order,
        ring_on_fork=said.ring_on_fork,
    )


def destination_of(said: DestinationOptions | None) -> Destination | None:
    """None for none."""
    if said is None:
        return None
    ((kind, name),) = said.said
    return Destination(DestinationKind(kind), name)


def number_of(row: Row) -> Number:
    said = DirectNumber.model_validate_json(row["options"])
    ((kind, name),) = said.said
    return Number(
        id=row["id"],
        account_id=row["account_id"],
        number=row["number"],
        dest=Destination(DestinationKind(kind), name),
        closed=destination_of(said.closed),
        holiday=destination_of(said.holiday),
        schedule=said.schedule,
        max_channels=said.max_channels,
        fax_mode=said.fax_mode,
        allow_anonymous=said.allow_anonymous,
        active=said.active,
        declared=row["declared"],
    )


def ring_group_of(row: Row) -> RingGroup:
    said = GroupOptions.model_validate_json(row["options"])
    return RingGroup(
        row["id"],
        row["account_id"],
        row["name"],
        said.members,
        said.strategy,
        said.ring_timeout_s,
        destination_of(said.no_answer),
    )


def queue_of(row: Row) -> QueueSpec:
    said = QueueOptions.model_validate_json(row["options"])
    return QueueSpec(row["id"], row["account_id"], row["name"], **said.model_dump())


def schedule_of(row: Row) -> ScheduleSpec:
    said = Hours.model_validate_json(row["options"])
    return ScheduleSpec(row["id"], row["account_id"], row["name"], said.named(row["name"]))


def limit_of(row: Row) -> CallLimit:
    said = LimitOptions.model_validate_json(row["options"])
    return CallLimit(
        id=row["id"],
        account_id=row["account_id"],
        name=row["name"],
        scope_kind=said.scope,
        scope_id=said.id,
        direction=said.direction,
        period_s=said.period_s,
        max_count=said.max,
        hard=said.hard,
    )


def plain(options: object) -> str:
    """Options as a row has them: the same text for the same options."""
    return json.dumps(options, sort_keys=True)
