"""One house in one file, and back: while it runs, damaged, newer, hostile."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sqlite3
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pbxd import backup, box
from pbxd.admin_key import reset
from pbxd.app import App
from pbxd.backup import BackupError, save, unpack
from pbxd.cli import Exit, act, build_parser
from pbxd.config import Config, load
from pbxd.directory.keys import hash_key
from pbxd.store import DataDirectory, DataDirectoryError
from tests.test_tls import elliptic, make

WALL = 1_790_000_000.0


def write_config(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "etc" / "pbxd.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"data_dir: {tmp_path}/lib/pbxd\nsip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []{more}}}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47200-47299}\n",
        encoding="utf-8",
    )
    return path


async def _first_life(config: Config) -> None:
    app = App(config)
    await app.start()
    await app.stop()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    return write_config(tmp_path)


@pytest.fixture
def config(configuration: Path) -> Config:
    """A house that was started once."""
    config = load(configuration)
    asyncio.run(_first_life(config))
    return config


def run(*arguments: str) -> Exit:
    return act(build_parser(box.add_commands).parse_args(arguments))


def saved(config: Config, configuration: Path) -> bytes:
    target = io.BytesIO()
    save(config, configuration, target, WALL)
    return target.getvalue()


def rewritten(data: bytes, change: Callable[[dict[str, bytes]], None]) -> bytes:
    """The back-up with other contents."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    change(files)
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


def with_manifest(**change: Any) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        files[backup.MANIFEST] = json.dumps({**json.loads(files[backup.MANIFEST]), **change}).encode()

    return apply


def keys_in(data: Path) -> set[str]:
    with sqlite3.connect(data / "pbxd.db") as connection:
        found = {row[0] for row in connection.execute("SELECT hash FROM keys")}
    connection.close()
    return found


def test_a_house_goes_into_a_file_and_back(
    config: Config, configuration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = config.data_dir
    (data / "voicemail").mkdir()
    (data / "voicemail" / "one.wav").write_bytes(b"sound")
    (data / "cache").mkdir(exist_ok=True)
    (data / "cache" / "said.wav").write_bytes(b"made again")
    flows = tmp_path / "etc" / "dialplan"
    flows.mkdir()
    (flows / "reception.yaml").write_text("# saved\n", encoding="utf-8")
    secret, keys = (data / "secret").read_text(), keys_in(data)
    file = tmp_path / "house.tar"
    assert run("backup", "--config", str(configuration), str(file)) is Exit.DONE
    assert file.stat().st_mode & 0o777 == 0o600
    new_key = reset(config, WALL)
    (data / "secret").write_text("ff" * 32)
    text = configuration.read_text()
    configuration.write_text(text + "node: changed\n")
    (tmp_path / "etc" / "pbxd.yaml").chmod(0o640)
    (flows / "reception.yaml").write_text("# changed\n", encoding="utf-8")
    (flows / "more.yaml").touch()
    assert run("restore", "--config", str(configuration), str(file)) is Exit.DONE
    assert "What was there before is kept" in capsys.readouterr().out
    assert ((data / "secret").read_text(), keys_in(data)) == (secret, keys)
    assert (data / "voicemail" / "one.wav").read_bytes() == b"sound"
    assert (configuration.read_text(), configuration.stat().st_mode & 0o777) == (text, 0o640)
    assert not (data / "cache" / "said.wav").exists()
    (flow,) = flows.iterdir()
    assert (flow.name, flow.read_text(), flow.stat().st_mode & 0o777) == ("reception.yaml", "# saved\n", 0o640)
    (flows_before,) = (tmp_path / "etc").glob("dialplan.before-*")
    assert {path.name for path in flows_before.iterdir()} == {"reception.yaml", "more.yaml"}
    (before,) = (tmp_path / "lib").glob("pbxd.before-*")
    assert hash_key(new_key) in keys_in(before)
    (config_before,) = (tmp_path / "etc").glob("pbxd.yaml.before-*")
    assert "changed" in config_before.read_text()
    assert {path.name for path in (tmp_path / "lib").iterdir()} == {"pbxd", before.name}
    assert data.stat().st_mode & 0o777 == 0o700
    asyncio.run(_first_life(config))


def test_flows_that_lay_elsewhere_are_put_into_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path / "flows"
    elsewhere.mkdir()
    (elsewhere / "one.yaml").write_text("# saved\n", encoding="utf-8")
    configuration = write_config(tmp_path)
    configuration.write_text(configuration.read_text() + f"dialplan: {{folder: {elsewhere}}}\n", encoding="utf-8")
    asyncio.run(_first_life(load(configuration)))
    file = tmp_path / "house.tar"
    assert run("backup", "--config", str(configuration), str(file)) is Exit.DONE
    (elsewhere / "one.yaml").write_text("# changed\n", encoding="utf-8")
    assert run("restore", "--config", str(configuration), str(file)) is Exit.DONE
    assert "are in dialplan.saved in the data" in capsys.readouterr().out
    assert (elsewhere / "one.yaml").read_text() == "# changed\n"
    assert (tmp_path / "lib" / "pbxd" / "dialplan.saved" / "one.yaml").read_text() == "# saved\n"


async def test_a_running_house_is_saved_as_of_one_moment_and_not_restored(configuration: Path, tmp_path: Path) -> None:
    config = load(configuration)
    app = App(config)
    await app.start()
    try:
        made = await asyncio.to_thread(saved, config, configuration)
        file = tmp_path / "house.tar"
        file.write_bytes(made)
        staging = tmp_path / "lib" / "staging"
        staging.mkdir()
        with file.open("rb") as source:
            manifest = unpack(source, staging)
        assert {entry.name for entry in manifest.files} == {"data/pbxd.db", "data/secret", "config/pbxd.yaml"}
        assert keys_in(staging / "data") == {hash_key(app.card.admin_key or "")}  # type: ignore[union-attr]
        with pytest.raises(BackupError, match=r"another pbxd uses .* stop it"):
            backup.put_in_place(staging, manifest, config, configuration, "now")
        assert await asyncio.to_thread(run, "restore", "--config", str(configuration), str(file)) is Exit.REFUSED
        assert list((tmp_path / "lib").glob("*.before-*")) == []
    finally:
        await app.stop()


def _drop_manifest(files: dict[str, bytes]) -> None:
    del files[backup.MANIFEST]


def _flip(files: dict[str, bytes]) -> None:
    files["data/secret"] = files["data/secret"][::-1]


def _add_more(files: dict[str, bytes]) -> None:
    files["data/more"] = b"x"


def _lose_one(files: dict[str, bytes]) -> None:
    del files["data/secret"]


def _break_database(files: dict[str, bytes]) -> None:
    _put(files, "data/pbxd.db", files["data/pbxd.db"][:4096] + bytes(len(files["data/pbxd.db"]) - 4096))


def _newer_database(files: dict[str, bytes]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(files["data/pbxd.db"])
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    _put(files, "data/pbxd.db", connection.serialize())
    connection.close()


def _put(files: dict[str, bytes], name: str, content: bytes) -> None:
    """With the right checksum: whoever made this meant it."""
    files[name] = content
    manifest = json.loads(files[backup.MANIFEST])
    for entry in manifest["files"]:
        if entry["name"] == name:
            entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    files[backup.MANIFEST] = json.dumps(manifest).encode()


def _called(name: str) -> Callable[[dict[str, bytes]], None]:
    def apply(files: dict[str, bytes]) -> None:
        files[name] = b"x"

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_drop_manifest, "it has no manifest"),
        (_flip, "data/secret is not what was saved"),
        (_add_more, "data/more is not what was saved"),
        (_lose_one, "data/secret is not what was saved"),
        (_break_database, "damaged"),
        (_newer_database, "newer than this pbxd"),
        (with_manifest(format=2), "newer than this one"),
        (with_manifest(revision="9999"), "newer than this one"),
        (with_manifest(files=[{"name": 3}]), "manifest of the back-up is damaged"),
        (with_manifest(surprise=1), "manifest of the back-up is damaged"),
        (_called("data/../../evil"), "what no back-up holds"),
        (_called("/etc/evil"), "what no back-up holds"),
        (_called("data/./evil"), "what no back-up holds"),
        (_called("etc/evil"), "what no back-up holds"),
        (_called("config/other.yaml"), "what no back-up holds"),
    ],
)
def test_what_is_not_a_whole_back_up_of_ours_is_refused(
    config: Config,
    configuration: Path,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "bad.tar"
    file.write_bytes(rewritten(saved(config, configuration), change))
    before = keys_in(config.data_dir)
    assert run("restore", "--config", str(configuration), str(file)) is Exit.REFUSED
    assert reason in capsys.readouterr().err
    assert keys_in(config.data_dir) == before
    assert [path.name for path in (tmp_path / "lib").iterdir()] == ["pbxd"]
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        member = tarfile.TarInfo("data/link")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(BackupError, match="what no back-up holds"):
        unpack(io.BytesIO(target.getvalue()), tmp_path)


def test_a_name_that_comes_twice_is_refused(config: Config, configuration: Path, tmp_path: Path) -> None:
    one = saved(config, configuration)
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        end = tar.getmembers()[-1].offset
    with pytest.raises(BackupError, match="one twice"):
        unpack(io.BytesIO(one[:end] + one), tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(config: Config, configuration: Path, tmp_path: Path, share: float) -> None:
    whole = saved(config, configuration)
    with pytest.raises(BackupError, match=r"whole back-up|no manifest|cannot be read"):
        unpack(io.BytesIO(whole[: int(len(whole.rstrip(b"\0")) * share)]), tmp_path)


def test_a_back_up_larger_than_the_disk_is_refused(
    config: Config, configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "SPARE_BYTES", 1 << 60)
    with pytest.raises(BackupError, match="has no room"):
        unpack(io.BytesIO(saved(config, configuration)), tmp_path)


def test_a_failed_back_up_leaves_the_one_of_before(config: Config, configuration: Path, tmp_path: Path) -> None:
    file = tmp_path / "house.tar"
    file.write_bytes(b"the one of before")
    (config.data_dir / "pbxd.db").write_bytes(b"no database" * 1000)
    assert run("backup", "--config", str(configuration), str(file)) is Exit.REFUSED
    assert file.read_bytes() == b"the one of before"
    assert {path.name for path in tmp_path.iterdir()} == {"etc", "lib", "house.tar"}


def test_links_in_the_data_directory_are_not_followed(config: Config, configuration: Path) -> None:
    (config.data_dir / "link").symlink_to("/etc/passwd")
    assert b"root:" not in saved(config, configuration)


def test_certificates_outside_the_data_come_along(tmp_path: Path, config: Config) -> None:
    tls = tmp_path / "etc" / "tls"
    tls.mkdir()
    near, far = make(tls, "near", elliptic(), "near.test"), make(tmp_path, "far", elliptic(), "far.test")
    more = (
        f", certificate: {near.certificate}, private_key: {near.private_key}, certificates: "
        f"[{{names: [far.test], certificate: {far.certificate}, private_key: {far.private_key}}}]"
    )
    configuration = write_config(tmp_path, more)
    file = tmp_path / "house.tar"
    file.write_bytes(saved(load(configuration), configuration))
    was = near.certificate.read_bytes(), far.certificate.read_bytes()
    near.certificate.unlink()
    far.certificate.unlink()
    assert run("restore", "--config", str(configuration), str(file)) is Exit.DONE
    assert near.certificate.read_bytes() == was[0]  # beside the configuration: put back
    assert not far.certificate.exists()  # anywhere else: a person must do that
    (aside,) = (config.data_dir / "certificates").glob("*far.crt")
    assert aside.read_bytes() == was[1]


def test_data_that_would_land_elsewhere_is_refused(config: Config, configuration: Path, tmp_path: Path) -> None:
    file = tmp_path / "house.tar"
    file.write_bytes(saved(config, configuration))
    other = tmp_path / "other.yaml"
    other.write_text(f"data_dir: {tmp_path}/elsewhere/pbxd\n", encoding="utf-8")
    assert run("restore", "--config", str(other), str(file)) is Exit.REFUSED
    assert run("restore", "--config", str(other), "--keep-config", str(file)) is Exit.DONE
    assert keys_in(tmp_path / "elsewhere" / "pbxd") == keys_in(config.data_dir)


def test_a_mount_point_is_refused_by_name(config: Config, configuration: Path, tmp_path: Path) -> None:
    manifest = unpack(io.BytesIO(saved(config, configuration)), tmp_path)
    mounted = config.model_copy(update={"data_dir": Path("/proc")})
    with pytest.raises(BackupError, match="/proc is a mount point"):
        backup.put_in_place(tmp_path, manifest, mounted, configuration, "now")


def test_a_file_system_that_cannot_exchange_still_restores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "new").touch()
    monkeypatch.setattr(backup, "_RENAME_EXCHANGE", 1 << 20)  # EINVAL
    backup._exchange(one, other)
    assert [path.name for path in other.iterdir()] == ["new"]
    assert list(one.iterdir()) == []


# ---- the admin key


def test_a_new_admin_key_without_a_daemon(
    config: Config, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = keys_in(config.data_dir)
    assert run("key", "reset-admin", "--json", "--config", str(configuration)) is Exit.DONE
    made = json.loads(capsys.readouterr().out)
    assert made["name"] == "admin"
    assert keys_in(config.data_dir) == {hash_key(made["secret"])}
    assert keys_in(config.data_dir).isdisjoint(before)


async def test_a_new_admin_key_beside_a_daemon(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load(configuration)
    app = App(config)
    await app.start()
    try:
        old = (app.card.admin_key if app.card else None) or ""
        assert app.keys.check(old) is not None
        code = await asyncio.to_thread(run, "key", "reset-admin", "--json", "--config", str(configuration))
        assert code is Exit.DONE
        made = json.loads(capsys.readouterr().out.splitlines()[-1])["secret"]
        assert app.keys.check(old) is None
        key = app.keys.check(made)
        assert key is not None
        assert key.scopes == {"*"}
        with pytest.raises(DataDirectoryError, match="another pbxd uses"):
            await asyncio.to_thread(reset, config, time.time())
    finally:
        await app.stop()


def test_a_declared_admin_key_is_changed_in_the_file(
    config: Config, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configuration.write_text(configuration.read_text() + "keys: {admin: {secret: declared-key}}\n", encoding="utf-8")
    assert run("key", "reset-admin", "--config", str(configuration)) is Exit.REFUSED
    assert "keys.admin.secret" in capsys.readouterr().err


def test_a_house_that_never_ran_has_no_key_to_reset(configuration: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("key", "reset-admin", "--config", str(configuration)) is Exit.REFUSED
    assert "its first start makes a key" in capsys.readouterr().err


def test_a_store_of_another_shape_is_a_sentence(
    config: Config, configuration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(config.data_dir / "pbxd.db") as connection:
        connection.execute("ALTER TABLE trunks DROP COLUMN max_calls")
    connection.close()
    assert run("key", "reset-admin", "--config", str(configuration)) is Exit.REFUSED
    assert "the store cannot be read: SQLITE_ERROR" in capsys.readouterr().err


def test_the_lock_is_let_go(tmp_path: Path) -> None:
    data = DataDirectory.prepare(tmp_path)
    data.release()
    DataDirectory.prepare(tmp_path).release()
