"""SIPp (Debian's sip-tester) with our scenarios: a UAS behind a trunk, a UAC with and without a password.

With its RTP echo on, whoever talks to it hears the own tone again: both directions in one measurement.
"""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.clients.until import until

SCENARIOS = Path(__file__).parent / "scenarios"
END_S = 15.0


class SippProcess:
    """One run of one scenario; use it as a context manager."""

    def __init__(
        self,
        scenario: str,
        folder: Path,
        *,
        local: tuple[str, int],
        remote: tuple[str, int] | None = None,
        media_port: int,
        calls: int | None = 1,
        arguments: tuple[str, ...] = (),
    ) -> None:
        program = shutil.which("sipp")
        assert program, "sipp is not installed; Debian's package sip-tester has it"
        host, port = local
        self._log = folder / f"sipp-{scenario}-{host.replace(':', '_')}-{port}.log"
        self._errors = self._log.with_suffix(".errors")
        command = [program, "-sf", str(SCENARIOS / f"{scenario}.xml"), "-nostdin", "-i", host, "-p", str(port)]
        command += ["-mi", host, "-mp", str(media_port), "-rtp_echo", "-trace_err", "-error_file", str(self._errors)]
        command += ["-m", str(calls)] if calls else []
        command += arguments
        if remote:
            command.append(f"[{remote[0]}]:{remote[1]}" if ":" in remote[0] else f"{remote[0]}:{remote[1]}")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "TERM": "dumb"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def is_running(self) -> bool:
        """Whether calls are still awaited or up."""
        return self._process.poll() is None

    def succeeds(self, *, timeout: float = END_S) -> None:
        """Assert that the scenario went through to its end for every call."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"sipp did not end in {timeout:g} s: {self._tail()}") from error
        assert code == 0, f"sipp ended with {code}: {self._tail()}"

    def _tail(self) -> str:
        texts = [path.read_text(errors="replace")[-3000:] for path in (self._errors, self._log) if path.exists()]
        return "\n".join(texts)


def _is_bound(port: int) -> bool:
    tables = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
    return any(f":{port:04X} " in table.read_text() for table in tables if table.exists())


def uas(scenario: str, folder: Path, *, port: int, media_port: int, talk_s: float = 0.0) -> SippProcess:
    """A UAS on 127.0.0.1 for one call, ready when this returns."""
    process = SippProcess(
        scenario,
        folder,
        local=("127.0.0.1", port),
        media_port=media_port,
        arguments=("-d", str(round(talk_s * 1000))),
    )
    until(lambda: _is_bound(port) or not process.is_running(), f"sipp at port {port}")
    return process


def uac(
    scenario: str,
    folder: Path,
    *,
    server: tuple[str, int],
    local: tuple[str, int],
    media_port: int,
    caller: str,
    number: str,
    talk_s: float,
    domain: str = "127.0.0.1",
    password: str = "",
) -> SippProcess:
    """One call from SIPp to `number`, lasting `talk_s`."""
    arguments: tuple[str, ...] = ("-s", number, "-d", str(round(talk_s * 1000)))
    arguments += ("-cid_str", f"%u-%p-{local[1]}@%s")
    arguments += ("-key", "caller", caller, "-key", "domain", domain)
    arguments += ("-au", caller, "-ap", password) if password else ()
    return SippProcess(scenario, folder, local=local, remote=server, media_port=media_port, arguments=arguments)
