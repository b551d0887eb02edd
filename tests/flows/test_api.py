"""Flows over the house's API and command line, on a real folder and a real store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pbxd import flow_cli
from pbxd.api.access import Access
from pbxd.api.contract import Identity
from pbxd.api.house import HOUSE, House
from pbxd.api.server import Server
from pbxd.api.surface import Surface
from pbxd.cli import Exit, act, build_parser
from tests.api.client import Client, serving
from tests.calls.house import WALL
from tests.flows.test_service import FLOW, SCHEDULES, Office, office

__all__ = ["office"]
SCOPES = {"admin": "*", "reader": "flows:read"}
FLOWS = "/house/v1/flows"


@pytest.fixture
def server(office: Office) -> Server:
    parts: dict[str, Any] = {field.name: None for field in fields(House)}
    directory = office.hand.house.directory
    house = House(**parts | {"flows": office.flows, "wall": lambda: WALL, "directory": directory})
    home = directory.default_account.id
    keys = {f"{name}-key": Identity(name, home, frozenset({scope})) for name, scope in SCOPES.items()}
    return Server([Surface(HOUSE, house, Access(keys.get).identify)])


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with serving(server) as (client, _):
        yield client


async def order(client: Client, method: str, path: str, body: object = None, *, key: str = "admin-key") -> Any:
    answer = await client.ask(method, path, key=key, **({"json": body} if body is not None else {}))
    return answer.status, answer.json


async def test_a_flow_from_upload_to_rollback(client: Client) -> None:
    text = FLOW.format(title="Two", text="Uploaded.")
    status, shown = await order(client, "PUT", f"{FLOWS}/main", {"text": text})
    assert status == 200
    (flow,) = shown["flows"]
    assert {name: flow[name] for name in ("name", "title", "live", "file_good", "steps", "calls")} == {
        "name": "main",
        "title": "Two",
        "live": True,
        "file_good": True,
        "steps": 1,
        "calls": 0,
    }
    assert (await order(client, "GET", f"{FLOWS}/main"))[1] == {"name": "main", "text": text}
    newest, oldest = (await order(client, "GET", f"{FLOWS}/main/versions"))[1]["versions"]
    assert (newest["made_by"], newest["live"], oldest["made_by"], oldest["live"]) == ("admin", True, "file", False)
    status, said = await order(client, "GET", f"{FLOWS}/main/diff?old={oldest['id']}")
    assert "-title: One\n+title: Two" in said["diff"]
    status, shown = await order(client, "POST", f"{FLOWS}/main/rollback", {"version": oldest["id"]})
    assert (status, shown["flows"][0]["title"]) == (200, "One")
    old = (await order(client, "GET", f"{FLOWS}/main/versions/{newest['id']}"))[1]
    assert old["text"] == text


async def test_what_is_wrong_with_an_upload_is_told_by_line(client: Client) -> None:
    status, said = await order(client, "PUT", f"{FLOWS}/main", {"text": "parts:\n  begin:\n    - sey: Hello.\n"})
    assert (status, said["error"]["code"]) == (400, "bad_request")
    assert said["error"]["message"].startswith("main.yaml:3:7: parts.begin.1: there is no verb sey")
    assert (await order(client, "GET", FLOWS))[1]["good"]


async def test_a_reload_says_what_is_wrong_and_what_stays(client: Client, office: Office) -> None:
    (office.folder / "main.yaml").write_text("parts: [")
    (office.folder / "new.yaml").write_text("parts: [")
    status, shown = await order(client, "POST", f"{FLOWS}/reload")
    assert (status, shown["good"]) == (200, False)
    assert [(flow["name"], flow["live"], flow["file_good"]) for flow in shown["flows"]] == [
        ("main", True, False),
        ("new", False, False),
    ]
    assert {Path(problem["file"]).name for problem in shown["problems"]} == {"main.yaml", "new.yaml"}
    assert shown["problems"][0]["line"] == 2


async def test_schedules_are_overridden(client: Client, office: Office) -> None:
    (office.folder / "schedules.yaml").write_text(SCHEDULES)
    await office.own.load()
    path = "/house/v1/schedules/office/override"
    status, shown = await order(client, "PUT", path, {"opening": "closed", "lasts_s": 3600})
    assert status == 200
    assert [(row["schedule"], row["opening"], row["by"]) for row in shown["overrides"]] == [
        ("office", "closed", "admin")
    ]
    assert (await order(client, "PUT", path, {"opening": None}))[1] == {"overrides": []}
    assert (await order(client, "PUT", path.replace("office", "none"), {"opening": "open"}))[0] == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"{FLOWS}/main", {"text": "x"}),
        ("POST", f"{FLOWS}/reload", None),
        ("POST", f"{FLOWS}/main/rollback", {"version": "flow_1"}),
        ("PUT", "/house/v1/schedules/office/override", {"opening": "open"}),
    ],
)
async def test_who_may_only_read_changes_nothing(client: Client, method: str, path: str, body: object) -> None:
    assert (await order(client, method, path, body, key="reader-key"))[0] == 403
    assert (await order(client, "GET", FLOWS, key="reader-key"))[0] == 200


@pytest.mark.parametrize("path", ["/main/versions/none", "/none", "/none/versions", "/main/diff?old=none"])
async def test_what_is_not_there(client: Client, path: str) -> None:
    assert (await order(client, "GET", FLOWS + path))[0] == 404


async def cli(socket: Path, *words: str) -> int:
    """What a command ends with."""
    arguments = build_parser(flow_cli.add_commands).parse_args([*words, "--socket", str(socket)])
    return await asyncio.to_thread(act, arguments)


async def test_the_command_line(
    server: Server,
    office: Office,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    socket = tmp_path / "pbxd.sock"
    file = tmp_path / "new.yaml"
    file.write_text(FLOW.format(title="Two", text="Uploaded."))
    async with serving(server, socket):
        assert await cli(socket, "flow", "put", "main", str(file)) == Exit.DONE
        assert await cli(socket, "flow", "list") == Exit.DONE
        assert "Two" in capsys.readouterr().out
        oldest = office.own.versions_of("main")[-1].id
        assert await cli(socket, "flow", "diff", "main", oldest) == Exit.DONE
        assert "+title: Two" in capsys.readouterr().out
        assert await cli(socket, "flow", "rollback", "main", oldest) == Exit.DONE
        assert await cli(socket, "flow", "versions", "main") == Exit.DONE
        versions = capsys.readouterr().out
        assert versions.count("  live\n") == 1
        assert re.search(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", versions)
        (office.folder / "main.yaml").write_text("parts: [")
        assert await cli(socket, "flow", "reload") == Exit.REFUSED
        said = capsys.readouterr()
        assert "an earlier version" in said.out
        assert "main.yaml:2" in said.err
        assert await cli(socket, "flow", "hours") == Exit.DONE
        assert "All schedules follow their hours." in capsys.readouterr().out
