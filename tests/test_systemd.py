"""The service as it is installed: the unit's own command line, its sandbox, and the way in, up and out."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
UNIT = PROJECT / "systemd" / "pbxd.service"
PATIENCE_S = 30.0


class Unit(configparser.RawConfigParser):
    """A unit file; a key that is given several times has its values on lines of their own."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read_string(path.read_text(encoding="utf-8"))

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.fixture(scope="module")
def unit() -> Unit:
    return Unit(UNIT)


def seconds(unit: Unit, key: str) -> float:
    return float(unit["Service"][key])


class Started:
    """The unit's ExecStart with its paths in `root`, watched as systemd would watch it."""

    def __init__(self, unit: Unit, root: Path) -> None:
        self.told: list[str] = []
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(root / "notify"))
        self._notify.settimeout(PATIENCE_S)
        service = unit["Service"]
        program, *arguments = shlex.split(service["ExecStart"])
        assert program.endswith("/.venv/bin/pbxd")
        mapped = [str(root) + word if word.startswith("/") else word for word in arguments]
        environment = dict(entry.split("=", 1) for entry in shlex.split(service["Environment"]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pbxd", *mapped],
            cwd=root / service["WorkingDirectory"].lstrip("/"),
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(PROJECT),
                "NOTIFY_SOCKET": str(root / "notify"),
                "WATCHDOG_USEC": str(int(0.2 * 1e6)),
                **environment,
            },
            stderr=subprocess.PIPE,
            umask=int(service["UMask"], 8),
        )

    def hear(self, wanted: str) -> None:
        """Wait until systemd is told so."""
        while True:
            message = self._notify.recv(4096).decode()
            self.told.append(message)
            if message.startswith(wanted):
                return

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._notify.close()


@contextmanager
def started(unit: Unit, root: Path) -> Iterator[Started]:
    for folder in ("etc/pbxd", "var/lib/pbxd"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/pbxd/pbxd.yaml").write_text(
        f"data_dir: {root}/var/lib/pbxd\nsip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []}}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47300-47399}\n",
        encoding="utf-8",
    )
    process = Started(unit, root)
    try:
        yield process
    finally:
        process.close()


def test_the_command_line_of_the_unit_lives_a_whole_life(unit: Unit, tmp_path: Path) -> None:
    with started(unit, tmp_path) as service:
        service.hear("READY=1")
        service.hear("WATCHDOG=1")
        reload = shlex.split(unit["Service"]["ExecReload"].replace("$MAINPID", str(service.process.pid)))
        assert subprocess.run(reload, check=True).returncode == 0
        service.hear("RELOADING=1")
        service.hear("READY=1")
        data = tmp_path / "var/lib/pbxd"
        assert (data / "pbxd.sock").is_socket()
        assert {path.stat().st_mode & 0o077 for path in data.iterdir()} == {0}
        assert data.stat().st_mode & 0o777 == 0o700
        service.process.send_signal(signal.SIGTERM)
        service.hear("STOPPING=1")
        assert service.process.wait(PATIENCE_S) == 0


def test_a_mistake_in_the_file_is_the_code_that_is_not_tried_again(unit: Unit, tmp_path: Path) -> None:
    with started(unit, tmp_path) as first:
        first.hear("READY=1")
    (tmp_path / "notify").unlink()
    (tmp_path / "etc/pbxd/pbxd.yaml").write_text("nod: x\n", encoding="utf-8")
    second = Started(unit, tmp_path)
    try:
        assert second.process.wait(PATIENCE_S) == int(unit["Service"]["RestartPreventExitStatus"])
    finally:
        second.close()


def test_what_the_unit_says_fits_the_house(unit: Unit) -> None:
    service = unit["Service"]
    assert (service["Type"], service["NotifyAccess"], service["User"]) == ("notify", "main", "pbxd")
    assert seconds(unit, "TimeoutStopSec") > 20 + 1  # calls.drain_s, and GOODBYE_S
    assert int(service["LimitNOFILE"]) >= 1000 * 4 + 2000 + 256  # as the default of calls.max needs
    assert (service["ProtectSystem"], service["NoNewPrivileges"]) == ("strict", "yes")
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_SYS_NICE CAP_NET_BIND_SERVICE"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_calls_the_exposure_ok_or_better(tmp_path: Path) -> None:
    shutil.copy(UNIT, tmp_path)
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=50"]
    said = subprocess.run([*command, str(tmp_path / UNIT.name)], capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for pbxd.service: ([0-9.]+) (\w+)", said.stdout)
    assert found is not None, said.stderr
    assert found[2] in {"OK", "SAFE", "PERFECT"}, said.stdout
    assert float(found[1]) <= 2.5  # what was reached stays
    assert said.returncode == 0


# ---- install, upgrade, uninstall, in a root folder

Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the sources that a test may change."""
    copy = tmp_path / "sources"
    kept = ("pbxd", "media", "dialplan", "etc", "systemd", "Makefile", "pyproject.toml", "setup.py", "README.md")
    for name in kept:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.o", "_wire.c"))
        else:
            copy.mkdir(exist_ok=True)
            shutil.copy(source, copy / name)
    return copy


@pytest.fixture
def make(sources: Path, tmp_path: Path) -> Make:
    """`make TARGET` with DESTDIR; what is installed takes its dependencies from this environment, not the network."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MAKE"))},
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_FLAGS": "--no-deps --no-build-isolation",
    }

    def make(target: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-C", str(sources), target, f"DESTDIR={tmp_path}/root", *words]
        return subprocess.run(
            command, env={**environment, **more}, capture_output=True, text=True, check=False, timeout=120
        )

    return make


def ours(root: Path) -> set[str]:
    """What is installed, down to the release."""
    found = set()
    for path in root.rglob("*"):
        name = re.sub(r"releases/[0-9a-f]{12}", "releases/ID", str(path.relative_to(root)))
        if not name.startswith("opt/pbxd/releases/ID/") and (path.is_file() or path.is_symlink()):
            found.add(name)
    return found


SAMPLES = {f"etc/pbxd/dialplan/{path.name}" for path in (PROJECT / "etc" / "dialplan").iterdir()}
INSTALLED = {
    *SAMPLES,
    "etc/pbxd/pbxd.yaml",
    "etc/systemd/system/pbxd.service",
    "opt/pbxd/current",
    "usr/local/bin/pbxd",
}


def systemctl(tmp_path: Path, restart: int) -> Path:
    """Stands where systemctl would: writes down what it is asked; a restart ends with that code, and one that fails
    has spoilt the data before."""
    path = tmp_path / "systemctl"
    spoil = f"echo spoilt > {tmp_path}/root/var/lib/pbxd/secret; " if restart else ""
    path.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nif [ "$1" = restart ]; then {spoil}exit {restart}; fi\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def data_of_packages(sources: Path) -> list[Path]:
    """What modules read beside them: words, tones, prompts, catalogues."""
    kinds = (*sources.glob("media/**/*.toml"), *sources.glob("media/**/*.opus"))
    found = [file.relative_to(sources) for file in kinds]
    assert {"media/tones/plans.toml", "media/prompts/en/demo.opus"} <= {str(name) for name in found}
    return found


def test_install_upgrade_and_uninstall(make: Make, sources: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    done = make("install")
    assert done.returncode == 0, done.stderr
    assert ours(root) == INSTALLED
    first = (root / "opt/pbxd/current").readlink()
    config = root / "etc/pbxd/pbxd.yaml"
    assert "\ndata_dir: /var/lib/pbxd\n" in config.read_text()
    beside = root / "opt/pbxd/current/etc"
    for name in ("grafana/pbxd.json", "prometheus/pbxd-alerts.yaml", "logrotate/pbxd", "log-events.md"):
        assert (beside / name).read_bytes() == (sources / "etc" / name).read_bytes()
    (packages,) = (root / "opt/pbxd/current/.venv/lib").glob("*/site-packages")
    for name in data_of_packages(sources):
        assert (packages / name).read_bytes() == (sources / name).read_bytes()
    script = (root / "opt/pbxd/current/.venv/bin/pbxd").read_text()
    assert f"/opt/pbxd/{first}/.venv/bin/python" in script
    assert str(tmp_path) not in script  # it will run at its place
    # Once more: nothing changes, what was lost is back, the configuration is the owner's.
    config.write_text(f"data_dir: {root}/var/lib/pbxd\nnode: mine\n", encoding="utf-8")
    (root / "usr/local/bin/pbxd").unlink()
    flows = root / "etc/pbxd/dialplan"
    (flows / "reception.yaml").write_text("# mine\n", encoding="utf-8")
    (flows / "support.yaml").unlink()
    assert make("install").returncode == 0
    assert ours(root) == INSTALLED - {"etc/pbxd/dialplan/support.yaml"}
    assert (flows / "reception.yaml").read_text() == "# mine\n"
    assert "node: mine" in config.read_text()
    assert "runs already" in make("upgrade").stdout
    _upgrade(make, sources, tmp_path, first)
    done = make("uninstall")
    assert done.returncode == 0, done.stderr
    assert {name for name in ours(root) if not name.startswith(("var/lib/pbxd", "etc/pbxd/dialplan/"))} == {
        "etc/pbxd/pbxd.yaml"
    }
    assert (root / "var/lib/pbxd/pbxd.db").exists()
    assert make("uninstall", PURGE="1").returncode == 0
    assert ours(root) == set()


def _upgrade(make: Make, sources: Path, tmp_path: Path, first: Path) -> None:
    root = tmp_path / "root"
    data = root / "var/lib/pbxd"
    reset = [str(root / "opt/pbxd/current/.venv/bin/python"), "-m", "pbxd", "key", "reset-admin", "--config"]
    module = sources / "pbxd" / "ids.py"
    module.write_text(module.read_text() + "\n# newer\n", encoding="utf-8")
    refused = make("install")
    assert refused.returncode != 0
    assert "make upgrade" in refused.stderr
    config = root / "etc/pbxd/pbxd.yaml"
    bad = config.read_text()
    config.write_text("nod: x\n", encoding="utf-8")
    refused = make("upgrade")
    assert "does not take this configuration; nothing was changed" in refused.stderr
    config.write_text(bad, encoding="utf-8")
    (data / "secret").write_text("ab" * 32, encoding="utf-8")
    done = subprocess.run([*reset, str(config)], check=False, capture_output=True, text=True, env=_dependencies())
    assert done.returncode == 0, done.stderr
    assert (root / "opt/pbxd/current").readlink() == first
    # A release that does not start: the way back, with the data of before.
    done = make("upgrade", SYSTEMCTL=str(systemctl(tmp_path, 1)))
    assert done.returncode != 0
    assert "the upgrade was undone" in done.stderr, done.stderr
    assert (root / "opt/pbxd/current").readlink() == first
    assert (tmp_path / "asked").read_text().split("\n")[:5] == [
        "daemon-reload",
        "restart pbxd",
        "stop pbxd",
        "daemon-reload",
        "start pbxd",
    ]
    (before,) = data.parent.glob("pbxd.before-*")
    assert (before / "secret").read_text() == "spoilt\n"
    # One that starts.
    done = make("upgrade", SYSTEMCTL=str(systemctl(tmp_path, 0)))
    assert done.returncode == 0, done.stderr
    assert (root / "opt/pbxd/current").readlink() != first
    assert len(list((root / "var/lib/pbxd-backups").iterdir())) == 2


def _dependencies() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib")}
