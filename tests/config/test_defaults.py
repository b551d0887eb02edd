"""etc/pbxd.yaml is the manual: it states every setting, with its default, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from pbxd.config import Config, SourceKind, diff, load, settings
from pbxd.config.accounts import FurtherAccount, Key, Phone, Route, Trunk, TrunkRegister
from pbxd.config.destinations import Extension
from pbxd.config.groups import CallLimit, Queue, RingGroup
from pbxd.config.numbers import DirectNumber, Hours

ETC = Path(__file__).parent.parent.parent / "etc"


NAMED = (
    "accounts",
    "phones",
    "extensions",
    "numbers",
    "schedules",
    "ring_groups",
    "queues",
    "faxes.boxes",
    "faxes.providers",
    "call_limits",
    "conferences",
    "mailboxes",
    "trunks",
    "keys",
)


def stated(value: object, prefix: str = "") -> Iterator[str]:
    """Every dotted key of the file down to values; what is inside `extensions` and the like is data, not a key."""
    if not isinstance(value, dict) or prefix.rstrip(".") in NAMED:
        yield prefix.rstrip(".")
        return
    if not value:
        yield prefix.rstrip(".")
    for key, inner in value.items():
        yield from stated(inner, f"{prefix}{key}.")


def known(model: BaseModel, prefix: str = "") -> Iterator[str]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        key = f"{prefix}{field.alias or name}"
        if isinstance(value, BaseModel):
            yield from known(value, f"{key}.")
        else:
            yield key


def test_the_manual_states_every_setting_and_no_other() -> None:
    document = yaml.safe_load((ETC / "pbxd.yaml").read_text())
    assert sorted(stated(document)) == sorted(known(Config()))


def test_the_manual_states_the_defaults() -> None:
    config = load(ETC / "pbxd.yaml")
    assert diff(Config(), config) == []
    assert config.model_dump() == Config().model_dump()
    assert {setting.source.kind for setting in settings(config)} == {SourceKind.FILE}


def test_the_manual_says_which_settings_need_a_restart() -> None:
    text = (ETC / "pbxd.yaml").read_text()
    lines = text.splitlines()
    config = load(ETC / "pbxd.yaml")
    for setting in settings(config):
        line = int(setting.source.where.rpartition(":")[2]) - 1
        if setting.restart:
            assert _comment_of(lines, line).count("(restart)"), setting.key


def _comment_of(lines: list[str], line: int) -> str:
    """The comment on a line, or the paragraph of comment above the block of values it stands in."""
    start = line
    while start > 0 and lines[start - 1].strip() and not lines[start - 1].strip().startswith("#"):
        start -= 1
    above = start
    while above > 0 and lines[above - 1].strip().startswith("#"):
        above -= 1
    return " ".join([*lines[above:start], lines[line]])


@pytest.mark.parametrize("name", ["pbxd.yaml", "lab.yaml"])
def test_no_line_of_a_shipped_file_is_too_long(name: str) -> None:
    assert [line for line in (ETC / name).read_text().splitlines() if len(line) > 120] == []


def test_the_examples_in_the_manual_are_valid(tmp_path: Path) -> None:
    examples = [
        line.partition("#   ")[2] for line in (ETC / "pbxd.yaml").read_text().splitlines() if line.startswith("#   ")
    ]
    path = tmp_path / "examples.yaml"
    path.write_text("\n".join(line for line in examples if not line.startswith(("pbxd ", "systemctl "))))
    config = load(path)
    assert list(config.phones) == ["201", "202"]
    assert config.phones["201"].codecs is None
    assert config.phones["202"].codecs == ("opus", "G722")
    assert config.trunks["gateway"].codecs == ("PCMA",)
    assert list(config.trunks) == ["carrier", "gateway"]
    register = config.trunks["carrier"].register_
    assert register is not None
    assert register.username == "4930123456"
    assert config.routes[0].match == "0Z."
    assert config.extensions["100"].user == "1001"
    assert config.keys["monitoring"].scopes == ("calls:read",)
    assert config.numbers["+12025550123"].said == [("flow", "reception")]
    assert config.numbers["+12025550124"].max_channels == 4
    assert config.ring_groups["sales"].members == ("201", "202")
    assert config.call_limits["carrier"].max == 60
    assert config.accounts["acme"].numbers["+12025550199"].user == "201"


@pytest.mark.parametrize(
    "model",
    [
        Config,
        FurtherAccount,
        Phone,
        Extension,
        DirectNumber,
        Hours,
        RingGroup,
        Queue,
        CallLimit,
        Trunk,
        TrunkRegister,
        Route,
        Key,
    ],
)
def test_every_setting_says_what_it_is_for(model: type[BaseModel]) -> None:
    def undescribed(kind: type[BaseModel]) -> Iterator[str]:
        for name, field in kind.model_fields.items():
            if not field.description:
                yield f"{kind.__name__}.{name}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                yield from undescribed(field.annotation)

    assert list(undescribed(model)) == []


def test_the_lab_is_what_outside_checks_rely_on() -> None:
    lab = load(ETC / "lab.yaml")
    assert [str(address) for address in lab.sip.udp] == ["127.0.0.1:5060", "[::1]:5060"]
    assert [str(address) for address in lab.sip.tcp] == ["127.0.0.1:5060", "[::1]:5060"]
    assert [str(address) for address in lab.sip.tls] == ["127.0.0.1:5061", "[::1]:5061"]
    assert str(lab.http.listen) == "127.0.0.1:8080"
    assert str(lab.rtp.ports) == "10000-19999"
    assert str(lab.data_dir) == "var/lab"
    assert (lab.account.realm, lab.first_start.phones.numbers, lab.first_start.admin_key) == ("127.0.0.1", (), False)
    passwords = {number: phone.password.get_secret_value() for number, phone in lab.phones.items()}
    assert passwords == {str(number): f"lab-{number}" for number in range(1001, 1013)}
    assert {number: phone.codecs for number, phone in lab.phones.items() if phone.codecs} == {"1012": ("opus",)}
    assert {number: phone.srtp for number, phone in lab.phones.items() if phone.srtp} == {"1011": "required"}
    assert lab.extensions["600"].echo
    assert [(route.match, route.trunk) for route in lab.routes] == [
        *(("8XXX", "lab-uas"), ("+1555999.", "lab-fax"), ("+12025550150", "lab-loop"))
    ]
    assert (lab.trunks["lab-fax"].proxy, lab.trunks["lab-loop"].proxy) == ("sip:127.0.0.1:5098", "sip:127.0.0.1:5060")
    assert set(lab.keys["lab-fax-key"].scopes) == {"fax:send", "fax:read"}
    assert lab.faxes.inbound.enabled
    assert lab.trunks["lab-uas"].proxy == "sip:127.0.0.1:5099"
    assert (list(map(str, lab.trunks["bench"].sources)), lab.trunks["bench"].from_user) == (["127.0.0.1/32"], "bench")
    assert (list(map(str, lab.trunks["lab-peer"].sources)), lab.trunks["lab-peer"].from_user) == (
        ["127.0.0.11/32"],
        None,
    )
    assert lab.keys["lab-admin"].secret.get_secret_value() == "lab-admin"
    assert lab.keys["lab-admin"].scopes == ("*",)
    assert list(map(str, lab.sip.guard.trusted)) == ["127.0.0.1/32", "::1/128"]
    assert list(map(str, lab.security.allow)) == ["127.0.0.0/26"]
