"""Flows from their folder to calls: loading, versions, uploads, bad files, overrides."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from dialplan.hours import Opening
from dialplan.tree import MAX_BYTES
from pbxd.calls.record import CallRecord, Direction
from pbxd.directory.accounts import Directory
from pbxd.errors import Invalid, NotFound, TooLarge, Unavailable
from pbxd.flows import FlowAct, Flows, Repertoire
from pbxd.flows.service import Late, NotLive
from pbxd.store import Store
from tests.calls.house import WALL, House, config_in, reader_in
from tests.flows.stagehand import Stagehand

FLOW = "title: {title}\nparts:\n  begin:\n    - say: {text}\n"
SCHEDULES = "schedules:\n  office:\n    weekly: {mon-fri: 09:00-17:00}\n"


@dataclass
class Office:
    """Flows in a folder, over a store that outlives them."""

    flows: Flows
    store: Store
    folder: Path
    hand: Stagehand
    wall: float = WALL

    @property
    def own(self) -> Repertoire:
        """The flows of the default account."""
        return own(self.flows)

    def clock(self) -> float:
        """Each look is a little later than the last."""
        self.wall += 0.01
        return self.wall

    def write(self, name: str, text: str = "Hello.", title: str = "One") -> None:
        (self.folder / f"{name}.yaml").write_text(FLOW.format(title=title, text=text))

    async def again(self) -> Flows:
        """As after a restart."""
        await self.store.drain()
        self.flows = made(self)
        await self.flows.start()
        return self.flows


def made(office: Office) -> Flows:
    directory: Directory = office.hand.house.directory
    library = reader_in(office.folder.parent).library
    tenants = office.folder.parent / "tenants"
    return Flows(
        office.hand.desk, office.store, directory, office.folder, tenants, lambda: "en", lambda: library, office.clock
    )


def own(flows: Flows) -> Repertoire:
    """The flows of the default account."""
    return flows.every()[0]


@pytest.fixture
async def office(house: House, tmp_path: Path, store_url: str) -> AsyncIterator[Office]:
    hand = Stagehand(house, tmp_path)
    store = await Store.open(store_url, interval_s=0.001)
    office = Office(cast(Any, None), store, hand.folder, hand)
    office.write("main")
    office.flows = made(office)
    await office.flows.start()
    yield office
    await office.flows.stop()
    await store.close()


def record(office: Office) -> CallRecord:
    account_id = office.hand.house.directory.default_account.id
    return CallRecord("call_1", account_id, Direction.INTERNAL, "1001", "Ann", "500", WALL)


def live(flows: Flows) -> dict[str, str]:
    return {name: flow.title for name, flow in own(flows).book.library.flows.items()}


async def test_what_is_good_is_live_and_what_is_not_is_said(office: Office) -> None:
    (office.folder / "bad.yaml").write_text("parts: [")
    (office.folder / "noyaml.yaml").write_bytes(b"\xff\xfe\x00")
    report = await office.own.load()
    assert live(office.flows) == {"main": "One"}
    assert set(report.refused) == {"bad"}
    assert {Path(problem.file).name for problem in report.errors} == {"bad.yaml", "noyaml.yaml"}
    assert office.flows.loads == {"good": 1, "bad": 1}


async def test_a_bad_file_leaves_the_old_flow_live_and_so_does_one_that_cannot_be_read(office: Office) -> None:
    flow = office.own.book.library.flows["main"]
    for spoil in ("parts: [", "title: x\nparts:\n  begin:\n    - sey: Hello.\n", ""):
        (office.folder / "main.yaml").write_text(spoil)
        report = await office.own.load()
        assert report.kept == ("main",)
        assert office.own.book.library.flows["main"] is flow
    office.write("main", title="Two")
    assert (await office.own.load()).changed == ("main",)
    assert live(office.flows) == {"main": "Two"}


async def test_a_folder_that_is_gone_takes_no_flow_with_it(office: Office) -> None:
    office.folder.rename(office.folder.with_name("elsewhere"))
    report = await office.own.load()
    assert not report.good
    assert report.kept == ("main",)
    assert live(office.flows) == {"main": "One"}


async def test_a_house_without_flows_is_no_worse_for_it(office: Office) -> None:
    (office.folder / "main.yaml").unlink()
    await office.own.load()
    office.folder.rmdir()
    flows = await office.again()
    assert (own(flows).book.report.good, live(flows)) == (True, {})
    await own(flows).put("main", FLOW.format(title="First", text="Hello."), "ann")
    assert live(flows) == {"main": "First"}


async def test_a_file_that_is_gone_takes_its_flow_with_it(office: Office) -> None:
    (office.folder / "main.yaml").unlink()
    report = await office.own.load()
    assert (report.removed, live(office.flows)) == (("main",), {})
    assert isinstance(office.flows.act("main", record(office)), NotLive)


async def test_after_a_restart_a_bad_file_is_its_last_good_version(office: Office) -> None:
    (office.folder / "main.yaml").write_text("parts: [")
    flows = await office.again()
    assert live(flows) == {"main": "One"}
    assert own(flows).book.report.kept == ("main",)
    assert own(flows).text("main") == FLOW.format(title="One", text="Hello.")


async def test_only_changed_files_are_read_again(office: Office) -> None:
    before = office.flows.loads["good"]
    office.flows.tick(100.0)
    await office.flows._watching  # type: ignore[misc]
    assert office.flows.loads["good"] == before
    office.write("main", title="Two")
    os.utime(office.folder / "main.yaml", ns=(1, 2))
    office.flows.tick(101.0)  # too soon
    assert live(office.flows) == {"main": "One"}
    office.flows.tick(103.0)
    await office.flows._watching  # type: ignore[misc]
    assert live(office.flows) == {"main": "Two"}


async def test_only_what_could_be_another_is_taken_up_again(office: Office) -> None:
    """After a change of anything in any account."""
    loads, flow = office.flows.loads, own(office.flows).book.library.flows["main"]
    before = loads["good"]
    await office.flows.refresh()
    assert loads["good"] == before
    office.hand.desk.mailboxes = lambda _account_id: ["1900"]  # what it is checked against
    await office.flows.refresh()
    assert loads["good"] == before + 1
    assert own(office.flows).book.library.flows["main"] is flow
    office.write("main", title="Two")
    os.utime(office.folder / "main.yaml", ns=(1, 2))
    for _ in range(2):
        await office.flows.refresh()
        assert (loads["good"], live(office.flows)) == (before + 2, {"main": "Two"})


async def test_another_default_carrier_is_a_reason_to_check_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of the world's can be dialled with one alone."""
    (office.folder / "main.yaml").write_text("parts:\n  begin:\n    - dial: '+14155551234'\n")
    assert not (await office.own.load()).good
    directory, loads = office.hand.house.directory, office.flows.loads
    monkeypatch.setattr(directory, "carrier", lambda account: directory.trunk(account, "out"))
    await office.flows.refresh()
    assert office.own.book.report.good
    before = loads["good"]
    await office.flows.refresh()
    assert loads["good"] == before
    monkeypatch.setattr(directory, "carrier", lambda _account: None)
    await office.flows.refresh()
    assert not office.own.book.report.good


async def test_an_upload_is_checked_written_and_live_or_nothing_of_that(office: Office) -> None:
    flows = office.flows
    text = FLOW.format(title="Two", text="Uploaded.")
    assert (await own(flows).put("main", text, "ann")).changed == ("main",)
    assert (office.folder / "main.yaml").read_text() == text
    assert live(flows) == {"main": "Two"}
    before = sorted(office.folder.iterdir())
    with pytest.raises(Invalid, match=r"main\.yaml:3:7: parts\.begin\.1: .*sey.*did you mean"):
        await own(flows).put("main", "parts:\n  begin:\n    - sey: Hello.\n", "ann")
    with pytest.raises(Invalid, match="is named with small letters"):
        await own(flows).put("../main", text, "ann")
    with pytest.raises(TooLarge):
        await own(flows).put("main", "#" * (MAX_BYTES + 1), "ann")
    assert live(flows) == {"main": "Two"}
    assert sorted(office.folder.iterdir()) == before


async def test_a_disk_that_takes_no_upload_changes_nothing(office: Office) -> None:
    text = FLOW.format(title="Two", text="Uploaded.")
    (office.folder / "other.yaml").mkdir()  # cannot be replaced by a file
    with pytest.raises(Unavailable, match="cannot be written"):
        await office.own.put("other", text, "ann")
    (office.folder / "other.yaml").rmdir()
    assert [path.name for path in office.folder.iterdir()] == ["main.yaml"]


async def test_versions_are_kept_compared_and_come_back(office: Office) -> None:
    flows = office.flows
    for title in ("Two", "Three"):
        await own(flows).put("main", FLOW.format(title=title, text="Hello."), "ann")
    await own(flows).load()  # nothing has changed: no version
    flows = await office.again()
    versions = own(flows).versions_of("main")
    assert [one.made_by for one in versions] == ["ann", "ann", "file"]
    first = versions[-1].id
    assert await own(flows).difference("main", first, "live") == (
        f"--- main {first}\n+++ main live\n@@ -1,4 +1,4 @@\n-title: One\n+title: Three\n parts:\n   begin:\n"
        "     - say: Hello."
    )
    await own(flows).roll_back("main", first, "bob")
    assert live(flows) == {"main": "One"}
    assert [one.made_by for one in own(flows).versions_of("main")] == ["bob", "ann", "ann", "file"]
    with pytest.raises(NotFound):
        await own(flows).roll_back("main", "flow_none", "bob")
    with pytest.raises(NotFound):
        own(flows).versions_of("other")
    with pytest.raises(NotFound):
        own(flows).text("other")


async def test_schedules_are_overridden_until_they_are_not_and_over_a_restart(office: Office) -> None:
    (office.folder / "schedules.yaml").write_text(SCHEDULES)
    await office.own.load()
    overrides, home = office.flows.overrides, office.own.account_id
    assert overrides.set(home, "ofice", "closed", None, "ann") == "there is no schedule ofice"
    assert overrides.set(home, "office", "closed", WALL + 60, "ann") is None
    assert overrides.moment(home, WALL).overrides["office"].opening is Opening.CLOSED
    overrides = (await office.again()).overrides
    assert [(row.schedule, row.opening, row.by) for row in overrides.rows(home)] == [("office", Opening.CLOSED, "ann")]
    office.wall += 61
    assert overrides.rows(home) == []
    assert overrides.set(home, "office", "open", None, "ann") is None
    assert overrides.set(home, "office", None, None, "ann") is None
    assert overrides.moment(home, WALL).overrides == {}


async def test_bad_schedules_leave_the_old_ones(office: Office) -> None:
    (office.folder / "schedules.yaml").write_text(SCHEDULES)
    (office.folder / "gate.yaml").write_text(
        "parts:\n  begin:\n    - hours: office\n      open: [say: Open.]\n      closed: [say: Closed.]\n"
    )
    assert (await office.own.load()).good
    (office.folder / "schedules.yaml").write_text("schedules: {office: {weekly: {mon: 25:00-26:00}}}")
    assert not (await office.own.load()).good
    assert set(office.own.book.library.schedules) == {"office"}
    assert "gate" in office.own.book.library.flows


async def test_what_has_no_service_is_refused_with_that_reason(office: Office) -> None:
    (office.folder / "box.yaml").write_text("parts:\n  begin:\n    - voicemail: 1001\n")
    report = await office.own.load()
    assert report.refused == ("box",)
    assert [problem.message for problem in report.errors] == ["there are no mailboxes in this release"]
    office.hand.desk.voicemail = lambda _command, _record: None
    office.hand.desk.mailboxes = lambda _account_id: ["1900"]
    assert (await office.own.load()).good
    (office.folder / "box.yaml").write_text(
        "parts:\n  begin:\n    - voicemail: 1900\n    - voicemail: 1901\n    - gather: Who is there?\n"
        "      input: both\n      save: name\n      on_timeout: end\n      on_invalid: end\n    - say: ${name}\n"
    )
    assert [problem.message for problem in (await office.own.load()).errors] == [
        "there is no mailbox 1901 (did you mean 1900?)",
        "words are no answer here: this house does not understand speech yet; ask for digits",
    ]


async def test_names_of_the_house_are_known(office: Office) -> None:
    (office.folder / "wrong.yaml").write_text(
        "parts:\n  begin:\n    - play: not-there\n    - conference: '799'\n    - dial: '1099'\n    - dial: 8123\n"
        "    - dial: 1\n      trunk: nobody\n    - play: welcome\n"
    )
    report = await office.own.load()
    messages = [problem.message for problem in report.errors]
    assert len(messages) == 4
    assert all(message.startswith("there is no ") for message in messages), messages


async def test_a_call_that_comes_too_early_waits(office: Office) -> None:
    flows = made(office)
    assert isinstance(flows.act("main", record(office)), Late)
    await flows.start()
    assert isinstance(flows.act("main", record(office)), FlowAct)


async def test_sessions_come_and_go(office: Office) -> None:
    hand = office.hand
    hand.house.acts[next(iter(kind for kind in hand.house.acts if kind.value == "flow"))] = lambda extension, record: (
        office.flows.act(extension.options["flow"], record)
    )
    alice = hand.talk_to()
    ((call_id, act),) = office.flows.sessions.items()
    assert (call_id, act.name, act.position) == (hand.call.record.id, "main", "main/begin.1")
    alice >> "BYE" >> hand.house >> 200 >> alice
    assert office.flows.sessions == {}
    assert office.flows.endings["caller_left"] == 1


async def test_ten_thousand_steps_are_read_in_a_thread(office: Office) -> None:
    steps = "\n".join(f"    - tag: t{number}" for number in range(2_000))
    (office.folder / "large.yaml").write_text(f"parts:\n  begin:\n{steps}\n")
    assert (await office.own.load()).good
    assert len(office.own.book.library.flows["large"].steps) == 2_000


async def test_the_record_says_where_a_flow_ended(office: Office) -> None:
    hand = office.hand
    hand.write("parts:\n  begin:\n    - tag: vip\n    - say: Hello.\n")
    alice = hand.talk_to()
    alice >> "BYE" >> hand.house >> 200 >> alice
    found = hand.house.record
    assert (found.flow, json.dumps(found.tags)) == ("main/begin.2", '["vip"]')


def test_the_house_of_the_tests_has_a_flow(tmp_path: Path) -> None:
    assert config_in(tmp_path).extensions["500"].flow == "main"
