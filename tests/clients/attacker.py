"""sipvicious (PyPI) against the house: svmap, svwar and svcrack as they are, and with another User-Agent."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

RUNNER = Path(__file__).with_name("recorded_attack.py")
END_S = 40.0


@dataclass(frozen=True, slots=True)
class Attack:
    """What became of one run. `sent` counts the packets up to the last answer, `lasted_s` is the time until it."""

    output: str
    sent_in_all: int
    sent: int
    answers: tuple[str, ...]
    lasted_s: float


def disguised(folder: Path, user_agent: str) -> Path:
    """A copy of sipvicious that calls itself something else, as its users make one."""
    spec = find_spec("sipvicious")
    assert spec
    assert spec.origin, "sipvicious is not installed; the test extra has it"
    copy = folder / "disguised"
    if not copy.exists():
        shutil.copytree(Path(spec.origin).parent, copy / "sipvicious", ignore=shutil.ignore_patterns("__pycache__"))
        for path in copy.rglob("*.py"):
            path.write_text(path.read_text().replace("friendly-scanner", user_agent))
    return copy


def attack(
    program: str,
    *arguments: str,
    source: str,
    target: tuple[str, int],
    folder: Path,
    package: Path | None = None,
    seconds: float = END_S,
) -> Attack:
    """Run it from `source` until it gives up."""
    journal = folder / f"{program}-{len(list(folder.glob(f'{program}-*.journal')))}.journal"
    host, port = target
    words = ["-x", source, "-P", str(_free_port(source)), "-p", str(port), *arguments, host]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"} | ({"PYTHONPATH": str(package)} if package else {})
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(RUNNER), str(journal), source, program, *words],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=environment,
            cwd=folder,
        )
        output = done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        output = "".join(
            part.decode() if isinstance(part, bytes) else part or "" for part in (late.stdout, late.stderr)
        )
    return _told(output, [json.loads(line) for line in journal.read_text().splitlines()])


def _free_port(address: str) -> int:
    """sipvicious writes its port into each Via before it binds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _told(output: str, journal: list[dict[str, str | float]]) -> Attack:
    heard = [index for index, line in enumerate(journal) if line["way"] == "heard"]
    until = journal[: heard[-1] + 1] if heard else []
    return Attack(
        output=output,
        sent_in_all=sum(line["way"] == "sent" for line in journal),
        sent=sum(line["way"] == "sent" for line in until),
        answers=tuple(str(journal[index]["start"]) for index in heard),
        lasted_s=float(until[-1]["at"]) - float(until[0]["at"]) if until else 0.0,
    )
