"""The configuration as a list: shown with its secrets masked, compared, and judged by what needs a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pbxd.config import Config, diff, load, needs_restart, settings

TEXT = """
calls: {max: 5}
phones:
  "201": {password: correct-horse, name: Reception}
trunks:
  sip.example.com: {proxy: "sip:sip.example.com", register: {username: me, password: mine}}
keys:
  admin: {secret: battery-staple}
store: {url: "postgresql+asyncpg://me:mine@db/pbxd"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "pbxd.yaml"
    path.write_text(TEXT)
    return load(path)


def test_settings_are_listed_with_value_source_and_meaning(config: Config) -> None:
    listed = {setting.key: setting for setting in settings(config)}
    assert listed["calls.max"].value == 5
    assert listed["calls.max"].source.where.endswith("pbxd.yaml:2")
    assert listed["calls.max"].description == "calls at a time; above that 503"
    assert listed["sip.udp"].value == ["0.0.0.0:5060", "[::]:5060"]
    assert listed["sip.udp"].restart
    assert not listed["calls.max"].restart
    assert listed["routes"].value == []


def test_secrets_are_masked(config: Config) -> None:
    text = json.dumps([setting.value for setting in settings(config)])
    for secret in ("correct-horse", "mine", "battery-staple"):
        assert secret not in text
    (phone,) = [setting.value for setting in settings(config) if setting.key == "phones.201"]
    assert isinstance(phone, dict)
    assert phone["password"] == "**********"
    assert phone["name"] == "Reception"
    assert phone["mwi"] == "subscribed"


def test_a_name_with_dots_is_one_setting(config: Config) -> None:
    listed = {setting.key: setting.value for setting in settings(config)}
    value = listed["trunks.sip.example.com"]
    assert isinstance(value, dict)
    assert value["proxy"] == "sip:sip.example.com"


def test_what_differs_is_named_by_key(tmp_path: Path, config: Config) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(
        TEXT.replace("max: 5", "max: 6").replace("correct-horse", "incorrect-horse").replace("admin:", "root:")
        + "node: other\nroutes:\n  - {match: '9.', trunk: sip.example.com}\n"
    )
    changed = diff(config, load(path))
    assert sorted(changed) == ["calls.max", "keys.admin", "keys.root", "node", "phones.201", "routes"]
    assert needs_restart(changed) == ["node"]
    assert diff(config, config) == []
