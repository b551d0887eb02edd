"""Named octets that are kept: one small interface, and the folder behind it. Another place (S3) implements the same.

A key is a path of at most eight words, `<account>/vm/<callId>.wav`. Its characters are an allow-list, no word begins
with a dot, and nothing on the way to it may be a link: a key never leads out of its folder.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from pbxd.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable

MAX_KEY_CHARS = 400
MAX_WORDS = 8
_WORD = re.compile(r"[A-Za-z0-9_@+=~-][A-Za-z0-9_@+=~.:-]{0,127}")
_FRESH = ".fresh-"  # what is being written; no key begins so
_CONTENT_TYPES = {
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".flac": "audio/flac",
    ".json": "application/json",
    ".txt": "text/plain",
}


class NoRoom(Unavailable):
    """The place where objects are kept takes no more just now."""

    code = "disk_full"
    retry_after_s = 60


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is kept. `etag` is new with each content."""

    key: str
    size: int
    etag: str
    content_type: str


class Objects(Protocol):
    """Where objects are kept."""

    async def open(self) -> None:
        """Make the place ready, once. Raises OSError."""

    async def find(self, key: str) -> Path:
        """A file with the object's octets; an object that is elsewhere is brought here first.

        Raises Invalid for what is no key, NotFound.
        """

    async def put(self, key: str, content: AsyncIterator[bytes], most: int) -> Stored:
        """Keep `content` under `key`, whole or not at all, in the place of what was there; returns when it would
        survive a power failure. Raises Invalid, TooLarge beyond `most` octets, Conflict, NoRoom, Unavailable."""


def words_of(key: str) -> list[str]:
    """The words of a key. Raises Invalid for what is none."""
    words = key.split("/")
    if len(key) > MAX_KEY_CHARS or len(words) > MAX_WORDS or not all(_WORD.fullmatch(word) for word in words):
        raise Invalid(f"a key is up to {MAX_WORDS} words of letters, digits, _@+=~.:- joined by /; none begins with .")
    return words


def content_type_of(key: str) -> str:
    """By the ending of the key."""
    return _CONTENT_TYPES.get(Path(key).suffix.lower(), "application/octet-stream")


class Folder:
    """Objects as files below `root`, which is ours alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def open(self) -> None:
        """Remove what was being written when the process died. Raises OSError."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        for left in self._root.rglob(f"{_FRESH}*"):
            left.unlink(missing_ok=True)

    async def find(self, key: str) -> Path:
        """See Objects."""
        words = words_of(key)
        return await asyncio.to_thread(self._find, words)

    def _find(self, words: list[str]) -> Path:
        path = self._root
        try:
            for word in words:
                path /= word
                mode = path.lstat().st_mode
                if stat.S_ISLNK(mode):
                    raise NotFound("there is no such object")
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound("there is no such object") from None
        if not stat.S_ISREG(mode):
            raise NotFound("there is no such object")
        return path

    async def put(self, key: str, content: AsyncIterator[bytes], most: int) -> Stored:
        """See Objects."""
        words = words_of(key)
        try:
            target = await asyncio.to_thread(self._prepare, words)
            return await self._write(key, target, content, most)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise Conflict("another object stands in the way: its key begins with this one, or this with it") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoRoom("there is no space left for objects") from error
            raise Unavailable(f"the object cannot be written: {error.strerror}") from error

    def _prepare(self, words: list[str]) -> Path:
        """Make the folders on the way. Raises OSError where something else is there."""
        path = self._root
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for word in words[:-1]:
            path /= word
            if path.is_symlink():
                raise NotADirectoryError(path)
            path.mkdir(mode=0o700, exist_ok=True)
        path /= words[-1]
        if path.is_symlink() or path.is_dir():
            raise IsADirectoryError(path)
        return path

    async def _write(self, key: str, target: Path, content: AsyncIterator[bytes], most: int) -> Stored:
        fresh = target.with_name(_FRESH + secrets.token_hex(8))
        size = 0
        file = await asyncio.to_thread(_create, fresh)
        try:
            async for chunk in content:
                size += len(chunk)
                if size > most:
                    raise TooLarge(f"an object is at most {most} octets")
                await asyncio.to_thread(file.write, chunk)
            etag = await asyncio.to_thread(_finish, file, fresh, target)
        finally:
            file.close()
            fresh.unlink(missing_ok=True)
        return Stored(key, size, etag, content_type_of(key))


def _create(path: Path) -> BinaryIO:
    return open(path, "xb", buffering=0, opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _finish(file: BinaryIO, fresh: Path, target: Path) -> str:
    """To the disk, then in one step under its name."""
    os.fsync(file.fileno())
    seen = os.fstat(file.fileno())
    fresh.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return f'"{seen.st_mtime_ns:x}-{seen.st_size:x}"'
