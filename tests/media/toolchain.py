"""Builds the standalone C programs of the tests, once for each state of the sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent / "c"
WIRE = Path(__file__).parents[2] / "media" / "wire"
SHELL = sorted(
    WIRE / f"{name}.c" for name in ("wire", "gate", "shell", "sockets", "sip", "legs", "leg_table", "rooms", "faxes")
)
"""Threads and system calls."""
CORE = sorted(path for path in WIRE.glob("*.c") if path.name != "_wire.c" and path not in SHELL)
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREADS = ["-g", "-O1", "-fsanitize=thread", "-Wno-tsan"]  # of fences, which no datum here depends on alone
VECTORS = Path(__file__).parents[1] / "vectors" / "sound"
STRICT = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


def test_names() -> list[str]:
    """The tests of the harness, as its header lists them."""
    return re.findall(r"^ +X\((\w+)\)", (HERE / "tests.h").read_text(), re.MULTILINE)


def _digest(command: list[str]) -> str:
    state = hashlib.sha256(repr(command).encode())
    for path in sorted([*HERE.glob("*.[ch]"), *WIRE.glob("*.[ch]")]):
        if path.name != "_wire.c":
            state.update(path.read_bytes())
    return state.hexdigest()[:16]


def build(name: str, sources: list[Path], compiler: str = "gcc", flags: list[str] | None = None) -> Path:
    """Compiles `sources` with the core. Workers of a parallel run wait for the one that builds."""
    options = SANITIZE if flags is None else flags
    inputs = [str(path) for path in [*sources, *CORE]]
    command = [
        compiler,
        *STRICT,
        *options,
        f"-I{WIRE}",
        f"-I{HERE}",
        f'-DVECTORS="{VECTORS}"',
        *inputs,
        "-lopus",
        "-lsrtp2",
        "-lpthread",
        "-lm",
    ]
    place = Path(tempfile.gettempdir()) / f"pbxd-tests-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    target = place / f"{name}-{_digest(command)}"
    with (place / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for stale in place.glob(f"{name}-*"):
                stale.unlink()
            fresh = place / f"{name}.new"
            subprocess.run([*command, "-o", str(fresh)], check=True, capture_output=True, text=True, timeout=120)
            fresh.rename(target)
    return target


def run(program: Path, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs one of them; the caller judges the outcome."""
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=timeout, check=False)
