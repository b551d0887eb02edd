"""How trunks that were made by API register at their providers: what a row says, and the password it has closed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pbxd.directory.model import TrunkRegister
from pbxd.directory.resources import CLOSED, TrunkWish
from pbxd.directory.seal import Seal
from pbxd.errors import Invalid
from pbxd.logs import get_logger
from pbxd.sip.uri import Uri

Row = Mapping[str, Any]

log = get_logger(part="directory")


def closed_in(seal: Seal, trunk_id: str, wish: TrunkWish, before: Row | None) -> str | None:
    """The closed password of a trunk as it is wished for; None where it does not register.

    Without a new one the old one stays, where user name and proxy do: it is never sent where it was not meant for.
    Raises Invalid.
    """
    register = wish.register_
    if register is None:
        return None
    if wish.proxy is None:
        raise Invalid("register: there is no proxy to register to")
    if register.password is not None:
        return seal.close(register.password.get_secret_value(), trunk_id)
    known = json.loads(before["options"]).get("register", {}) if before is not None else {}
    same = known.get("username") == register.username and before is not None and _host(before) == _host_of(wish.proxy)
    if not same or known.get(CLOSED) is None:
        raise Invalid("register.password: it is needed, and needed again for another user name or proxy")
    return str(known[CLOSED])


def stored_registers(rows: Iterable[Row], seal: Seal) -> dict[tuple[str, str], TrunkRegister]:
    """How the trunks of the store register, by account and name. One whose password is not there does not."""
    found: dict[tuple[str, str], TrunkRegister] = {}
    for row in rows:
        said = json.loads(row["options"]).get("register")
        if said is None or said.get(CLOSED) is None:
            continue
        password = seal.open(said[CLOSED], row["id"])
        if password is None:
            log.warning("the password of a trunk was closed by another house: set it again", trunk=row["name"])
            continue
        username = said["username"]
        register = TrunkRegister(username, password, said.get("aor") or username, said["expires_s"])
        found[row["account_id"], row["name"]] = register
    return found


def _host(row: Row) -> str | None:
    return _host_of(row["proxy"]) if row["proxy"] is not None else None


def _host_of(proxy: str) -> str:
    uri = Uri.parse(proxy)
    return f"{uri.scheme}:{uri.host}:{uri.port}".lower()
