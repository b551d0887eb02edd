"""Ports and files: what only the host can tell."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbxd.config import Config, check_ports, load

FREE = ('sip.udp=["127.0.0.1:0"]', 'sip.tcp=["127.0.0.1:0"]', 'sip.tls=["127.0.0.1:0"]', 'http.listen="127.0.0.1:0"')


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that is in use for UDP and TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = int(tcp.getsockname()[1])
        udp.bind(("127.0.0.1", port))
        yield port


def loaded(directory: Path, *overrides: str) -> Config:
    path = directory / "pbxd.yaml"
    path.write_text("node: here\n")
    return load(path, [*FREE, *overrides])


def test_free_ports_are_no_problem(tmp_path: Path) -> None:
    assert check_ports(loaded(tmp_path)) == []


def test_each_port_in_use_is_one_message(tmp_path: Path, taken: int) -> None:
    config = loaded(tmp_path, f'sip.udp=["127.0.0.1:{taken}"]', f'sip.tcp=["127.0.0.1:{taken}"]')
    assert [str(problem) for problem in check_ports(config)] == [
        f"--set sip.udp: 127.0.0.1:{taken}/UDP is in use by another program (`ss -lnp` tells which)",
        f"--set sip.tcp: 127.0.0.1:{taken}/TCP is in use by another program (`ss -lnp` tells which)",
    ]


def test_what_our_own_daemon_has_is_not_taken(tmp_path: Path, taken: int) -> None:
    config = loaded(tmp_path, f'sip.udp=["127.0.0.1:{taken}"]', f'sip.tcp=["127.0.0.1:{taken}"]')
    ours = frozenset({("sip.udp", f"127.0.0.1:{taken}")})
    assert [problem.key for problem in check_ports(config, ours)] == ["sip.tcp"]


def test_an_address_of_another_host_is_named(tmp_path: Path) -> None:
    config = loaded(tmp_path, 'sip.udp=["192.0.2.77:5060"]', "rtp.address.ipv4=192.0.2.78", "rtp.address.ipv6=::1")
    assert [str(problem) for problem in check_ports(config)] == [
        "--set sip.udp: 192.0.2.77:5060/UDP: this host has no such address",
        "--set rtp.address.ipv4: 192.0.2.78: this host has no such address",
    ]


def test_the_check_leaves_nothing_bound(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = loaded(tmp_path, f'sip.tcp=["127.0.0.1:{port}"]')
    assert check_ports(config) == []
    assert check_ports(config) == []


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("key")
    config = loaded(tmp_path, f"sip.certificate={tmp_path}/cert.pem", f"sip.private_key={tmp_path}/key.pem")
    assert [problem.message for problem in check_ports(config)] == [f"there is no file {tmp_path}/cert.pem"]
