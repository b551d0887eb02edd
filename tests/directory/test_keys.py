"""API keys: declared or made, found by their hash, never kept in full."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from pbxd.config import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.first_start import first_start
from pbxd.directory.keys import EVERYTHING, Keys, hash_key
from pbxd.errors import Conflict
from pbxd.sip.digest import ha1
from pbxd.store import Store
from pbxd.store.schema import keys as keys_table
from tests.directory.conftest import TEXT, WALL, Configure


@pytest.fixture
async def keys(store: Store, directory: Directory, config: Config) -> Keys:
    return await Keys.load(store, config, directory.ids, WALL)


async def test_a_declared_key_opens_what_its_scopes_say(keys: Keys, directory: Directory) -> None:
    admin, reader = keys.check("lab-admin"), keys.check("lab-reader")
    assert admin is not None
    assert reader is not None
    assert (admin.name, admin.account_id, admin.declared) == ("lab-admin", directory.default_account.id, True)
    assert admin.scopes == {EVERYTHING}
    assert "calls:read" in reader.scopes
    assert not {"calls:write", EVERYTHING} & reader.scopes


@pytest.mark.parametrize("secret", ["", "lab-admi", "lab-admin ", hash_key("lab-admin"), "x" * 10_000, "\ud800"])
async def test_anything_else_opens_nothing(keys: Keys, secret: str) -> None:
    assert keys.check(secret) is None


async def test_only_hashes_are_stored(keys: Keys, store: Store) -> None:
    rows = await store.rows(select(keys_table))
    assert {row.hash for row in rows} == {hash_key("lab-admin"), hash_key("lab-reader")}
    assert "lab-admin'" not in repr([row.hash for row in rows])
    assert len(keys.all()) == 2


async def test_a_made_key_is_shown_once_and_works_after_a_restart(
    keys: Keys, store: Store, directory: Directory, config: Config
) -> None:
    account_id = directory.default_account.id
    secret = await keys.make(account_id, "made", ["calls:read"], WALL)
    assert secret.startswith("pbxd_")
    assert len(secret) > 40
    for each in (keys, await Keys.load(store, config, directory.ids, WALL)):
        key = each.check(secret)
        assert key is not None
        assert (key.name, key.scopes, key.declared) == ("made", frozenset({"calls:read"}), False)
    assert secret not in repr(await store.rows(select(keys_table)))
    with pytest.raises(Conflict, match="already a key made"):
        await keys.make(account_id, "made", ["*"], WALL)


async def test_a_reload_takes_keys_away_and_changes_them(
    keys: Keys, directory: Directory, configure: Configure
) -> None:
    account_id = directory.default_account.id
    made = await keys.make(account_id, "made", ["*"], WALL)
    text = TEXT.replace("lab-admin: {secret: lab-admin}", "lab-admin: {secret: other-secret}")
    text = text.replace('  reader: {secret: lab-reader, scopes: ["calls:read"]}\n', "")
    await keys.reload(configure(text), directory.ids, WALL)
    assert keys.check("lab-admin") is None
    assert keys.check("lab-reader") is None
    assert keys.check("other-secret") is not None
    assert keys.check(made) is not None


# ---- first start


async def test_an_empty_house_is_given_phones_and_a_key_once(
    store: Store, directory: Directory, keys: Keys, configure: Configure
) -> None:
    config = configure(TEXT.replace('{phones: "", admin_key: false}', "{phones: 1002-1005, admin_key: true}"))
    card = await first_start(directory, keys, store, config, WALL)
    assert card is not None
    assert card.realm == "lab.example"
    assert [number for number, _ in card.phones] == ["1003", "1004", "1005"]  # 1002 is declared
    for number, password in card.phones:
        device = directory.device(directory.default_account, number)
        assert device is not None
        assert device.ha1_md5 == ha1(number, "lab.example", password)
    assert card.admin_key is not None
    key = keys.check(card.admin_key)
    assert key is not None
    assert key.scopes == {EVERYTHING}
    assert card.admin_key not in repr(card)
    assert card.phones[0][1] not in repr(card)
    assert await first_start(directory, keys, store, config, WALL) is None


async def test_a_house_that_wants_nothing_gets_nothing(
    store: Store, directory: Directory, keys: Keys, config: Config, configure: Configure
) -> None:
    assert await first_start(directory, keys, store, config, WALL) is None
    later = configure(TEXT.replace('{phones: "", admin_key: false}', "{phones: 1003-1004, admin_key: true}"))
    assert await first_start(directory, keys, store, later, WALL) is None  # the first start was before


async def test_an_interrupted_first_start_is_finished_by_the_next(
    store: Store, directory: Directory, keys: Keys, configure: Configure
) -> None:
    config = configure(TEXT.replace('{phones: "", admin_key: false}', "{phones: 1003-1004, admin_key: true}"))
    await directory.add_phones(directory.default_account, ["1003"], WALL)
    card = await first_start(directory, keys, store, config, WALL)
    assert card is not None
    assert [number for number, _ in card.phones] == ["1004"]
    assert card.admin_key is not None
