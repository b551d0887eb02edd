"""The directory: what the file declares, what the house made, and what a call may ask."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from pbxd.config import Config
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Aor, ExtensionKind, PhoneEntry
from pbxd.directory.passwords import PASSWORD_LENGTH, make_password
from pbxd.errors import Conflict, NotFound
from pbxd.sip.digest import ha1
from pbxd.store import Store
from pbxd.store.schema import METADATA, devices, extensions, trunks, users
from tests.directory.conftest import TEXT, WALL, Configure


async def dump(store: Store) -> dict[str, list[tuple[object, ...]]]:
    found = {}
    for name, table in METADATA.tables.items():
        found[name] = sorted((tuple(row) for row in await store.rows(select(table))), key=repr)
    return found


async def test_any_host_we_do_not_know_better_means_the_default_account(directory: Directory) -> None:
    for host in ("127.0.0.1", "::1", "[::1]", "lab.example", "LAB.example.", "192.0.2.1", "nobody.example", ""):
        assert directory.account_for_host(host).slug == "lab"
    account = directory.default_account
    assert (account.realm, account.domains) == ("lab.example", frozenset({"lab.example", "127.0.0.1"}))
    assert directory.account(account.id) == account
    assert directory.accounts() == [account]
    assert directory.account("acc_none") is None


async def test_a_declared_phone_is_user_device_and_extension(directory: Directory) -> None:
    account = directory.default_account
    user, device, extension = (
        directory.user(account, "1001"),
        directory.device(account, "1001"),
        directory.extension(account, "1001"),
    )
    assert user is not None
    assert device is not None
    assert extension is not None
    assert (user.name, user.display_name) == ("1001", "Alice")
    assert device.ha1_md5 == ha1("1001", "lab.example", "lab-1001", "MD5")
    assert device.ha1_sha256 == ha1("1001", "lab.example", "lab-1001", "SHA-256")
    assert (device.user, device.realm) == ("1001", "lab.example")
    assert (extension.kind, extension.user) == (ExtensionKind.USER, "1001")
    assert "ha1" not in repr(device)
    assert device.ha1_md5 not in repr(device)
    assert directory.device(account, "1003") is None


async def test_an_extension_leads_to_an_echo_or_a_user(directory: Directory) -> None:
    account = directory.default_account
    echo, alias = directory.extension(account, "600"), directory.extension(account, "700")
    assert echo is not None
    assert alias is not None
    assert (echo.kind, echo.user) == (ExtensionKind.ECHO, None)
    assert (alias.kind, alias.user) == (ExtensionKind.USER, "1001")
    assert directory.aor(account, "700") == directory.aor(account, "1001") == Aor(account.id, "1001")
    assert directory.aor(account, "600") is None
    assert directory.aor(account, "9999") is None


async def test_a_phone_may_call_in_its_own_names_only(directory: Directory) -> None:
    account = directory.default_account
    device = directory.device(account, "1001")
    assert device is not None
    assert [name for name in ("1001", "700", "1002", "600", "") if directory.owns(account, device, name)] == [
        "1001",
        "700",
    ]


@pytest.mark.parametrize(
    ("source", "from_user", "trunk"),
    [
        ("127.0.0.1", "bench", "bench"),
        ("127.0.0.1", "1001", None),
        ("127.0.0.1", None, None),
        ("127.0.0.2", "bench", None),
        ("127.0.0.11", "bench", "peer"),
        ("127.0.0.11", None, "peer"),
        ("::1", "bench", None),
    ],
)
async def test_a_trunk_is_known_by_its_address_and_from_user(
    directory: Directory, source: str, from_user: str | None, trunk: str | None
) -> None:
    found = directory.trunk_for(source, from_user)
    assert (found.name if found else None) == trunk


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("8123", ("uas", "8123")),
        ("812", None),
        ("81234", None),
        ("0301234", ("carrier", "+49301234")),
        ("00301234", None),
        ("03", None),
        ("8abc", None),
        ("0" + "3" * 64, None),
    ],
)
async def test_a_dialled_number_finds_its_trunk(
    directory: Directory, number: str, expected: tuple[str, str] | None
) -> None:
    found = directory.outbound(directory.default_account, number)
    assert (None if found is None else (found[0].name, found[1])) == expected


async def test_the_password_of_a_trunk_is_known_and_not_stored(directory: Directory, store: Store) -> None:
    trunk = directory.trunk(directory.default_account, "carrier")
    assert trunk is not None
    assert trunk.register is not None
    assert (trunk.register.username, trunk.register.password, trunk.register.aor) == ("me", "mine-alone", "me")
    assert "mine-alone" not in repr(trunk)
    assert "mine-alone" not in repr(await dump(store))
    assert "lab-1001" not in repr(await dump(store))
    names = [trunk.name for trunk in directory.trunks(directory.default_account)]
    assert names == ["uas", "bench", "peer", "carrier"]


async def test_a_registered_providers_addresses_are_trusted_until_taken_back(
    directory: Directory, config: Config
) -> None:
    trunk = directory.trunk(directory.default_account, "carrier")
    assert trunk is not None
    directory.trust_registered(trunk, frozenset({"192.0.2.9", "127.0.0.11"}))
    assert directory.trunk_for("192.0.2.9", "anybody") == trunk
    found = directory.trunk_for("127.0.0.11", "anybody")
    assert found is not None
    assert found.name == "peer"  # what the file says goes first
    await directory.reload(config, WALL)
    assert directory.trunk_for("192.0.2.9", None) == trunk
    directory.trust_registered(trunk, frozenset())
    assert directory.trunk_for("192.0.2.9", None) is None


async def test_loading_twice_changes_nothing(directory: Directory, store: Store, config: Config) -> None:
    before = await dump(store)
    again = await Directory.load(store, config, WALL + 100)
    assert await dump(store) == before
    assert again.default_account == directory.default_account


async def test_a_reload_takes_up_what_changed_and_keeps_ids(
    directory: Directory, store: Store, configure: Configure
) -> None:
    account = directory.default_account
    old = directory.device(account, "1001")
    text = TEXT.replace("lab-1001, name: Alice", "changed-1001, name: Alicia").replace(
        '  "1002": {password: lab-1002}\n', '  "1003": {password: lab-1003}\n'
    )
    text = text.replace('  - {match: "8XXX", trunk: uas}\n', "").replace("max_calls: 3", "max_calls: 4")
    await directory.reload(configure(text), WALL + 1)
    new = directory.device(account, "1001")
    assert old is not None
    assert new is not None
    assert (new.id, new.ha1_md5) == (old.id, ha1("1001", "lab.example", "changed-1001"))
    user = directory.user(account, "1001")
    assert user is not None
    assert user.display_name == "Alicia"
    assert directory.device(account, "1002") is None
    assert directory.extension(account, "1002") is None
    assert directory.device(account, "1003") is not None
    assert directory.outbound(account, "8123") is None
    assert directory.outbound(account, "0301234") is not None
    uas = directory.trunk(account, "uas")
    assert uas is not None
    assert uas.max_calls == 4
    assert len(await store.rows(select(users))) == 2


async def test_what_the_house_made_stays_and_a_declared_phone_takes_over(
    directory: Directory, store: Store, config: Config, configure: Configure
) -> None:
    account = directory.default_account
    made = await directory.add_phones(account, ["1003", "1001", "600", "1004"], WALL)
    assert [number for number, _ in made] == ["1003", "1004"]  # the others are taken
    await directory.reload(config, WALL)
    device = directory.device(account, "1003")
    assert device is not None
    assert device.ha1_sha256 == ha1("1003", "lab.example", dict(made)["1003"], "SHA-256")
    taking = TEXT.replace('"1002": {password: lab-1002}', '"1003": {password: declared-1003}')
    await directory.reload(configure(taking), WALL)
    taken = directory.device(account, "1003")
    assert taken is not None
    assert (taken.id, taken.declared) == (device.id, True)
    assert taken.ha1_md5 == ha1("1003", "lab.example", "declared-1003")
    await directory.reload(config, WALL)
    assert directory.device(account, "1003") is None
    assert directory.device(account, "1004") is not None


async def test_an_extension_may_lead_to_a_phone_that_is_made_later(
    directory: Directory, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    account = directory.default_account
    text = TEXT.replace('first_start: {phones: "", ', "first_start: {phones: 1003-1004, ")
    await directory.reload(configure(text.replace('"700": {user: "1001"}', '"700": {user: "1003"}')), WALL)
    assert directory.extension(account, "700") is None
    assert caplog.messages == ["the extension 700 leads to the user 1003, who does not exist"]
    await directory.add_phones(account, ["1003"], WALL)
    assert directory.aor(account, "700") == Aor(account.id, "1003")


async def test_a_domain_moves_with_its_account(directory: Directory, configure: Configure) -> None:
    await directory.reload(configure(TEXT.replace("slug: lab", "slug: other")), WALL)
    assert directory.default_account.slug == "other"
    assert directory.account_for_host("lab.example").slug == "other"
    assert sorted(account.slug for account in directory.accounts()) == ["lab", "other"]


async def test_phones_are_listed_by_extension(directory: Directory) -> None:
    account = directory.default_account
    await directory.add_phones(account, ["200"], WALL)
    assert directory.phones(account) == [
        PhoneEntry("200", "200", "200", "200", declared=False),
        PhoneEntry("1001", "1001", "Alice", "1001", declared=True),
        PhoneEntry("1002", "1002", "1002", "1002", declared=True),
    ]


async def test_a_rotated_password_is_in_force_at_once_and_after_a_restart(
    directory: Directory, store: Store, config: Config
) -> None:
    account = directory.default_account
    ((_, first),) = await directory.add_phones(account, ["1005"], WALL)
    second = await directory.rotate_password(account, "1005")
    assert first != second
    for each in (directory, await Directory.load(store, config, WALL)):
        device = each.device(account, "1005")
        assert device is not None
        assert device.ha1_md5 == ha1("1005", "lab.example", second)
        assert device.ha1_sha256 == ha1("1005", "lab.example", second, "SHA-256")
    assert second not in repr(await dump(store))


async def test_a_password_that_cannot_be_rotated_says_why(directory: Directory) -> None:
    account = directory.default_account
    with pytest.raises(Conflict, match="declared in the configuration file"):
        await directory.rotate_password(account, "700")
    for number in ("600", "9999"):
        with pytest.raises(NotFound, match=f"there is no phone {number}"):
            await directory.rotate_password(account, number)


async def test_everything_is_found_again_after_a_restart(directory: Directory, store: Store, config: Config) -> None:
    await directory.add_phones(directory.default_account, ["1005"], WALL)
    again = await Directory.load(store, config, WALL + 1)
    assert again.phones(again.default_account) == directory.phones(directory.default_account)
    assert again.trunks(again.default_account) == directory.trunks(directory.default_account)
    for table, count in ((devices, 3), (extensions, 5), (trunks, 4)):
        assert len(await store.rows(select(table))) == count


def test_a_password_is_long_and_easy_to_type() -> None:
    made = {make_password() for _ in range(200)}
    assert len(made) == 200
    assert {len(password) for password in made} == {PASSWORD_LENGTH}
    assert not set("".join(made)) & set("ilo01ABCDEFGHIJKLMNOPQRSTUVWXYZ")


async def test_a_house_of_two_thousand_phones(store: Store, configure: Configure) -> None:
    text = 'first_start: {phones: ""}\nextensions: {}\nphones:\n'
    text += "".join(f'  "{number}": {{password: password-{number}}}\n' for number in range(10_000, 12_000))
    directory = await Directory.load(store, configure(text), WALL)
    account = directory.default_account
    assert len(directory.phones(account)) == 2_000
    device = directory.device(account, "11999")
    assert device is not None
    assert device.ha1_md5 == ha1("11999", "pbxd", "password-11999")
