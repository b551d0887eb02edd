"""The process: its limits, the card of the first start, and one whole life of the daemon with its signals."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pbxd import daemon
from pbxd.config import Config
from pbxd.daemon import CARD_NAME, card_text
from pbxd.directory.first_start import Card
from pbxd.readiness import Readiness
from tests.clients.hand import calling

PROJECT = Path(__file__).resolve().parent.parent
CARD = Card("house", (("1001", "pass-one"), ("1002", "pass-two")), "pbxd_key")
PATIENCE_S = 20.0


def test_the_card_says_what_the_first_call_needs() -> None:
    text = card_text(CARD, Config(), ("192.0.2.7", "2001:db8::7"))
    for needed in (
        "192.0.2.7 or 2001:db8::7",
        "UDP 5060",
        "1001       pass-one",
        "600 for an echo",
        "http://127.0.0.1:8080",
        "pbxd_key",
    ):
        assert needed in text


def test_without_a_terminal_the_card_is_a_private_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    daemon._show(CARD, Config(data_dir=tmp_path), ("192.0.2.7",))
    path = tmp_path / CARD_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert "pass-one" in path.read_text(encoding="utf-8")
    said = capsys.readouterr()
    assert "pass-one" not in said.out + said.err


def test_on_a_terminal_the_card_is_shown_and_nowhere_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    daemon._show(CARD, Config(data_dir=tmp_path), ("192.0.2.7",))
    assert "pass-two" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("limits", "root", "expected"),
    [
        ((1024, 1 << 20), False, [(6256, 1 << 20)]),
        ((1 << 20, 1 << 20), False, []),
        ((1024, 4096), True, [(6256, 6256)]),
        ((1024, 4096), False, [(4096, 4096)]),
    ],
)
def test_the_file_limit_is_raised_as_far_as_it_can_be(
    limits: tuple[int, int], root: bool, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[tuple[int, int]] = []

    def set_limit(_which: int, wanted: tuple[int, int]) -> None:
        if wanted[1] > limits[1] and not root:
            raise ValueError("not allowed to raise maximum limit")
        accepted.append(wanted)

    monkeypatch.setattr(resource, "getrlimit", lambda _which: accepted[-1] if accepted else limits)
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    daemon._raise_file_limit(Config())
    assert accepted == expected


def test_systemd_is_told_what_it_wants_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
        readiness = Readiness()
        assert readiness.watchdog_interval_s == 15.0
        assert "NOTIFY_SOCKET" not in os.environ
        readiness.ready("up")
        readiness.reloading()
        readiness.alive()
        readiness.stopping("down")
        told = [systemd.recv(200).decode() for _ in range(4)]
        readiness._socket.close()  # type: ignore[union-attr]
    assert told[0] == "READY=1\nSTATUS=up"
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[2:] == ["WATCHDOG=1", "STOPPING=1\nSTATUS=down"]


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    readiness = Readiness()
    readiness.ready("up")
    assert readiness.watchdog_interval_s == 0


@dataclass
class Process:
    """A daemon of its own, with what it logged so far."""

    process: asyncio.subprocess.Process
    data: Path
    http: str = ""

    async def line(self, event: str) -> dict[str, Any]:
        """Read the log up to the line with `event`."""
        assert self.process.stderr is not None
        seen = []
        async with asyncio.timeout(PATIENCE_S):
            while text := await self.process.stderr.readline():
                line: dict[str, Any] = json.loads(text)
                seen.append(line)
                if line["event"] == event:
                    return line
        pytest.fail(f"the log ends without {event!r}: {seen}")

    async def code(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def running(tmp_path: Path, *overrides: str) -> AsyncIterator[Process]:
    """`pbxd run` on free ports, with a configuration file of its own."""
    file = tmp_path / "pbxd.yaml"
    if not file.exists():
        file.write_text(
            f"data_dir: {tmp_path}/data\nnode: test\n"
            "sip: {udp: ['127.0.0.1:0'], tcp: ['127.0.0.1:0'], tls: ['127.0.0.1:0']}\n"
            "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47000-47099}\n",
            encoding="utf-8",
        )
    sets = [part for override in overrides for part in ("--set", override)]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pbxd", "run", str(file), *sets),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process, tmp_path / "data")
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_life_from_first_start_to_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        up = await house.line("http is up")
        card = await house.line("the passwords of the first start are in a file: read it, then remove it")
        await house.line("ready")
        assert Path(card["file"]) == house.data / CARD_NAME
        within = list(house.data.iterdir())
        assert {path.stat().st_mode & 0o777 for path in within if path.is_dir()} <= {0o700}
        modes = {path.name: path.stat().st_mode & 0o777 for path in within if not path.is_dir()}
        assert modes.pop("sip.crt") & 0o022 == 0  # a certificate is public
        assert set(modes.values()) == {0o600}, modes
        assert house.data.stat().st_mode & 0o777 == 0o700
        async with aiohttp.ClientSession(f"http://{up['addresses'][0]}") as session:
            async with session.get("/health") as answer:
                assert (answer.status, (await answer.json())["status"]) == (200, "ok")
            async with session.get("/house/v1/phones") as answer:
                assert answer.status == 401
            async with session.get("/metrics") as answer:
                text = await answer.text()
        for name in (
            "calls",
            "registrations",
            "sip_drops_total",
            "wire_drops_total",
            "wire_lateness_seconds_bucket",
            "rtp_packets_received_total",
            "calls_ended_total",
            "store_pending_rows",
            "loop_lag_seconds_sum",
        ):
            assert f"\npbxd_{name}" in text, name
        phones = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pbxd", "phones", "--json", "--socket", str(house.data / "pbxd.sock")),
            cwd=PROJECT,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await phones.communicate()
        assert phones.returncode == 0
        assert [phone["extension"] for phone in json.loads(out)["phones"]] == [str(n) for n in range(1001, 1011)]
        house.process.send_signal(signal.SIGTERM)
        await house.line("stopped")
        assert await house.code() == 0
        assert not (house.data / "pbxd.sock").exists()


async def test_the_second_signal_does_not_wait_for_calls(tmp_path: Path) -> None:
    async with running(tmp_path, "trunks={peer: {sources: [127.0.0.1]}}") as house:
        (address,) = [text for text in (await house.line("ready"))["sip"] if text.startswith("udp:")]
        host, port = address.removeprefix("udp:").rsplit(":", 1)
        async with calling((host, int(port))) as caller:
            house.process.send_signal(signal.SIGTERM)
            assert (await house.line("stopping"))["calls"] == 1
            caller.say("OPTIONS")
            assert "Retry-After:" in await caller.hear("SIP/2.0 503")
            house.process.send_signal(signal.SIGTERM)
            caller.agree(await caller.hear("BYE"))
            assert await house.code() == 0


async def test_sighup_takes_up_what_is_good_and_keeps_the_old_of_what_is_not(tmp_path: Path) -> None:
    file = tmp_path / "pbxd.yaml"
    async with running(tmp_path, "first_start.admin_key=false") as house:
        await house.line("ready")
        good = file.read_text(encoding="utf-8")
        file.write_text(good + "calls: {max: many}\n", encoding="utf-8")
        house.process.send_signal(signal.SIGHUP)
        problem = await house.line("the changed configuration is not good")
        assert f"{file}:6: calls.max: " in problem["problem"]
        await house.line("the old configuration stays in force")
        file.write_text(
            good.replace("node: test", "node: other") + "calls: {max: 7}\nkeys: {ops: {secret: ops-secret-1}}\n",
            encoding="utf-8",
        )
        house.process.send_signal(signal.SIGHUP)
        taken = await house.line("the configuration was read again")
        assert sorted(taken["changed"]) == ["calls.max", "keys.ops", "node"]
        assert taken["restart_needed_for"] == ["node"]
        connector = aiohttp.UnixConnector(str(house.data / "pbxd.sock"))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.get("/house/v1/settings") as answer,
        ):
            rows = {row["key"]: row["value"] for row in (await answer.json())["settings"]}
        assert (rows["calls.max"], rows["node"]) == (7, "test")
        house.process.send_signal(signal.SIGINT)
        assert await house.code() == 0


async def test_ports_in_use_are_2_and_all_are_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", 0)) as tcp:
        udp.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{taken.getsockname()[1]}" for taken in (udp, tcp)]
        async with running(tmp_path, f"sip.udp=['{addresses[0]}']", f"http.listen={addresses[1]}") as house:
            _, errors = await house.process.communicate()
        assert house.process.returncode == 2
        first, second, count = errors.decode().splitlines()
        assert f"sip.udp: {addresses[0]}/UDP is in use" in first
        assert f"http.listen: {addresses[1]}/TCP is in use" in second
        assert count == "pbxd: 2 problems"


async def test_what_fails_later_is_logged_and_is_1(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("not hex", encoding="utf-8")
    async with running(tmp_path) as house:
        line = await house.line("pbxd cannot start")
        assert "secret is damaged" in line["reason"]
        assert await house.code() == 1


async def test_a_bad_file_is_2_and_all_is_said(tmp_path: Path) -> None:
    async with running(tmp_path, "calls.max=0", "nod=x") as house:
        _, errors = await house.process.communicate()
        assert house.process.returncode == 2
        assert errors.decode().splitlines()[-1] == "pbxd: 2 problems"
