"""The doctor on machines that are ill in every way it knows, and on this one."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxd import box, doctor
from pbxd.app import App
from pbxd.cli import Exit, act, build_parser
from pbxd.config import Config, Problem, load
from pbxd.doctor import Daemon, Finding, Level, MailAnswer, Surroundings, around, examine, report
from pbxd.doctor.stun import mapped_address, seen_by
from tests.outbox.mailbox import PASSWORD, USER, context, identity, serving
from tests.test_tls import NOW, elliptic, make

HEALTHY = Surroundings(
    wall=NOW.timestamp(),
    built_at=NOW.timestamp() - 1e6,
    synchronised=True,
    file_limits=(1 << 20, 1 << 20),
    addresses=("8.8.4.4",),
    daemon=None,
    disk=lambda _path: (1 << 40, 1 << 41, 0.9),
    lookup=lambda _name: ["8.8.4.4"],
    ports=lambda _config: [],
    stun=lambda _server: ("8.8.4.4", 5060),
)


def configured(tmp_path: Path, text: str = "") -> Config:
    path = tmp_path / "pbxd.yaml"
    path.write_text(f"data_dir: {tmp_path}/data\n{text}", encoding="utf-8")
    return load(path)


def found(config: Config, check: str, **ill: object) -> list[Finding]:
    findings = examine(config, dataclasses.replace(HEALTHY, **ill))  # type: ignore[arg-type]
    return [finding for finding in findings if finding.check == check]


def test_a_healthy_machine_has_no_problem_and_no_warning(tmp_path: Path) -> None:
    findings = examine(configured(tmp_path, "rtp: {ports: 10000-19999}"), HEALTHY)
    assert {finding.level for finding in findings} == {Level.GOOD, Level.NOTE}
    assert {finding.check for finding in findings} >= {"ports", "firewall", "address", "disk", "clock", "limits"}
    assert "0 warning, 0 problem" in report(findings)


@pytest.mark.parametrize(
    ("text", "ill", "check", "level", "message"),
    [
        ("", {"disk": lambda _path: (1 << 20, 1 << 40, 0.9)}, "disk", Level.PROBLEM, "the disk is full"),
        ("", {"disk": lambda _path: (1 << 30, 1 << 40, 0.9)}, "disk", Level.WARNING, "nearly full"),
        ("", {"disk": lambda _path: (1 << 40, 1 << 41, 0.01)}, "disk", Level.WARNING, "1% of the inodes"),
        ("", {"synchronised": False}, "clock", Level.WARNING, "not synchronised"),
        ("", {"synchronised": None}, "clock", Level.NOTE, "does not tell"),
        ("", {"wall": 0.0}, "clock", Level.PROBLEM, "before the day"),
        ("", {"file_limits": (1024, 4096)}, "limits", Level.WARNING, "960 calls fit"),
        ("rtp: {ports: 10000-10399}", {}, "limits", Level.WARNING, "enough for 100 calls, not 1000"),
        ("", {"daemon": Daemon(7, "", 1024)}, "limits", Level.WARNING, "1024 open files allowed"),
        ("srtp: {policy: required}", {}, "srtp", Level.WARNING, "required of all, and its keys may travel"),
        (
            "phones: {'1011': {password: lab-1011, srtp: required}, '1012': {password: lab-1012}}",
            {},
            "srtp",
            Level.WARNING,
            "SRTP is required of 1011, and",
        ),
        (
            "srtp: {policy: required, over_plain_signalling: refuse}\nsip: {tls: []}",
            {},
            "srtp",
            Level.PROBLEM,
            "nobody listens for it",
        ),
        ("", {"daemon": Daemon(7, "store: late")}, "daemon", Level.PROBLEM, "not ready: store: late"),
        (
            "",
            {"ports": lambda _config: [Problem("f:1", "sip.udp", "0.0.0.0:5060/UDP is in use")]},
            "ports",
            Level.PROBLEM,
            "sip.udp: 0.0.0.0:5060/UDP is in use",
        ),
        ("http: {listen: '0.0.0.0:8080'}", {}, "firewall", Level.WARNING, "in the clear"),
        ("", {"addresses": ["192.168.1.7"]}, "address", Level.WARNING, "192.168.1.7, which only this network"),
        ("", {"addresses": []}, "address", Level.PROBLEM, "no way to any network"),
        ("sip: {external: {ipv4: 192.168.1.1}}", {}, "address", Level.PROBLEM, "an address of sip.local_nets"),
        (
            "sip: {external: {stun: 'stun.test:3478', ipv4: 1.2.3.4}}",
            {},
            "far side",
            Level.PROBLEM,
            "sees 8.8.4.4, but is told 1.2.3.4",
        ),
        ("account: {domains: [pbx.test]}", {"lookup": lambda _n: []}, "dns", Level.WARNING, "pbx.test is not found"),
        ("account: {domains: [pbx.test]}", {"lookup": lambda _n: ["9.9.9.9"]}, "dns", Level.WARNING, "none of ours"),
        ("trunks: {c: {proxy: 'sip:c.test'}}", {"lookup": lambda _n: []}, "dns", Level.PROBLEM, "c.test is not found"),
        ("http: {public_url: 'http://pbx.test'}", {}, "public url", Level.WARNING, "is not https"),
    ],
)
def test_each_illness_is_found_with_its_cure(
    tmp_path: Path, text: str, ill: dict[str, object], check: str, level: Level, message: str
) -> None:
    findings = [one for one in found(configured(tmp_path, text), check, **ill) if message in one.message]
    assert [one.level for one in findings] == [level]
    assert findings[0].cure
    assert findings[0].cure.splitlines()[0] in report(findings)


def test_nobody_is_asked_what_the_far_side_sees_unless_a_server_is_named(tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(server: str) -> tuple[str, int]:
        asked.append(server)
        return "8.8.4.4", 1

    (finding,) = found(configured(tmp_path), "far side", stun=ask)
    assert (finding.level, finding.message) == (Level.NOTE, "nobody was asked what the far side sees of us")
    assert asked == []
    (finding,) = found(configured(tmp_path, "sip: {external: {stun: stun.test}}"), "far side", stun=ask)
    assert (finding.level, asked) == (Level.GOOD, ["stun.test"])


def test_a_stun_server_that_is_silent_is_a_warning(tmp_path: Path) -> None:
    def silent(_server: str) -> tuple[str, int]:
        raise TimeoutError("stun.test does not answer")

    (finding,) = found(configured(tmp_path, "sip: {external: {stun: stun.test}}"), "far side", stun=silent)
    assert (finding.level, "gives no answer" in finding.message) == (Level.WARNING, True)


def test_the_firewall_rules_name_every_port_and_no_other(tmp_path: Path) -> None:
    config = configured(tmp_path, "sip: {udp: ['0.0.0.0:5080'], tcp: ['127.0.0.1:5060'], tls: ['[::]:5061']}")
    (finding,) = found(config, "firewall")
    assert "UDP 5080, 10000-19999; TCP 5061" in finding.message
    assert "udp dport '{ 5080, 10000-19999 }' accept" in finding.cure
    assert "ufw allow 10000:19999/udp" in finding.cure


@pytest.mark.parametrize(
    ("days", "level", "message"),
    [(0, Level.WARNING, "in 8 days"), (10, Level.PROBLEM, "has expired"), (-60, Level.GOOD, "is good until")],
)
def test_certificates_and_their_expiry(tmp_path: Path, days: int, level: Level, message: str) -> None:
    identity = make(tmp_path, "sip", elliptic(), "pbx.test")
    config = configured(tmp_path, f"sip: {{certificate: {identity.certificate}, private_key: {identity.private_key}}}")
    wall = (NOW + datetime.timedelta(days=days)).timestamp()
    (finding,) = found(config, "certificate", wall=wall, built_at=0.0)
    assert (finding.level, message in finding.message) == (level, True)


def test_a_certificate_for_other_names_and_one_that_is_broken(tmp_path: Path) -> None:
    one = make(tmp_path, "one", elliptic(), "*.pbx.test")
    (tmp_path / "bad.crt").write_text("no certificate")
    rows = ", ".join(
        f"{{names: ['{name}'], certificate: {crt}, private_key: {one.private_key}}}"
        for name, crt in (
            ("a.pbx.test", one.certificate),
            ("b.test", one.certificate),
            ("c.test", tmp_path / "bad.crt"),
        )
    )
    findings = found(configured(tmp_path, f"sip: {{certificates: [{rows}]}}"), "certificate")
    assert [finding.message.partition(" is ")[2] for finding in findings if "not for" in finding.message] == [
        "not for b.test"
    ]
    assert [finding.level for finding in findings if "PEM format" in finding.message] == [Level.PROBLEM]


# ---- STUN


def response(transaction: bytes, *attributes: tuple[int, bytes], kind: int = 0x0101) -> bytes:
    body = b"".join(
        struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4) for number, value in attributes
    )
    return struct.pack("!HHI", kind, len(body), 0x2112A442) + transaction + body


# RFC 5769 §2.2: 192.0.2.1 port 32853, with the transaction of that section. §2.3: the same over IPv6.
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
XOR_V4 = bytes.fromhex("0001a147e112a643")
XOR_V6 = bytes.fromhex("0002a1470113a9faa5d3f179bc25f4b5bed2b9d9")
SOFTWARE = (0x8022, b"test vector")


def test_the_vectors_of_the_rfc() -> None:
    assert mapped_address(response(TRANSACTION, SOFTWARE, (0x20, XOR_V4)), TRANSACTION) == ("192.0.2.1", 32853)
    address = mapped_address(response(TRANSACTION, SOFTWARE, (0x20, XOR_V6)), TRANSACTION)
    assert address == ("2001:db8:1234:5678:11:2233:4455:6677", 32853)


def test_an_old_server_says_it_in_plain() -> None:
    plain = response(TRANSACTION, (0x01, bytes.fromhex("0001") + struct.pack("!H", 7) + bytes([192, 0, 2, 1])))
    assert mapped_address(plain, TRANSACTION) == ("192.0.2.1", 7)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        response(bytes(12), (0x20, XOR_V4)),
        response(TRANSACTION, (0x20, XOR_V4), kind=0x0111),
        response(TRANSACTION, (0x20, XOR_V4))[:-1],
        response(TRANSACTION, (0x20, XOR_V4[:-1])),
        response(TRANSACTION, (0x20, b"\0\3" + XOR_V4[2:])),
        response(TRANSACTION, (0x20, b"")),
        response(TRANSACTION),
        response(TRANSACTION, SOFTWARE),
    ],
)
def test_nonsense_is_an_error(message: bytes) -> None:
    with pytest.raises(OSError, match="the answer"):
        mapped_address(message, TRANSACTION)


@pytest.fixture
def server() -> Iterator[str]:
    """A STUN server that ignores the first question, as a lossy network would."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
        answering.bind(("127.0.0.1", 0))

        def serve() -> None:
            answering.recvfrom(100)
            question, source = answering.recvfrom(100)
            mapped = struct.pack("!BBH", 0, 1, source[1]) + socket.inet_aton(source[0])
            answering.sendto(response(question[8:20], (0x01, mapped)), source)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{answering.getsockname()[1]}"
        thread.join()


def test_a_server_is_really_asked(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pbxd.doctor.stun.TIMEOUT_S", 0.2)
    host, port = seen_by(server)
    assert host == "127.0.0.1"
    assert port > 1023


def test_a_server_is_asked_once_from_the_command_line(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pbxd.doctor.stun.TIMEOUT_S", 0.2)
    run("doctor", "--config", str(quiet_house(tmp_path)), "--stun", server)
    assert "the far side sees 127.0.0.1, but is told our own address" in capsys.readouterr().out


# ---- this machine


def quiet_house(tmp_path: Path) -> Path:
    path = tmp_path / "pbxd.yaml"
    path.write_text(
        f"data_dir: {tmp_path}/data\nsip: {{udp: ['127.0.0.1:0'], tcp: [], tls: []}}\n"
        "http: {listen: '127.0.0.1:0'}\nrtp: {ports: 47400-47499}\n",
        encoding="utf-8",
    )
    return path


def run(*arguments: str) -> Exit:
    return act(build_parser(box.add_commands).parse_args(arguments))


def test_without_a_daemon_it_looks_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run("doctor", "--json", "--config", str(quiet_house(tmp_path)))
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {finding["check"] for finding in findings} >= {"daemon", "ports", "disk", "clock", "limits"}
    ill = any(finding["level"] == "problem" for finding in findings)
    assert code is (Exit.REFUSED if ill else Exit.DONE)
    assert findings[0]["message"].startswith("no daemon runs")
    assert all(finding["cure"] for finding in findings if finding["level"] != "good")


def test_beside_the_lab_it_looks_at_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("etc", "var/lab"):
        Path(folder).mkdir(parents=True)
    Path("etc/lab.yaml").write_text("data_dir: var/lab\n", encoding="utf-8")
    Path("etc/pbxd.yaml").write_text("data_dir: var/pbxd\n", encoding="utf-8")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.bind("var/lab/pbxd.sock")
        run("doctor", "--json")
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any(finding["check"] == "disk" and "var/lab" in finding["message"] for finding in findings)


async def test_beside_a_daemon_its_ports_are_not_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quiet_house(tmp_path)
    app = App(load(path))
    await app.start()
    try:
        here = await asyncio.to_thread(around.this_machine, app.config.data_dir / "pbxd.sock")
        assert here.daemon is not None
        assert (here.daemon.trouble, here.daemon.file_limit is not None) == ("", True)
        await asyncio.to_thread(run, "doctor", "--config", str(path))
        assert "and is ready" in capsys.readouterr().out
    finally:
        await app.stop()


def test_a_bad_port_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quiet_house(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = path.read_text().replace("listen: '127.0.0.1:0'", f"listen: '127.0.0.1:{taken.getsockname()[1]}'")
        path.write_text(text)
        assert run("doctor", "--config", str(path)) is Exit.REFUSED
    said = capsys.readouterr()
    assert "FAIL  ports" in said.out
    assert "something must be cured" in said.err


def test_a_socket_that_nobody_serves_is_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "pbxd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(path))
    assert doctor.this_machine(path).daemon is None


# ---- mail


MAIL = "mail: {{server: {server}, port: {port}, security: {security}, from: pbx@house.example{more}}}\n"


def answered(taken: bool, said: str) -> dict[str, object]:
    return {"mail": lambda _config, _to: MailAnswer(taken, said)}


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("the mail server refuses the log-in: 535", "mail.username and mail.password"),
        ("the mail server cannot be used: TLS: certificate verify failed", "mail.authorities"),
        ("the mail server cannot be used: SMTP STARTTLS extension not supported by server.", "security: tls"),
        ("the mail server cannot be used: Connection refused", "mail.server and mail.port"),
        ("the mail server does not answer in time", "is TCP let out"),
        ("550 no such sender", "is mail.from an address"),
    ],
)
def test_mail_that_is_not_taken_is_a_warning_with_its_cure(tmp_path: Path, said: str, cure: str) -> None:
    config = configured(tmp_path, MAIL.format(server="mail.test", port=587, security="starttls", more=""))
    (finding,) = found(config, "mail", **answered(False, said))
    assert (finding.level, said in finding.message, cure in finding.cure) == (Level.WARNING, True, True)


def test_without_a_mail_server_that_is_a_note(tmp_path: Path) -> None:
    (finding,) = found(configured(tmp_path), "mail")
    assert (finding.level, finding.message) == (Level.NOTE, "no mail is sent: there is no mail.server")


def test_authorities_that_cannot_be_read_are_a_warning(tmp_path: Path) -> None:
    text = MAIL.format(server="mail.test", port=587, security="starttls", more=f", authorities: {tmp_path}/none.pem")
    config = configured(tmp_path, text)

    def unreadable(_config: Config, _to: str | None) -> MailAnswer:
        raise OSError("mail.authorities: none.pem cannot be used")

    (finding,) = found(config, "mail", mail=unreadable)
    assert (finding.level, "cannot be used" in finding.message) == (Level.WARNING, True)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
async def test_a_real_mail_server_is_asked_and_gets_a_mail_only_when_that_is_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = identity(tmp_path)
    more = f", username: {USER}, password: {PASSWORD}, authorities: {own.certificate}"
    async with serving(starttls=context(own), login=True) as mailbox:
        path = quiet_house(tmp_path)
        text = MAIL.format(server="127.0.0.1", port=mailbox.port, security="starttls", more=more)
        path.write_text(path.read_text() + text, encoding="utf-8")
        await asyncio.to_thread(run, "doctor", "--config", str(path))
        asked = capsys.readouterr().out
        assert f"ok    mail         127.0.0.1:{mailbox.port}: would take a mail to pbx@house.example" in asked
        assert (mailbox.mails, mailbox.logins) == ([], [USER])
        await asyncio.to_thread(run, "doctor", "--config", str(path), "--mail", "ann@example.org")
        assert "a mail to ann@example.org was taken (250 2.0.0 queued as 42)" in capsys.readouterr().out
        assert [mail.rcpt_tos for mail in mailbox.mails] == [["ann@example.org"]]
        mailbox.replies["RCPT"] = "550 5.1.1 nobody here"
        await asyncio.to_thread(run, "doctor", "--config", str(path))
        assert "does not take a mail to pbx@house.example: 550 5.1.1 nobody here" in capsys.readouterr().out
        path.write_text(path.read_text().replace(PASSWORD, "wrong"), encoding="utf-8")
        await asyncio.to_thread(run, "doctor", "--config", str(path))
        refused = capsys.readouterr().out
        assert "refuses the log-in: 535" in refused
        assert "many providers want a password made for programs" in refused
    assert len(mailbox.mails) == 1


def test_what_is_no_mail_address_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = quiet_house(tmp_path)
    text = MAIL.format(server="127.0.0.1", port=9, security="none", more="")
    path.write_text(path.read_text() + text, encoding="utf-8")
    assert run("doctor", "--config", str(path), "--mail", "ann") is Exit.MISTAKE
    assert "--mail ann: this is not a mail address" in capsys.readouterr().err
