"""The house under test: `pbxd run etc/lab.yaml` as a process, on ports and with a data directory of its own."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.clients.block import Block
from tests.clients.until import until

ROOT = Path(__file__).resolve().parents[2]
PBXD = ROOT / ".venv/bin/pbxd"
LAB = ROOT / "etc/lab.yaml"
ADMIN_KEY = "lab-admin"
READY_S = 40.0
END_S = 8.0
BAD_LINE = re.compile(
    r"Traceback|\[(error|critical)\s*\]|\"level\": ?\"(error|critical)\"|level=(error|critical)", re.IGNORECASE
)

Json = dict[str, Any]


class House:
    """One daemon; use it as a context manager: it must end cleanly."""

    def __init__(self, block: Block, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.block = block
        self.folder = folder
        self.data = folder / "data"
        self._settings = dict(settings or {})
        self._log = folder / "house.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def sip(self) -> tuple[str, int]:
        """UDP and TCP."""
        return "127.0.0.1", self.block.port(0)

    @property
    def sip6(self) -> tuple[str, int]:
        """UDP and TCP."""
        return "::1", self.block.port(0)

    @property
    def sips(self) -> tuple[str, int]:
        """TLS."""
        return "127.0.0.1", self.block.port(1)

    @property
    def uas_port(self) -> int:
        """Where trunk `lab-uas` sends 8XXX."""
        return self.block.port(3)

    @property
    def http(self) -> str:
        """The root of the HTTP listener."""
        return f"http://127.0.0.1:{self.block.port(2)}"

    def _overrides(self) -> dict[str, object]:
        port = self.sip[1]
        both = [f"127.0.0.1:{port}", f"[::1]:{port}"]
        return {
            "data_dir": str(self.data),
            "sip.udp": both,
            "sip.tcp": both,
            "sip.tls": [f"127.0.0.1:{self.sips[1]}"],
            "http.listen": f"127.0.0.1:{self.block.port(2)}",
            "rtp.ports": self.block.rtp_ports,
            "trunks.lab-uas.proxy": f"sip:127.0.0.1:{self.uas_port}",
            **self._settings,
        }

    def start(self) -> Self:
        """Start and wait for `GET /health` to answer 200."""
        self._launch()
        until(self._answers, "the house to answer /health", timeout=READY_S, every=0.05)
        return self

    def start_in_vain(self) -> tuple[int, str]:
        """Start where that cannot go well; gives the exit status and what the house says."""
        self._launch()
        return self.wait(READY_S), self.log()

    def _launch(self) -> None:
        assert PBXD.exists(), f"{PBXD} is not installed; make sets it up"
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(PBXD), "run", str(LAB)]
        for key, value in self._overrides().items():
            command += ["--set", f"{key}={json.dumps(value)}"]  # JSON is YAML
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"the house ended with {self._process.returncode}: {self.log()[-4000:]}"
        try:
            with urllib.request.urlopen(f"{self.http}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:  # or it would stay, on ports that are leased anew
            if self.is_running():
                self.kill()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop()
        elif self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def terminate(self) -> None:
        """SIGTERM, without waiting for the end."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = END_S) -> int:
        """Wait for the end and return the exit status."""
        assert self._process
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the house did not end in {timeout:g} s: {self.log()[-4000:]}") from error

    def stop(self) -> float:
        """SIGTERM; assert a clean end and a clean log; returns the seconds it took."""
        start = time.monotonic()
        self.terminate()
        code = self.wait()
        took = time.monotonic() - start
        assert code == 0, f"the house ended with {code}: {self.log()[-4000:]}"
        self.assert_clean_log()
        return took

    def kill(self) -> None:
        """kill -9."""
        assert self._process
        self._process.kill()
        self._process.wait()

    def log(self) -> str:
        """Everything the house has printed."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def assert_clean_log(self) -> None:
        """No traceback and no line of level error or above."""
        bad = [line for line in self.log().splitlines() if BAD_LINE.search(line)]
        assert not bad, "the house complained:\n" + "\n".join(bad[:20])

    def get(self, path: str) -> Any:
        """GET a JSON document of the house API."""
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        """GET anything of the house API."""
        request = urllib.request.Request(self.http + path, headers={"X-API-Key": ADMIN_KEY})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bytes(answer.read())

    def _list(self, path: str) -> list[Json]:
        document = self.get(path)
        if isinstance(document, list):
            return document
        lists = [value for value in document.values() if isinstance(value, list)]
        assert len(lists) == 1, f"{path} answered {document}"
        return list(lists[0])

    def calls(self) -> list[Json]:
        """The calls that are up."""
        return self._list("/house/v1/calls")

    def records(self) -> list[Json]:
        """The calls that are over."""
        return self._list("/house/v1/records")

    def registrations(self) -> list[Json]:
        """The bindings of phones."""
        return self._list("/house/v1/registrations")

    def order(self, method: str, path: str, body: Json | None = None) -> Any:
        """Any other operation of the house API; what it answers."""
        headers = {"X-API-Key": ADMIN_KEY} | ({"Content-Type": "application/json"} if body is not None else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def tell(self, method: str, path: str, wish: Json | None = None) -> Any:
        """Ask something of the house API, with a JSON body if there is one; the JSON answer, or None."""
        data = None if wish is None else json.dumps(wish).encode()
        headers = {"X-API-Key": ADMIN_KEY, "Content-Type": "application/json"}
        request = urllib.request.Request(self.http + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def refuses(self, method: str, path: str, wish: Json | None = None) -> int:
        """Ask for what must be refused; the status."""
        try:
            answer = self.tell(method, path, wish)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        raise AssertionError(f"{method} {path} was answered with {answer}")

    def sound_of(self, recording_id: str) -> bytes:
        """The file of a recording."""
        path = f"{self.http}/house/v1/recordings/{recording_id}/audio"
        with urllib.request.urlopen(urllib.request.Request(path, headers={"X-API-Key": ADMIN_KEY}), timeout=10) as sent:
            return bytes(sent.read())

    def forget(self, extension: str) -> None:
        """Remove the bindings of a user."""
        self.order("DELETE", f"/house/v1/registrations/{extension}")

    def hang_up(self, call_id: str) -> None:
        """End a call from the house's side."""
        self.order("POST", f"/house/v1/calls/{call_id}/hangup")

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def metrics(self) -> dict[str, float]:
        """Sample names with labels, as Prometheus prints them, and their values."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def resident_kib(self) -> int:
        """Resident memory of the daemon."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert match
        return int(match[1])
