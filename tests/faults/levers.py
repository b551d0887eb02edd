"""What a test pulls to break something: the disk and the clock of a daemon, one of its threads, a disk that is full."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("interposer.c")
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WAIT_ALL = 0x40000000  # __WALL: threads too


def build_interposer(folder: Path) -> Path:
    """The library that the levers work through."""
    target = folder / "interposer.so"
    command = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", str(SOURCE), "-ldl"]
    subprocess.run([*command, "-o", str(target)], check=True, capture_output=True, text=True, timeout=60)
    return target


class Levers:
    """The shared page that the interposer reads; whoever starts a daemon puts `environment` into its environment."""

    LAYOUT = struct.Struct("ddq")

    def __init__(self, folder: Path, interposer: Path) -> None:
        path = folder / "levers"
        path.write_bytes(bytes(mmap.PAGESIZE))
        self.environment = {"LD_PRELOAD": str(interposer), "PBXD_TEST_LEVERS": str(path)}
        self._file = path.open("r+b")
        self._page = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._page.close()
        self._file.close()

    def pull(self, *, wall_s: float = 0.0, disk_delay_s: float = 0.0, disk_errno: int = 0) -> None:
        """The clock is set by so much, each write to the store takes so long and fails so."""
        self.LAYOUT.pack_into(self._page, 0, wall_s, disk_delay_s, disk_errno)

    def release(self) -> None:
        """All is well again."""
        self.pull()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of `size` of its own, mounted at `place`."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", str(place)], check=True, timeout=10)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=10)


def fill(path: Path) -> None:
    """Write `path` until its disk is full to the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while file.write(bytes(size)) == size:
                    continue
            except OSError:
                continue


def thread_of(pid: int, name: str) -> int:
    """The id of the thread of that name."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip() == name:
            return int(task.name)
    raise AssertionError(f"{pid} has no thread {name}")


def _ptrace(request: int, thread: int) -> None:
    if LIBC.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")


@contextmanager
def stopped(thread: int) -> Iterator[None]:
    """Stop one thread of another process, as a debugger would; all others of it go on (ptrace(2), PTRACE_SEIZE)."""
    _ptrace(PTRACE_SEIZE, thread)
    try:
        _ptrace(PTRACE_INTERRUPT, thread)
        _, status = os.waitpid(thread, WAIT_ALL)
        assert os.WIFSTOPPED(status), status
        assert os.WSTOPSIG(status) == signal.SIGTRAP
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)


def settled(folder: Path) -> None:
    """Wait until prompts are no longer read ahead in `folder`: that takes room on the disk, and gives some back."""
    before: set[Path] = set()
    for _ in range(20):
        time.sleep(1.5)
        if (now := _files(folder)) and now == before:
            return
        before = now


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
