"""From rows to values: what the options of a row say, read by the very models that the configuration file has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row as SqlRow

from pbxd.config.accounts import UserOptions
from pbxd.config.groups import CallLimit as LimitOptions
from pbxd.config.groups import Queue as QueueOptions
from pbxd.config.groups import RingGroup as GroupOptions
from pbxd.config.numbers import Destination as DestinationOptions
from pbxd.config.numbers import DirectNumber, Hours
from pbxd.directory.model import (
    CallLimit,
    Destination,
    DestinationKind,
    Number,
    QueueSpec,
    RingGroup,
    ScheduleSpec,
    User,
)

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
