"""Keeps the outbox in the store, and builds it from the configuration."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, delete, insert, select

from pbxd.config import Config
from pbxd.ids import new_id
from pbxd.outbox import (
    Item,
    KeeperError,
    Kind,
    MailServer,
    Outbox,
    Parcel,
    Rules,
    Security,
    SmtpSender,
    State,
    WebSender,
    compose_test,
)
from pbxd.outbox.verdict import Outcome
from pbxd.store import Store, StoreError
from pbxd.store.schema import outbox

_FIELDS = tuple(Item.__dataclass_fields__)
_KEY = outbox.c.idempotency_key
_SHOWN = tuple(_KEY.label(name) if name == "key" else outbox.c[name] for name in _FIELDS)
_CHANGING = ("state", "attempts", "due_at", "ended_at", "reason")
_OPEN = (State.WAITING.value, State.SENDING.value)
_INSERT = insert(outbox)
_PURGE = delete(outbox).where(outbox.c.ended_at < bindparam("before"))


class Deliveries:
    """The outbox's Keeper. Each write is committed when the call returns."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._update = store.update_by_id(outbox, *_CHANGING)
        self._update_and_forget = store.update_by_id(outbox, *_CHANGING, "address", "body")

    async def add(self, parcel: Parcel) -> Item:
        item = parcel.item
        same_key = select(*_SHOWN).where(outbox.c.account_id == item.account_id, outbox.c.idempotency_key == item.key)
        if found := await self._items(same_key):
            return found[0]
        row = {name: getattr(item, name) for name in _FIELDS if name != "key"} | {_KEY.name: item.key}
        row |= {"kind": item.kind.value, "state": item.state.value, "address": parcel.address, "body": parcel.body}
        try:
            await self._store.commit([(_INSERT, row)])
        except StoreError as error:
            if found := await self._items(same_key):  # somebody was faster, or the answer was lost and not the row
                return found[0]
            raise KeeperError(str(error)) from None
        return item

    async def update(self, item: Item, *, forget_content: bool = False) -> None:
        values: dict[str, Any] = {name: getattr(item, name) for name in _CHANGING}
        values |= {"key": item.id, "state": item.state.value}
        if forget_content:
            values |= {"address": "{}", "body": b""}
        try:
            await self._store.commit([(self._update_and_forget if forget_content else self._update, values)])
        except StoreError as error:
            raise KeeperError(str(error)) from None

    async def parcel(self, item_id: str) -> Parcel | None:
        query = select(*_SHOWN, outbox.c.address, outbox.c.body).where(outbox.c.id == item_id)
        for row in await self._rows(query):
            return Parcel(_item(row), row["address"], row["body"])
        return None

    async def open(self) -> Sequence[Item]:
        return await self._items(select(*_SHOWN).where(outbox.c.state.in_(_OPEN)).order_by(outbox.c.id))

    async def page(self, state: State | None, limit: int, before: str | None) -> Sequence[Item]:
        query = select(*_SHOWN).order_by(outbox.c.id.desc()).limit(limit)
        if state is not None:
            query = query.where(outbox.c.state == state.value)
        if before is not None:
            query = query.where(outbox.c.id < before)
        return await self._items(query)

    async def purge(self, before: float) -> None:
        try:
            await self._store.commit([(_PURGE, {"before": before})])
        except StoreError as error:
            raise KeeperError(str(error)) from None

    async def _items(self, query: Select[Any]) -> list[Item]:
        return [_item(row) for row in await self._rows(query)]

    async def _rows(self, query: Select[Any]) -> list[dict[str, Any]]:
        try:
            return [row._asdict() for row in await self._store.rows(query)]
        except StoreError as error:
            raise KeeperError(str(error)) from None


def _item(row: dict[str, Any]) -> Item:
    values = {name: row[name] for name in _FIELDS}
    return Item(**values | {"kind": Kind(row["kind"]), "state": State(row["state"])})


class OutboxService:
    """The outbox of the house, as the configuration describes it. `start` it once, `stop` it once."""

    def __init__(self, store: Store, config: Config) -> None:
        """Raises OSError where `mail.authorities` cannot be read."""
        self._config = config
        self._web = WebSender(config.outbox.timeout_s)
        self.outbox = Outbox(Deliveries(store), self._web, mail_sender(config), rules(config))

    async def start(self) -> None:
        """Raises StoreError."""
        await self._web.__aenter__()
        try:
            await self.outbox.start()
        except KeeperError as error:
            raise StoreError(f"the outbox cannot be taken up: {error}") from error

    async def stop(self) -> None:
        await self.outbox.stop()
        await self._web.__aexit__()

    def reload(self, config: Config) -> None:
        """Deliveries under way go on as they were begun. Raises OSError, and then nothing has changed."""
        if config.mail != self._config.mail:
            self.outbox.mail = mail_sender(config)
        self._config = config
        self._web.timeout_s = config.outbox.timeout_s
        self.outbox.rules = rules(config)


def rules(config: Config) -> Rules:
    """What the settings under `outbox` say."""
    said = config.outbox
    return Rules(
        retry_s=said.retry_s,
        max_age_s=said.max_age_s,
        per_destination=said.per_destination,
        max_waiting=said.max_waiting,
        max_bytes=said.max_bytes,
        keep_s=said.keep_s,
    )


def mail_sender(config: Config) -> SmtpSender | None:
    """What the settings under `mail` say; None where no server is named. Raises OSError."""
    said = config.mail
    if said.server is None or said.from_ is None:
        return None
    server = MailServer(
        host=said.server,
        port=said.port,
        security=Security(said.security.value),
        sender=said.from_,
        username=said.username,
        password=said.password.get_secret_value() if said.password else None,
        authorities=said.authorities,
        timeout_s=said.timeout_s,
    )
    return SmtpSender(server)


async def try_mail(config: Config, to: str | None) -> tuple[bool, str]:
    """Whether the mail server takes a mail, without an outbox: sends one to `to`, or with None asks whether it would
    take one for `mail.from`. What it said stands beside. Raises OSError where `mail.authorities` cannot be read."""
    sender = mail_sender(config)
    if sender is None:
        return False, "no mail server is configured (mail.server)"
    if to is None:
        verdict = await sender.knock(sender.server.sender)
    else:
        wall = time.time()
        verdict = await sender.hand_in(to, compose_test(to, sender.server.sender, new_id("test", wall), wall))
    return verdict.outcome is Outcome.DELIVERED, verdict.reason
