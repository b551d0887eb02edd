"""The data directory: what must survive a restart, and what nobody else may read."""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self

SECRET_BYTES = 32


class DataDirectoryError(Exception):
    """The data directory cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """A prepared directory. `secret` is this house's own, random, made once: nonces are signed with it. `lock` is the
    open descriptor that keeps a second daemon out; the kernel lets go of it however we end."""

    path: Path
    secret: bytes
    lock: int

    @classmethod
    def prepare(cls, path: Path) -> Self:
        """Make `path` if it is missing, close it to others (0700), and read or make its secret (0600).

        Raises DataDirectoryError.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if path.stat().st_uid != os.geteuid():
                raise DataDirectoryError(f"{path} belongs to another user: change its owner, or name another data_dir")
            path.chmod(0o700)
            return cls(path, _secret(path / "secret"), take_lock(path))
        except OSError as error:
            raise DataDirectoryError(f"the data directory {path} cannot be used: {error.strerror or error}") from error

    def release(self) -> None:
        """Let another daemon use it."""
        os.close(self.lock)

    @property
    def database(self) -> Path:
        return self.path / "pbxd.db"


def take_lock(path: Path) -> int:
    """Keep every other pbxd out of the data directory `path` until the descriptor that this gives is closed.

    Raises DataDirectoryError where another one has it, OSError.
    """
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DataDirectoryError(f"another pbxd uses {path}: stop it, or name another data_dir") from None
    return descriptor


def _secret(path: Path) -> bytes:
    if not path.exists():
        fresh = path.with_name(f"secret.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES))
        fresh.replace(path)  # whole or not at all
    path.chmod(0o600)
    try:
        secret = bytes.fromhex(path.read_text())
    except ValueError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise DataDirectoryError(f"{path} is damaged: remove it and start again (phones will be challenged anew)")
    return secret
