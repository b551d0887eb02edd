"""Call flows, their versions, and schedules that are overridden, in the house's own API."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field

from dialplan.hours import Opening
from dialplan.load import PART
from dialplan.problem import Problem, Severity
from dialplan.tree import MAX_BYTES
from pbxd.api.contract import Identity
from pbxd.api.house.collaborators import House
from pbxd.api.house.door import HOUSE
from pbxd.api.house.tenancy import AccountQuery, account_of, of_the_house
from pbxd.api.house.views import Id, View, Wish, moment, moment_or_none
from pbxd.directory.model import Account
from pbxd.errors import Invalid, NotFound, TooLarge, Unavailable
from pbxd.flows import Repertoire, Version
from pbxd.flows.repertoire import bare

YEAR_S = 31_536_000

FlowName = Annotated[str, Field(pattern=f"^{PART.pattern}$", examples=["reception"])]
VersionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", examples=["live"])]

__all__ = ["HOUSE"]


class FlowView(View):
    name: str
    title: str
    live: bool = Field(description="whether calls get into it")
    digest: str | None = Field(description="tells one version from another; null where none is live")
    file_good: bool = Field(description="false: its file has mistakes; what is live is an earlier version")
    steps: int
    calls: int = Field(description="calls that are in it now")


class ProblemView(View):
    file: str
    line: int | None
    column: int | None
    key: str = Field(examples=["parts.welcome.1.choices.3"])
    message: str
    severity: Severity

    @classmethod
    def of(cls, problem: Problem) -> Self:
        mark = problem.mark
        return cls(
            file=problem.file,
            line=mark.line if mark else None,
            column=mark.column if mark else None,
            key=problem.key,
            message=problem.message,
            severity=problem.severity,
        )


class FlowsView(View):
    folder: str = Field(description="where their files lie; empty where there is none, and for keys of other accounts")
    read_at: datetime
    good: bool = Field(description="false: some file has a mistake")
    flows: list[FlowView]
    problems: list[ProblemView]


class FlowTextView(View):
    name: str
    text: str = Field(description="the live version")


class FlowWish(Wish):
    text: str = Field(max_length=MAX_BYTES, description="the whole file, YAML")


class RollbackWish(Wish):
    version: Id


class FlowPath(Wish):
    name: FlowName


class FlowVersionPath(Wish):
    name: FlowName
    version: VersionName


class VersionView(View):
    id: str
    name: str
    digest: str
    made_by: str = Field(description="`file`, or the name of the key that uploaded it")
    created_at: datetime
    live: bool

    @classmethod
    def of(cls, version: Version, live: bool) -> Self:
        return cls(
            id=version.id,
            name=version.name,
            digest=version.digest,
            made_by=version.made_by,
            created_at=moment(version.created_at),
            live=live,
        )


class VersionsView(View):
    versions: list[VersionView] = Field(description="newest first")


class DiffQuery(AccountQuery):
    old: VersionName = Field("live", description="the id of a version, or `live`")
    new: VersionName = Field("live", description="the id of a version, or `live`")


class DiffView(View):
    diff: str = Field(description="unified; empty where both are the same")


class OverrideView(View):
    schedule: str
    opening: Opening
    until: datetime | None = Field(description="null: until it is taken back")
    by: str


class OverridesView(View):
    overrides: list[OverrideView]


class OverrideWish(Wish):
    opening: Opening | None = Field(description="null: follow the schedule again")
    lasts_s: float | None = Field(None, gt=0, le=YEAR_S, description="null: until it is taken back")


class SchedulePath(Wish):
    schedule: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


@HOUSE.operation("GET", "/flows", tag="flows", scope="flows:read", errors=(NotFound,))
async def list_flows(house: House, query: AccountQuery, identity: Identity) -> FlowsView:
    """List the call flows of an account, and everything that is wrong with their files."""
    return _shown(house, identity, _repertoire(house, identity, query))


@HOUSE.operation("POST", "/flows/reload", tag="flows", scope="flows:write", errors=(NotFound,))
async def reload_flows(house: House, query: AccountQuery, identity: Identity) -> FlowsView:
    """Read the files again, now.

    What is good of them is live with the answer; calls finish in the flow they began with. `good` says whether there
    were mistakes; a flow with mistakes stays as it was.
    """
    flows = _repertoire(house, identity, query)
    await flows.load(identity.name)
    return _shown(house, identity, flows)


@HOUSE.operation("GET", "/flows/{name}", tag="flows", scope="flows:read", errors=(NotFound,))
async def get_flow(house: House, path: FlowPath, query: AccountQuery, identity: Identity) -> FlowTextView:
    """Get the text of a flow as it is live. `schedules` are the schedules that all share."""
    return FlowTextView(name=path.name, text=_repertoire(house, identity, query).text(path.name))


@HOUSE.operation(
    "PUT", "/flows/{name}", tag="flows", scope="flows:write", errors=(NotFound, Invalid, TooLarge, Unavailable)
)
async def put_flow(house: House, path: FlowPath, query: AccountQuery, body: FlowWish, identity: Identity) -> FlowsView:
    """Check a flow, write its file and make it live, or do nothing of that.

    With mistakes it is refused, each with its line; what was live before is among the versions.
    """
    flows = _repertoire(house, identity, query)
    await flows.put(path.name, body.text, identity.name)
    return _shown(house, identity, flows)


@HOUSE.operation("GET", "/flows/{name}/versions", tag="flows", scope="flows:read", errors=(NotFound,))
async def list_flow_versions(house: House, path: FlowPath, query: AccountQuery, identity: Identity) -> VersionsView:
    """List the versions of a flow that have been live."""
    flows = _repertoire(house, identity, query)
    flow = flows.book.library.flows.get(path.name)
    digest = flow.digest if flow is not None else None
    found = flows.versions_of(path.name)
    live = next((one.id for one in found if one.digest == digest), None)
    return VersionsView(versions=[VersionView.of(one, one.id == live) for one in found])


@HOUSE.operation(
    "GET", "/flows/{name}/versions/{version}", tag="flows", scope="flows:read", errors=(NotFound, Unavailable)
)
async def get_flow_version(
    house: House, path: FlowVersionPath, query: AccountQuery, identity: Identity
) -> FlowTextView:
    """Get the text of one version; `live` is the one that is."""
    flows = _repertoire(house, identity, query)
    return FlowTextView(name=path.name, text=await flows.version_text(path.name, path.version))


@HOUSE.operation("GET", "/flows/{name}/diff", tag="flows", scope="flows:read", errors=(NotFound, Unavailable))
async def diff_flow(house: House, path: FlowPath, query: DiffQuery, identity: Identity) -> DiffView:
    """Say what two versions differ in."""
    flows = _repertoire(house, identity, query)
    return DiffView(diff=await flows.difference(path.name, query.old, query.new))


@HOUSE.operation(
    "POST", "/flows/{name}/rollback", tag="flows", scope="flows:write", errors=(NotFound, Invalid, Unavailable)
)
async def roll_back_flow(
    house: House, path: FlowPath, query: AccountQuery, body: RollbackWish, identity: Identity
) -> FlowsView:
    """Make an earlier version live again: its text is checked and written as an upload is."""
    flows = _repertoire(house, identity, query)
    await flows.roll_back(path.name, body.version, identity.name)
    return _shown(house, identity, flows)


@HOUSE.operation("GET", "/schedules/overrides", tag="flows", scope="flows:read", errors=(NotFound,))
async def list_overrides(house: House, query: AccountQuery, identity: Identity) -> OverridesView:
    """List the schedules that do not follow their hours just now, because somebody said so."""
    return _overridden(house, account_of(house, identity, query.account))


@HOUSE.operation("PUT", "/schedules/{schedule}/override", tag="flows", scope="flows:write", errors=(NotFound,))
async def override_schedule(
    house: House, path: SchedulePath, query: AccountQuery, body: OverrideWish, identity: Identity
) -> OverridesView:
    """Open or close a schedule by hand, or let it follow its hours again."""
    account = account_of(house, identity, query.account)
    opening = body.opening.value if body.opening is not None else None
    until = house.wall() + body.lasts_s if body.lasts_s is not None else None
    why = house.flows.overrides.set(account.id, path.schedule, opening, until, identity.name)
    if why is not None:
        raise NotFound(why)
    return _overridden(house, account)


def _repertoire(house: House, identity: Identity, query: AccountQuery) -> Repertoire:
    """The flows that an operation is about. Raises NotFound."""
    return house.flows.of(account_of(house, identity, query.account).id)


def _overridden(house: House, account: Account) -> OverridesView:
    return OverridesView(
        overrides=[
            OverrideView(schedule=row.schedule, opening=row.opening, until=moment_or_none(row.until), by=row.by)
            for row in house.flows.overrides.rows(account.id)
        ]
    )


def _shown(house: House, identity: Identity, repertoire: Repertoire) -> FlowsView:
    """Where files lie is the house's to know."""
    report, library = repertoire.book.report, repertoire.book.library
    inside = of_the_house(house, identity)
    acts = [act for act in house.flows.sessions.values() if act.record.account_id == repertoire.account_id]
    calls = Counter(act.name for act in acts)
    bad = {*report.kept, *report.refused}
    flows = [
        FlowView(
            name=name,
            title=flow.title,
            live=True,
            digest=flow.digest,
            file_good=name not in bad,
            steps=len(flow.steps),
            calls=calls[name],
        )
        for name, flow in sorted(library.flows.items())
    ]
    flows += [
        FlowView(name=name, title="", live=False, digest=None, file_good=False, steps=0, calls=0)
        for name in report.refused
    ]
    return FlowsView(
        folder=report.folder if inside else "",
        read_at=moment(report.at),
        good=report.good,
        flows=flows,
        problems=[ProblemView.of(problem if inside else bare(problem)) for problem in report.problems],
    )
