"""Whose calls an address sends: the most exact rule wins."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from pbxd.directory.model import Trunk
from pbxd.directory.sources import TrustedSources


def trunk(name: str, *sources: str, from_user: str | None = None) -> Trunk:
    return Trunk(name, "acc_1", name, None, tuple(map(ip_network, sources)), from_user)


TRUNKS = [
    trunk("wide", "10.0.0.0/8", "2001:db8::/32"),
    trunk("narrow", "10.1.0.0/16"),
    trunk("host", "10.1.2.3", "2001:db8::5"),
    trunk("named", "10.0.0.0/8", from_user="bench"),
    trunk("twin", "10.1.2.3"),
]


@pytest.mark.parametrize(
    ("source", "from_user", "expected"),
    [
        ("10.9.9.9", None, "wide"),
        ("10.1.9.9", None, "narrow"),
        ("10.1.2.3", None, "host"),
        ("10.1.2.3", "1001", "host"),
        ("10.1.2.3", "bench", "named"),  # a From user before a smaller network
        ("11.0.0.1", "bench", None),
        ("2001:db8::5", None, "host"),
        ("2001:db8::6", None, "wide"),
        ("fe80::1%eth0", None, None),
    ],
)
def test_the_most_exact_rule_wins(source: str, from_user: str | None, expected: str | None) -> None:
    found = TrustedSources(TRUNKS).find(source, from_user)
    assert (found.name if found else None) == expected


def test_where_we_are_registered_comes_last_and_is_replaced() -> None:
    sources = TrustedSources(TRUNKS)
    carrier = replace(trunk("carrier"), declared=True)
    sources.registered({"192.0.2.1": [carrier], "10.9.9.9": [carrier]})
    assert sources.find("192.0.2.1", "anybody") is carrier
    found = sources.find("10.9.9.9", None)
    assert found is not None
    assert found.name == "wide"
    sources.registered({})
    assert sources.find("192.0.2.1", None) is None
