"""The core in C under virtual time, with the address and undefined-behaviour sanitizers, and its fuzz target."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.media import toolchain

PROGRAMS = ("fuzz_core.c", "fuzz_hearing.c", "race_wire.c", "ear.c", "talk_off.c", "through_room.c")
FUZZ_TARGETS = {"fuzz_core": 40_000, "fuzz_hearing": 2_000}
"""Each with the number of scripts it runs where nothing guides it."""
FUZZ_SEED = "20250101"
FUZZ_RUNS = 200_000
FUZZ_SECONDS = 20


@pytest.fixture(scope="module")
def harness() -> Path:
    sources = sorted(path for path in toolchain.HERE.glob("*.c") if path.name not in PROGRAMS)
    return toolchain.build("harness", sources)


@pytest.mark.parametrize("name", toolchain.test_names())
def test_harness(harness: Path, name: str) -> None:
    outcome = toolchain.run(harness, name, timeout=60)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    assert outcome.stdout == "1 ran\n"


def test_every_function_of_the_harness_is_listed() -> None:
    found = {
        line.split("(")[0].removeprefix("void ")
        for path in toolchain.HERE.glob("test_*.c")
        for line in path.read_text().splitlines()
        if line.startswith("void test_")
    }
    assert found == set(toolchain.test_names())


@pytest.mark.parametrize(("name", "sanitizers"), [("threads", toolchain.THREADS), ("memory", toolchain.SANITIZE)])
def test_the_thread_beside_the_interpreter(name: str, sanitizers: list[str]) -> None:
    """All that Python may ask for, while packets fly: no race, nothing leaked."""
    sources = [toolchain.HERE / "race_wire.c", toolchain.HERE / "stage.c", *toolchain.SHELL]
    program = toolchain.build(f"race-{name}", sources, flags=sanitizers)
    outcome = toolchain.run(Path("/usr/bin/setarch"), "-R", str(program), timeout=60)  # TSan wants plain addresses
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    assert int(outcome.stdout.split()[0]) > 0


def _libfuzzer(target: str) -> Path | None:
    if shutil.which("clang") is None:
        return None
    sources = [toolchain.HERE / name for name in (f"{target}.c", "far.c", "stage.c")]
    flags = ["-g", "-O1", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    return toolchain.build(f"{target}-clang", sources, "clang", flags)


@pytest.mark.parametrize("target", FUZZ_TARGETS)
def test_fuzz_with_coverage(target: str, tmp_path: Path) -> None:
    """libFuzzer learns what leads somewhere new; bounded by runs and by time, with a fixed seed."""
    program = _libfuzzer(target)
    if program is None:
        pytest.skip("clang is not installed; the scripts of test_fuzz_without_coverage still run")
    limits = [
        "-timeout=10",
        f"-runs={FUZZ_RUNS}",
        f"-max_total_time={FUZZ_SECONDS}",
        f"-seed={FUZZ_SEED}",
        "-max_len=2000",
    ]
    outcome = toolchain.run(program, *limits, f"-artifact_prefix={tmp_path}/", timeout=FUZZ_SECONDS + 40)
    assert outcome.returncode == 0, outcome.stderr[-4000:]


@pytest.mark.parametrize(("target", "runs"), FUZZ_TARGETS.items())
def test_fuzz_without_coverage(target: str, runs: int) -> None:
    sources = [toolchain.HERE / name for name in (f"{target}.c", "far.c", "stage.c")]
    program = toolchain.build(f"{target}-gcc", sources, flags=[*toolchain.SANITIZE, "-DFUZZ_MAIN"])
    outcome = toolchain.run(program, str(runs), FUZZ_SEED, timeout=60)
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    assert outcome.stdout == f"{runs} scripts\n"
