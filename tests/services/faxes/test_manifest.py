"""A manifest is data that is not trusted further than its shape: ids, domains, templates and paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from yarl import URL

from pbxd.config.providers import FaxProvider
from pbxd.errors import Invalid
from pbxd.services.faxes import BUILT_IN, JobState, Manifest, Providers, manifest_of, state_of
from pbxd.services.faxes.manifest import Answer, fields_of, news_of, url_of, value_at

ACME: dict[str, Any] = {
    "id": "acme",
    "name": "Acme Fax",
    "auth": {"scheme": "bearer"},
    "base_url": "https://api.acme.example",
    "allowed_domains": ["acme.example"],
    "actions": {
        "send_fax": {
            "url": "{{base_url}}/send/{who}",
            "path_params": [{"name": "who", "source": "to"}],
            "body": {"kind": "json", "template": {"to": "{{to}}", "tags": ["{{header}}"], "n": 1}},
            "response": {"job_id": "faxes[0].id"},
        }
    },
}


@pytest.mark.parametrize("wrong", ["../etc", "a/b", "", "Acme", ".hidden", "a\n", "a" * 33, "con fig"])
def test_an_id_is_a_name_and_no_path(wrong: str) -> None:
    with pytest.raises(ValidationError, match="id"):
        Manifest.model_validate(ACME | {"id": wrong})


@pytest.mark.parametrize("domains", [[], ["*"], ["https://acme.example"], [""], ["acme.example/"]])
def test_allowed_domains_are_there_and_are_domains(domains: list[str]) -> None:
    with pytest.raises(ValidationError, match="allowed_domains"):
        Manifest.model_validate(ACME | {"allowed_domains": domains})


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://acme.example/x", True),
        ("https://API.acme.example/x", True),
        ("http://acme.example/x", False),
        ("https://notacme.example/x", False),
        ("https://acme.example.evil/x", False),
        ("https://user@acme.example/x", False),
        ("/x", False),
        ("//acme.example/x", False),
        ("ftp://acme.example/x", False),
        ("http://127.0.0.1:8090/x", True),  # where the settings say that it is
        ("http://127.0.0.1:8091/x", False),
    ],
)
def test_credentials_go_to_the_provider_alone(url: str, good: bool) -> None:
    manifest = Manifest.model_validate(ACME)
    assert manifest.permits(URL(url), URL("http://127.0.0.1:8090/base")) is good


def test_values_stay_in_their_place() -> None:
    action = Manifest.model_validate(ACME).actions.send_fax
    variables = {"base_url": "https://api.acme.example", "to": "../x?y=1#z{{creds.token}}", "creds.token": "secret"}
    url = url_of(action, variables)
    assert str(url) == "https://api.acme.example/send/..%2Fx%3Fy%3D1%23z%7B%7Bcreds.token%7D%7D"
    made = fields_of(action.body.template, variables)
    assert made == {"to": "../x?y=1#z{{creds.token}}", "tags": [], "n": 1}


def test_answers_are_read_by_path() -> None:
    answer: Any = {"faxes": [{"id": 7, "ok": True, "deep": {"a": "b"}}]}
    assert [value_at(answer, path) for path in ("faxes[0].id", "faxes[0].deep.a", "faxes[1].id", "faxes[0].ok")] == [
        *("7", "b", "", "")
    ]
    assert [value_at(answer, path) for path in ("", "faxes", "faxes.id", "x.y", "[0]")] == [""] * 5
    said = Answer(status="s", error="e", pages="p", status_map={"DONE": "success"})
    assert news_of({"s": "done", "p": 3, "e": "none"}, said).pages == 3
    assert news_of({"s": "FAILED", "e": "x" * 999}, said).error == "x" * 400
    assert state_of("whatever", {}) is JobState.IN_PROGRESS


def test_a_manifest_comes_from_a_file_or_is_built_in(tmp_path: Path) -> None:
    file = tmp_path / "acme.json"
    file.write_text(json.dumps(ACME))
    said = FaxProvider(manifest=file)
    assert manifest_of("acme", said).name == "Acme Fax"
    assert manifest_of("phaxio", FaxProvider()) is BUILT_IN["phaxio"]
    with pytest.raises(Invalid, match="another id"):
        manifest_of("other", said)
    with pytest.raises(Invalid, match="not built in"):
        manifest_of("acme", FaxProvider())
    with pytest.raises(Invalid, match="cannot be read"):
        manifest_of("acme", FaxProvider(manifest=tmp_path / "gone"))
    file.write_text("{" + " " * 70_000)
    with pytest.raises(Invalid, match="more than 65536"):
        manifest_of("acme", said)
    file.write_text(json.dumps(ACME | {"allowed_domains": []}))
    with pytest.raises(Invalid, match="allowed_domains"):
        manifest_of("acme", said)


def test_one_that_cannot_be_used_is_no_backend(caplog: pytest.LogCaptureFixture) -> None:
    providers = Providers()
    known = providers.take({"acme": FaxProvider(), "phaxio": FaxProvider()})
    assert list(known) == ["phaxio"]
    assert "the fax provider acme cannot be used: it is not built in, and has no manifest" in caplog.text


def test_what_is_missing_is_named() -> None:
    said = FaxProvider(creds={"key": SecretStr("k")})
    (provider,) = Providers().take({"sinch": said}).values()
    assert provider.trouble == "faxes.providers.sinch lacks creds.secret, settings.project_id"
    (freeswitch,) = Providers().take({"freeswitch": said}).values()
    assert freeswitch.trouble is not None
    assert freeswitch.trouble.endswith("settings.gateway, base_url")
