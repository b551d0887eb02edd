"""Commands for who owns the machine: `backup`, `restore`, `key reset-admin`, `doctor`. None of them needs a daemon."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pbxd.cli import (
    LAB_CONFIG,
    LAB_SOCKET,
    CommandError,
    Commands,
    Exit,
    ask,
    configurations,
    daemon_options,
    find_socket,
)
from pbxd.config import Config, load
from pbxd.errors import HouseError

# Loaded by name: `pbxd calls` must not wait for the store and for cryptography (0.4 s).
ADMIN_KEY, BACKUP, DOCTOR, STORE = "pbxd.admin_key", "pbxd.backup", "pbxd.doctor", "pbxd.store"
DELIVERIES = "pbxd.services.deliveries"


def add_commands(commands: Commands) -> None:
    """Add them to the command line."""
    daemon = daemon_options()
    backup = commands.add_parser(
        "backup", parents=[daemon], help="write data, certificates and configuration to a file"
    )
    backup.add_argument("file", type=Path, metavar="FILE", help="the tar to write; one of before is replaced")
    backup.set_defaults(action=_backup)
    restore = commands.add_parser(
        "restore", parents=[daemon], help="put a back-up in place; the daemon must be stopped"
    )
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--keep-config", action="store_true", help="restore the data only, by today's configuration")
    restore.set_defaults(action=_restore)
    key = commands.add_parser(
        "key", parents=[daemon], help="`key reset-admin`: a new admin key for the API, shown once"
    )
    deeper = key.add_subparsers(dest="key_command", metavar="reset-admin", required=True)
    deeper.add_parser("reset-admin", parents=[daemon], help="the old admin key stops working at once").set_defaults(
        action=_reset_admin
    )
    doctor = commands.add_parser("doctor", parents=[daemon], help="look for what is wrong, and say how it is cured")
    doctor.add_argument("--mail", metavar="ADDRESS", help="send a test mail there, not only ask the mail server")
    doctor.add_argument("--stun", metavar="SERVER", help="ask this STUN server what the far side sees of us")
    doctor.set_defaults(action=_doctor)


def configuration_of(arguments: argparse.Namespace) -> Path:
    """The file of `--config`, else etc/pbxd.yaml, else /etc/pbxd/pbxd.yaml. Raises CommandError."""
    if arguments.config:
        return Path(arguments.config)
    for path in configurations():
        return path
    raise CommandError("there is no configuration to be found: name it with --config", Exit.MISTAKE)


# ---- back-up


def _backup(arguments: argparse.Namespace) -> None:
    backup = importlib.import_module(BACKUP)
    path = configuration_of(arguments)
    config = load(path)
    target: Path = arguments.file
    try:
        with _new_file(target) as file:
            manifest = backup.save(config, path, file, time.time())
    except backup.BackupError as error:
        raise CommandError(str(error), Exit.REFUSED) from None
    except OSError as error:
        raise CommandError(f"{target} cannot be written: {error.strerror or error}", Exit.REFUSED) from None
    size = target.stat().st_size
    if arguments.json:
        print(json.dumps({"file": str(target), "bytes": size, "files": len(manifest.files)}))
        return
    print(f"{target}: {len(manifest.files)} files, {size} bytes. It holds secrets: keep it where nobody else reads.")
    if not manifest.database:
        print("The store is a database server and not in it: back that up with its own tools.")


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file of mode 0600 that takes the place of `target` once it is whole and on the disk."""
    fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _restore(arguments: argparse.Namespace) -> None:
    backup = importlib.import_module(BACKUP)
    path = configuration_of(arguments)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    config = load(path)
    parent = config.data_dir.absolute().parent
    kept: list[Path] = []
    try:
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".pbxd-restore-", dir=parent))
        try:
            with arguments.file.open("rb") as file:
                manifest = backup.unpack(file, staging)
            if not arguments.keep_config:
                config = _config_of(staging / backup.CONFIGURATION, config)
            done = backup.put_in_place(staging, manifest, config, path, stamp)
            kept += done.kept
            before = None if arguments.keep_config else backup.put_configuration(staging, path, stamp)
            kept += [before] if before else []
            flows = None if arguments.keep_config else backup.put_dialplan(staging, config, path, stamp)
            kept += [flows] if flows else []
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except backup.BackupError as error:
        raise CommandError(str(error), Exit.REFUSED) from None
    except OSError as error:
        raise CommandError(f"nothing was restored: {error}", Exit.REFUSED) from None
    _say_restored(arguments, done, config, kept)


def _config_of(saved: Path, now: Config) -> Config:
    """The saved configuration, checked. It must keep its data where the data is looked for now."""
    config = load(saved)
    if config.data_dir.absolute().parent != now.data_dir.absolute().parent:
        raise CommandError(
            f"the back-up keeps its data in {config.data_dir}, the configuration of today in {now.data_dir}: "
            "restore with --keep-config, or name a --config that agrees",
            Exit.REFUSED,
        )
    return config


def _say_restored(arguments: argparse.Namespace, done: Any, config: Config, kept: list[Path]) -> None:
    made = datetime.fromtimestamp(done.manifest.made_at, UTC).isoformat(timespec="seconds")
    if arguments.json:
        print(json.dumps({"made_at": made, "kept": [str(path) for path in kept], "notes": list(done.notes)}))
        return
    print(f"Restored: the house {done.manifest.node} of {made}, in {config.data_dir}.")
    for path in kept:
        print(f"What was there before is kept: {path}")
    for note in done.notes:
        print(f"Note: {note}")


# ---- the admin key


def _reset_admin(arguments: argparse.Namespace) -> None:
    if _daemon_runs(arguments):
        secret = ask(arguments, "POST", "/house/v1/keys/admin/reset")["secret"]
    else:
        secret = _reset_offline(arguments)
    if arguments.json:
        print(json.dumps({"name": "admin", "secret": secret}))
    else:
        print(f"The admin key is new, and shown only now (header X-API-Key):\n\n    {secret}\n")


def _daemon_runs(arguments: argparse.Namespace) -> bool:
    try:
        find_socket(arguments)
        ask(arguments, "GET", "/health")
    except CommandError as error:
        if error.code is Exit.NO_DAEMON:
            return False
        raise
    return True


def _reset_offline(arguments: argparse.Namespace) -> str:
    admin_key, store = importlib.import_module(ADMIN_KEY), importlib.import_module(STORE)
    config = load(configuration_of(arguments))
    if not config.data_dir.is_dir():
        raise CommandError(f"there is no house in {config.data_dir} yet: its first start makes a key", Exit.REFUSED)
    refusals = (HouseError, store.StoreError, store.DataDirectoryError)
    try:
        with _as_owner(config.data_dir):
            return str(admin_key.reset(config, time.time()))
    except refusals as error:
        raise CommandError(str(error), Exit.REFUSED) from None


@contextlib.contextmanager
def _as_owner(path: Path) -> Iterator[None]:
    """Root acts as the owner of `path`, so that what it makes there belongs to the daemon."""
    owner = path.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


# ---- the doctor


def _doctor(arguments: argparse.Namespace) -> None:
    doctor = importlib.import_module(DOCTOR)
    socket_path = _socket_or_none(arguments)
    lab = not arguments.config and socket_path == LAB_SOCKET and LAB_CONFIG.is_file()
    path = LAB_CONFIG if lab else configuration_of(arguments)
    try_mail = importlib.import_module(DELIVERIES).try_mail

    def mail(config: Config, to: str | None) -> Any:
        try:
            return doctor.MailAnswer(*asyncio.run(try_mail(config, to)))
        except HouseError as error:
            raise CommandError(f"--mail {to}: {error}", Exit.MISTAKE) from None

    overrides = [f"sip.external.stun={json.dumps(arguments.stun)}"] if arguments.stun else []
    findings = doctor.examine(load(path, overrides), doctor.this_machine(socket_path, mail, arguments.mail))
    if arguments.json:
        print(json.dumps({"findings": [finding.plain() for finding in findings]}))
    else:
        print(doctor.report(findings))
    if any(finding.level is doctor.Level.PROBLEM for finding in findings):
        sys.stdout.flush()
        raise CommandError("something must be cured before calls go well", Exit.REFUSED)


def _socket_or_none(arguments: argparse.Namespace) -> Path | None:
    try:
        return find_socket(arguments)
    except CommandError:
        return None
