"""A house in one file: `save` writes it while the house runs, `restore` puts it back while it does not.

The file is a plain tar:

    data/…             the data directory: the database as of one moment (SQLite's online backup), secret, certificates
    config/pbxd.yaml   the configuration file
    dialplan/…         the call flows, where they lie outside the data directory
    certificates/…     certificates and keys outside the data directory that the configuration names
    manifest.json      last: size and SHA-256 of every file above. A file that was cut off has none
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.engine import make_url

from pbxd import __version__
from pbxd.config import Config
from pbxd.store.data_dir import DataDirectoryError, take_lock
from pbxd.store.schema import REVISION

FORMAT = 1
MANIFEST = "manifest.json"
CONFIGURATION = "config/pbxd.yaml"
DIALPLAN = "dialplan"
MAX_FILES = 1_000_000
MAX_MANIFEST_BYTES = 256 << 20
SPARE_BYTES = 64 << 20  # left free on the disk by a restore
_CHUNK = 1 << 20
_DATABASE = "pbxd.db"
# Of this moment or of this machine only: not worth keeping, or kept in another way.
_TRANSIENT = re.compile(r"(pbxd\.db(-wal|-shm|-journal)?|lock|card\.txt|pbxd\.sock|.*\.new|secret\.[0-9]+)")
_REMADE = re.compile(r"cache|pbxd-backup-.*")  # folders
_NAME = re.compile(r"(data|certificates|dialplan)(/[^/\x00-\x1f\x7f]{1,255}){1,32}|config/pbxd\.yaml|manifest\.json")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class BackupError(Exception):
    """No back-up was made, or none was restored; the message says why, and nothing has changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a back-up. `size` is in bytes, `place` where a certificate was."""

    name: str
    size: int
    sha256: str
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a back-up. `database` is False where the store is elsewhere; `made_at` is seconds since the epoch."""

    format: int
    version: str
    revision: str
    node: str
    made_at: float
    database: bool
    files: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `kept` are the places the replaced data and configuration are now at; `notes` what is left
    to do by hand."""

    manifest: Manifest
    kept: tuple[Path, ...]
    notes: tuple[str, ...]


# ---- saving


def save(config: Config, configuration: Path, target: IO[bytes], wall: float) -> Manifest:
    """Write the house of `config` (read from the file `configuration`) to `target`, made at `wall`. Safe beside a
    running daemon. Raises BackupError."""
    data = config.data_dir
    if not data.is_dir():
        raise BackupError(
            f"there is no data directory {data}: {configuration} says so; --config FILE names another house"
        )
    database = _database_of(config)
    entries: list[Entry] = []
    try:
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
            if database is not None and database.exists():
                with tempfile.TemporaryDirectory(prefix="pbxd-backup-", dir=data) as scratch:
                    copy = Path(scratch) / _DATABASE
                    _copy_database(database, copy)
                    entries.append(_add(tar, copy, f"data/{_DATABASE}"))
            entries += [_add(tar, path, f"data/{path.relative_to(data)}") for path in _files(data)]
            entries.append(_add(tar, configuration, CONFIGURATION))
            entries += [_add(tar, path, f"{DIALPLAN}/{path.name}") for path in _flows(config, configuration)]
            for number, path in enumerate(_outside(config)):
                entries.append(_add(tar, path, f"certificates/{number:02}-{path.name}", str(path.absolute())))
            manifest = Manifest(FORMAT, __version__, REVISION, config.node, wall, database is not None, tuple(entries))
            text = json.dumps(asdict(manifest), indent=1).encode()
            member = tarfile.TarInfo(MANIFEST)
            member.size, member.mode, member.mtime = len(text), 0o600, int(wall)
            tar.addfile(member, io.BytesIO(text))
    except (OSError, sqlite3.Error, tarfile.TarError) as error:
        raise BackupError(f"the back-up failed: {error}") from error
    return manifest


def _database_of(config: Config) -> Path | None:
    """The SQLite file, or None where the store is a server."""
    if config.store.url is None:
        return config.data_dir / _DATABASE
    url = make_url(config.store.url.get_secret_value())
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _copy_database(source: Path, target: Path) -> None:
    """One moment of a database that others write to; checked, so that a damaged one is not found out years later."""
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=10)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy, pages=1024, sleep=0.01)
        copy.execute("PRAGMA journal_mode=DELETE")
        _check_database(copy)
    target.chmod(0o600)


def _check_database(connection: sqlite3.Connection) -> None:
    (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise BackupError(f"the database is damaged: {said}")


def _files(data: Path) -> Iterator[Path]:
    """Regular files of the data directory that are worth keeping, in order. Links are not followed."""
    for folder, folders, names in os.walk(data):
        top = Path(folder) == data
        folders[:] = sorted(name for name in folders if not (top and _REMADE.fullmatch(name)))
        for name in sorted(names):
            path = Path(folder, name)
            if not (top and _TRANSIENT.fullmatch(name)) and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _flows(config: Config, configuration: Path) -> list[Path]:
    """The files of the dialplan that are not in the data directory."""
    folder = config.dialplan.at(configuration)
    if not folder.is_dir() or folder.resolve().is_relative_to(config.data_dir.resolve()):
        return []
    return sorted(path for path in folder.iterdir() if stat.S_ISREG(path.lstat().st_mode))


def _outside(config: Config) -> list[Path]:
    """Certificates and keys that the configuration names and the data directory does not hold."""
    sip = config.sip
    named = [sip.certificate, sip.private_key]
    for one in sip.certificates:
        named += [one.certificate, one.private_key]
    data = config.data_dir.resolve()
    return [path for path in dict.fromkeys(named) if path is not None and not path.resolve().is_relative_to(data)]


class _Hashing(io.RawIOBase):
    """Reads through, and knows the SHA-256 of what was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.hash.update(data)
        return data


def _add(tar: tarfile.TarFile, path: Path, name: str, place: str | None = None) -> Entry:
    links = 0 if place or name == CONFIGURATION else os.O_NOFOLLOW
    with os.fdopen(os.open(path, os.O_RDONLY | links), "rb") as file:
        found = os.fstat(file.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = found.st_size, 0o600, int(found.st_mtime)
        reader = _Hashing(file)
        tar.addfile(member, reader)  # a file that shrinks meanwhile is an OSError, one that grows is cut
    return Entry(name, found.st_size, reader.hash.hexdigest(), place)


# ---- restoring


def unpack(source: IO[bytes], staging: Path) -> Manifest:
    """Read a back-up into the empty directory `staging`, and believe nothing of it before it is checked: names, kinds,
    sizes, checksums, versions, the database. Raises BackupError."""
    try:
        with tarfile.open(fileobj=source, mode="r:") as tar:
            found = _extract(tar, staging)
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise BackupError(f"this is not a whole back-up of pbxd: {error}") from error
    except OSError as error:
        raise BackupError(f"the back-up cannot be read: {error}") from error
    manifest = _manifest(found.pop(MANIFEST, None), staging)
    stated = {entry.name: (entry.size, entry.sha256) for entry in manifest.files}
    if wrong := sorted(name for name in stated.keys() | found.keys() if stated.get(name) != found.get(name)):
        raise BackupError(f"the back-up is damaged: {wrong[0]} is not what was saved")
    if manifest.database and f"data/{_DATABASE}" in found:
        _check_restored(staging / "data" / _DATABASE)
    return manifest


def _extract(tar: tarfile.TarFile, staging: Path) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    room = shutil.disk_usage(staging).free - SPARE_BYTES
    for member in tar:
        parts = member.name.split("/")
        if not member.isreg() or not _NAME.fullmatch(member.name) or "." in parts or ".." in parts:
            raise BackupError(f"the back-up holds what no back-up holds: {member.name!r}")
        if member.name in found or len(found) >= MAX_FILES:
            raise BackupError(f"the back-up holds too many files, or one twice: {member.name!r}")
        room -= member.size
        if room < 0:
            raise BackupError(f"the disk of {staging.parent} has no room for this back-up")
        found[member.name] = _extract_one(tar, member, staging / member.name)
    return found


def _extract_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> tuple[int, str]:
    reader = tar.extractfile(member)
    if reader is None:
        raise BackupError(f"the back-up is damaged: {member.name} cannot be read")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(descriptor)
    return size, digest.hexdigest()


def _manifest(found: tuple[int, str] | None, staging: Path) -> Manifest:
    if found is None:
        raise BackupError("this is not a whole back-up of pbxd: it has no manifest (was the file cut off?)")
    if found[0] > MAX_MANIFEST_BYTES:
        raise BackupError("the manifest of the back-up is too large")
    path = staging / MANIFEST
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
        if said["format"] > FORMAT or said["revision"] > REVISION:
            raise BackupError(
                f"the back-up was made by pbxd {said['version']} (store {said['revision']}), which is newer than this "
                f"one ({__version__}, store {REVISION}): update pbxd first"
            )
        manifest = Manifest(**{**said, "files": tuple(Entry(**entry) for entry in said["files"])})
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError("the manifest of the back-up is damaged") from error
    path.unlink()
    return manifest


def _check_restored(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            _check_database(connection)
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"the database of the back-up is damaged: {error}") from error
    if row is None or row[0] > REVISION:
        raise BackupError(f"the database of the back-up is newer than this pbxd ({REVISION}): update pbxd first")


def put_in_place(staging: Path, manifest: Manifest, config: Config, configuration: Path, stamp: str) -> Restored:
    """Put the data that `unpack` left in `staging` (beside the data directory) where `config` wants it.

    The data directory changes in one step and keeps its owner; the one before is kept under a name that ends in
    `stamp`. Certificates that are missing beside the file `configuration` come back. Raises BackupError when a daemon
    runs on the data directory, or the disk fails; the data is then as it was.
    """
    data, fresh = config.data_dir, staging / "data"
    if data.is_mount():
        raise BackupError(f"{data} is a mount point and cannot be replaced as a whole: move data_dir to a folder in it")
    kept: list[Path] = []
    with contextlib.ExitStack() as locks:
        try:
            if data.exists():
                locks.callback(os.close, take_lock(data))
            locks.callback(os.close, take_lock(fresh))
        except DataDirectoryError as error:
            raise BackupError(f"{error} (systemctl stop pbxd)") from error
        notes = _certificates(staging, manifest, configuration) + _flows_aside(staging, config, configuration)
        fresh.chmod(0o700)
        if data.exists():
            _give(fresh, data.stat())
            before = data.with_name(f"{data.name}.before-{stamp}")
            _exchange(fresh, data)
            fresh.rename(before)
            kept.append(before)
        else:
            data.parent.mkdir(parents=True, exist_ok=True)
            fresh.rename(data)
        _sync(data.parent)
    if not manifest.database:
        notes.append("the store is a database server: restore it with its own tools")
    return Restored(manifest, tuple(kept), tuple(notes))


def put_configuration(staging: Path, configuration: Path, stamp: str) -> Path | None:
    """Put the saved configuration file in place; where the one before is kept now, None where nothing changed."""
    text = (staging / CONFIGURATION).read_bytes()
    before = None
    mode, owner = 0o600, None
    if configuration.exists():
        if configuration.read_bytes() == text:
            return None
        found = configuration.stat()
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
        before = configuration.with_name(f"{configuration.name}.before-{stamp}")
        os.link(configuration, before)
    fresh = configuration.with_name(f"{configuration.name}.new")
    configuration.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
        os.fchmod(descriptor, mode)
        if owner is not None:
            os.fchown(descriptor, *owner)
    fresh.replace(configuration)
    return before


def put_dialplan(staging: Path, config: Config, configuration: Path, stamp: str) -> Path | None:
    """Put the saved call flows in place; where the folder before is kept now, None where there was none."""
    saved, folder = staging / DIALPLAN, config.dialplan.at(configuration)
    if not saved.is_dir() or not _beside(folder, configuration):
        return None
    fresh = folder.with_name(f"{folder.name}.{stamp}.new")
    shutil.copytree(saved, fresh)
    model = folder if folder.is_dir() else configuration
    found, mode = model.stat(), stat.S_IMODE(configuration.stat().st_mode)
    fresh.chmod(stat.S_IMODE(found.st_mode) if folder.is_dir() else 0o750)
    for path in fresh.iterdir():
        path.chmod(mode)
    _give(fresh, found)
    if not folder.exists():
        fresh.rename(folder)
        return None
    before = folder.with_name(f"{folder.name}.before-{stamp}")
    _exchange(fresh, folder)
    fresh.rename(before)
    return before


def _beside(path: Path, configuration: Path) -> bool:
    """A back-up is not let write anywhere else."""
    return path.resolve().is_relative_to(configuration.parent.resolve())


def _flows_aside(staging: Path, config: Config, configuration: Path) -> list[str]:
    """Flows that lay elsewhere than beside the configuration are put into the data."""
    saved, folder = staging / DIALPLAN, config.dialplan.at(configuration)
    if not saved.is_dir() or _beside(folder, configuration):
        return []
    aside = staging / "data" / f"{DIALPLAN}.saved"
    shutil.copytree(saved, aside)
    return [f"the call flows of {folder} are in {aside.name} in the data"]


def _certificates(staging: Path, manifest: Manifest, configuration: Path) -> list[str]:
    """Certificates go back beside the configuration where they are missing. A back-up is not let write anywhere else:
    those come with the data, and a note says where they were."""
    notes = []
    home = configuration.parent.resolve()
    for entry in manifest.files:
        if entry.place is None or not entry.name.startswith("certificates/"):
            continue
        wanted, saved = Path(entry.place), staging / entry.name
        if wanted.exists() and wanted.read_bytes() == saved.read_bytes():
            continue
        if wanted.resolve().is_relative_to(home) and not wanted.exists():
            wanted.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(saved, wanted)
            continue
        aside = staging / "data" / "certificates" / saved.name
        aside.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(saved, aside)
        notes.append(f"{wanted} differs or is elsewhere: the saved one is certificates/{saved.name} in the data")
    return notes


def _exchange(one: Path, other: Path) -> None:
    """Swap two directories in one step (renameat2(2)); where the file system cannot, in two."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    aside = other.with_name(f"{other.name}.{secrets.token_hex(4)}")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)


def _give(folder: Path, to: os.stat_result) -> None:
    """Everything under `folder`, which is ours alone so far, belongs to the owner of the data directory."""
    if (to.st_uid, to.st_gid) == (os.geteuid(), os.getegid()):
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, to.st_uid, to.st_gid, follow_symlinks=False)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
