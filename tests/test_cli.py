"""The command line against a real daemon's socket: tables for people, JSON for machines, exit codes for scripts."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from pbxd import __version__, cli
from pbxd.cli import Column, Exit, act, build_parser, table

CALL = {
    "id": "call_1",
    "state": "answered",
    "caller": "1001",
    "called": "600",
    "direction": "internal",
    "duration_s": 61.4,
    "legs": [{"codec": "PCMU", "srtp": "AEAD_AES_128_GCM"}, {"codec": None, "srtp": None}],
}
PHONE = {"extension": "1001", "name": "Ann", "auth_username": "1001", "registered": 1, "declared": False}
REGISTRATION = {
    "aor": "1001",
    "contact": "sip:1001@10.0.0.7",
    "source": "udp:10.0.0.7:5060",
    "expires_at": "2026-09-21T14:16:00Z",
    "user_agent": None,
}
TRUNK = {
    "name": "bench",
    "proxy": None,
    "sources": ["127.0.0.1/32"],
    "state": "off",
    "since": None,
    "reason": None,
}
DELIVERY = {
    "id": "out_1",
    "state": "waiting",
    "summary": "to ann@example.org",
    "attempts": 2,
    "due_at": "2026-09-21T14:16:00Z",
    "reason": None,
}
ANSWERS: dict[tuple[str, str], tuple[int, Any]] = {
    ("GET", "/house/v1/calls"): (200, {"calls": [CALL]}),
    ("GET", "/house/v1/phones"): (200, {"phones": [PHONE]}),
    ("GET", "/house/v1/registrations"): (200, {"registrations": [REGISTRATION]}),
    ("GET", "/house/v1/trunks"): (200, {"trunks": [TRUNK]}),
    ("GET", "/house/v1/outbox"): (200, {"deliveries": [DELIVERY], "next": None}),
    ("GET", "/house/v1/outbox?state=dead"): (200, {"deliveries": [], "next": None}),
    ("GET", "/house/v1/outbox/out_1"): (200, DELIVERY),
    ("POST", "/house/v1/outbox/out_1/cancel"): (200, {**DELIVERY, "state": "cancelled", "due_at": None}),
    ("POST", "/house/v1/outbox/out_1/retry"): (
        409,
        {"error": {"code": "conflict", "message": "it is being sent right now"}},
    ),
    ("POST", "/house/v1/mail/test"): (200, {"reply": "250 2.0.0 queued as 42"}),
    ("POST", "/house/v1/phones/1001/password"): (
        200,
        {"extension": "1001", "auth_username": "1001", "password": "abcd-efgh"},
    ),
    ("POST", "/house/v1/phones/a%2Fb/password"): (
        404,
        {"error": {"code": "not_found", "message": "there is no such phone"}},
    ),
}


class _Handler(BaseHTTPRequestHandler):
    """Answers from the table above."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))  # who answers before that breaks the pipe
        status, content = ANSWERS[self.command, self.path]
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """The socket of something that answers as the daemon does."""
    path = tmp_path / "pbxd.sock"
    with ThreadingUnixStreamServer(str(path), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def _run(*arguments: str) -> Exit:
    return act(build_parser().parse_args(arguments))


@pytest.mark.parametrize(
    ("command", "heading", "row"),
    [
        (
            "calls",
            "CALL    STATE     FROM  TO   DIRECTION",
            "call_1  answered  1001  600  internal   61       PCMU/-  yes/no",
        ),
        ("phones", "EXTENSION  NAME", "1001       Ann   1001      1           first start"),
        ("registrations", "AOR   CONTACT", "1001  sip:1001@10.0.0.7  udp:10.0.0.7:5060  2026-09-21 14:16:00  -"),
        (
            "outbox",
            "DELIVERY  STATE    WHAT                TRIES  NEXT                 REASON",
            "out_1     waiting  to ann@example.org  2      2026-09-21 14:16:00  -",
        ),
        ("trunks", "TRUNK  PROXY", "bench  -      127.0.0.1/32  off    -      -"),
    ],
)
def test_people_get_a_table(
    daemon: Path,
    command: str,
    heading: str,
    row: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli, "clock", lambda moment: moment.replace("T", " ").rstrip("Z") if moment else "-")
    assert _run(command, "--socket", str(daemon)) is Exit.DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(heading)
    assert lines[1:] == [row]


def test_machines_get_json(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("calls", "--json", "--socket", str(daemon)) is Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"calls": [CALL]}
    assert _run("phones", "rotate", "1001", "--json", "--socket", str(daemon)) is Exit.DONE
    assert json.loads(capsys.readouterr().out)["password"] == "abcd-efgh"
    assert _run("phones", "--json", "list", "--socket", str(daemon)) is Exit.DONE
    assert json.loads(capsys.readouterr().out) == {"phones": [PHONE]}


def test_deliveries_are_shown_found_and_cancelled(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("outbox", "--state", "dead", "--socket", str(daemon)) is Exit.DONE
    assert capsys.readouterr().out == "The outbox is empty.\n"
    assert _run("outbox", "list", "--state", "dead", "--socket", str(daemon)) is Exit.DONE
    assert capsys.readouterr().out == "The outbox is empty.\n"
    assert _run("outbox", "show", "out_1", "--socket", str(daemon)) is Exit.DONE
    assert "attempts     2\n" in capsys.readouterr().out
    assert _run("outbox", "cancel", "out_1", "--json", "--socket", str(daemon)) is Exit.DONE
    assert json.loads(capsys.readouterr().out)["state"] == "cancelled"
    assert _run("outbox", "retry", "out_1", "--socket", str(daemon)) is Exit.REFUSED
    assert capsys.readouterr().err == "pbxd: it is being sent right now\n"


def test_the_mail_settings_are_proved(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("mail", "test", "ann@example.org", "--socket", str(daemon)) is Exit.DONE
    assert capsys.readouterr().out == "The mail server took it: 250 2.0.0 queued as 42\n"


def test_nothing_is_said_in_words(
    daemon: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ANSWERS, ("GET", "/house/v1/calls"), (200, {"calls": []}))
    assert _run("calls", "--socket", str(daemon)) is Exit.DONE
    assert capsys.readouterr().out == "No call is up.\n"


def test_a_new_password_is_shown(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("phones", "--socket", str(daemon), "rotate", "1001") is Exit.DONE
    out = capsys.readouterr().out
    assert "Phone 1001 has a new password, shown only now:" in out
    assert "    password  abcd-efgh\n" in out


def test_what_the_daemon_refuses_is_said_and_is_1(daemon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("phones", "--socket", str(daemon), "rotate", "a/b") is Exit.REFUSED
    assert capsys.readouterr().err == "pbxd: there is no such phone\n"


def test_without_a_daemon_the_way_to_one_is_said_and_is_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("calls") is Exit.NO_DAEMON
    assert f"there is no {tmp_path}/var/lab/pbxd.sock; start one with `make run`" in capsys.readouterr().err
    abandoned = tmp_path / "pbxd.sock"
    with ThreadingUnixStreamServer(str(abandoned), _Handler):
        pass
    assert _run("calls", "--socket", str(abandoned)) is Exit.NO_DAEMON
    assert f"no daemon answers on {abandoned}" in capsys.readouterr().err


def test_the_socket_is_found_by_the_configuration(
    daemon: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = daemon.parent
    monkeypatch.chdir(home)
    (home / "my.yaml").write_text(f"data_dir: {home}\n", encoding="utf-8")
    assert _run("trunks", "--config", "my.yaml") is Exit.DONE
    (home / "etc").mkdir()
    (home / "my.yaml").rename(home / "etc/pbxd.yaml")
    assert _run("trunks") is Exit.DONE
    assert capsys.readouterr().out.count("bench") == 2
    (home / "etc/pbxd.yaml").write_text("data_dirr: x\n", encoding="utf-8")
    assert _run("trunks") is Exit.MISTAKE
    assert "data_dirr" in capsys.readouterr().err


def test_check_says_all_that_is_wrong_and_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("nod: x\ncalls: {max: many}\n", encoding="utf-8")
    assert _run("check", str(file), "--set", "http.listen=nowhere") is Exit.MISTAKE
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith(f"{file}:1: nod: ")
    assert errors[1].startswith(f"{file}:2: calls.max: ")
    assert errors[2].startswith("--set http.listen: an address is written ")
    assert errors[-1] == "pbxd: 3 problems"


def test_check_needs_no_daemon_and_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good.yaml"
    file.write_text("sip: {udp: ['127.0.0.1:0'], tcp: [], tls: []}\nhttp: {listen: '127.0.0.1:0'}\n", encoding="utf-8")
    assert _run("check", str(file)) is Exit.DONE
    out = capsys.readouterr().out
    assert out.startswith(f"{file} is good: SIP on udp 127.0.0.1:0; HTTP on 127.0.0.1:0; RTP 10000-19999")
    assert out.count("\n") == 1


def test_before_a_reload_the_ports_of_the_daemon_itself_are_not_taken(
    daemon: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = daemon.with_name("changed.yaml")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip, socket.socket() as http:
        sip.bind(("127.0.0.1", 0))
        http.bind(("127.0.0.1", 0))
        http.listen()
        udp, listen = (f"127.0.0.1:{each.getsockname()[1]}" for each in (sip, http))
        said = {"sip.udp": [udp], "sip.tcp": [], "sip.tls": [], "http.listen": listen}
        settings = [{"key": key, "value": value} for key, value in said.items()]
        text = f"sip: {{udp: ['{udp}'], tcp: [], tls: []}}\nhttp: {{listen: '{listen}'}}\n"
        file.write_text(f"data_dir: {daemon.parent}\n{text}", encoding="utf-8")
        monkeypatch.setitem(ANSWERS, ("GET", "/house/v1/settings"), (200, {"settings": settings}))
        assert _run("check", str(file)) is Exit.DONE
        file.write_text(f"data_dir: {daemon.parent}/other\n{text}", encoding="utf-8")
        assert _run("check", str(file)) is Exit.MISTAKE
    assert capsys.readouterr().err.splitlines() == [
        f"{file}:2: sip.udp: {udp}/UDP is in use by another program (`ss -lnp` tells which)",
        f"{file}:3: http.listen: {listen}/TCP is in use by another program (`ss -lnp` tells which)",
        "pbxd: 2 problems",
    ]


def test_another_user_is_told_so_and_it_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_socket", refuse)
    assert _run("calls", "--socket", str(tmp_path / "pbxd.sock")) is Exit.REFUSED
    assert capsys.readouterr().err == (
        f"pbxd: {tmp_path}/pbxd.sock belongs to another user: ask as root, or as the user the daemon runs as\n"
    )


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("version") is Exit.DONE
    assert capsys.readouterr().out == f"pbxd {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["dance"], ["phones", "rotate"], ["run", "a", "b"]])
def test_a_mistake_on_the_command_line_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args(arguments)
    assert stop.value.code == Exit.MISTAKE
    assert "usage: pbxd" in capsys.readouterr().err


def test_run_is_left_to_the_daemon() -> None:
    arguments = build_parser().parse_args(["run", "etc/lab.yaml", "--set", "a=1", "--set", "b=2"])
    assert arguments.action is None
    assert (arguments.file, arguments.overrides) == (Path("etc/lab.yaml"), ["a=1", "b=2"])


def test_columns_are_as_wide_as_they_must_be() -> None:
    columns = [Column("A", lambda row: row["a"]), Column("LONG", lambda row: row["b"])]
    assert table(columns, [{"a": "xyz", "b": 1}, {"a": "", "b": "y"}]) == "A    LONG\nxyz  1\n     y"


def test_exit_codes_are_a_promise() -> None:
    assert {code.name: code.value for code in Exit} == {"DONE": 0, "REFUSED": 1, "MISTAKE": 2, "NO_DAEMON": 3}


def test_the_installed_command_means_the_installed_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when root calls it where the sources are, beside `make install`."""
    here, installed = tmp_path / "here.yaml", tmp_path / "installed.yaml"
    for file in (here, installed):
        file.write_text("{}", encoding="utf-8")
    monkeypatch.setattr(cli, "DEFAULT_CONFIG", here)
    monkeypatch.setattr(cli, "INSTALLED_CONFIG", installed)
    assert cli.configurations() == [here, installed]
    monkeypatch.setattr(cli, "INSTALLED_CODE", Path(sys.prefix).parent)
    assert cli.configurations() == [installed, here]
    installed.unlink()
    assert cli.configurations() == [here]
