"""What a console for admins asks for besides: what this house can do, where providers find it, and a fax for trying."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from media.pages import Kind
from pbxd import __version__
from pbxd.api.contract import Identity
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse, Own
from pbxd.api.fax.inbound import InboundFaxOut, inbound_out
from pbxd.errors import Invalid
from pbxd.services.faxes import DISABLED, FREESWITCH, PHAXIO, SIGNALWIRE, SINCH, SIP, Arrival, ReceivedState

ASTERISK = "asterisk"
_Number = Annotated[str, Field(max_length=32, pattern=r"^[0-9+*#]*$")]
_DOORS = {
    PHAXIO: ("/phaxio-callback", "/phaxio-inbound"),
    SINCH: ("/sinch-inbound",),
    SIGNALWIRE: ("/signalwire-callback",),
    FREESWITCH: ("/_internal/freeswitch/outbound_result",),
    SIP: ("/_internal/asterisk/inbound",),
}


class Limits(BaseModel):
    max_file_size_mb: int
    max_pages: int
    max_requests_per_minute: int
    pdf_token_ttl_minutes: int


class Capabilities(BaseModel):
    """What this house can do."""

    version: str
    backend: str
    backends: list[str]
    storage: str
    inbound_enabled: bool
    require_api_key: bool
    allow_restart: bool
    v3_plugins: bool
    public_api_url: str
    limits: Limits


class Callback(BaseModel):
    name: str
    method: str
    url: str = Field(description="where a provider posts to; without http.public_url it is a path")


class Callbacks(BaseModel):
    backend: str
    callbacks: list[Callback]


class Simulation(BaseModel):
    """A fax that nobody sent."""

    model_config = ConfigDict(extra="ignore")

    backend: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")] | None = None
    fr: _Number | None = None
    to: _Number | None = None
    pages: Annotated[int, Field(ge=1, le=20)] = 1
    status: ReceivedState = ReceivedState.RECEIVED


@FAX.operation("GET", "/admin/config", tag="admin", scope=ADMIN)
async def get_capabilities(house: FaxHouse) -> Capabilities:
    """Get what this house can do."""
    config, faxes = house.config(), house.config().faxes
    return Capabilities(
        version=__version__,
        backend=faxes.backend,
        backends=sorted({DISABLED, *house.faxes.sending.carriers}),
        storage=faxes.storage.plugin.value,
        inbound_enabled=faxes.inbound.enabled,
        require_api_key=faxes.require_key,
        allow_restart=faxes.allow_restart,
        v3_plugins=faxes.plugins,
        public_api_url=config.http.public_url or "",
        limits=Limits(
            max_file_size_mb=faxes.max_mb,
            max_pages=faxes.max_pages,
            max_requests_per_minute=faxes.rate_per_minute,
            pdf_token_ttl_minutes=faxes.pdf_token_s // 60,
        ),
    )


@FAX.operation("GET", "/admin/inbound/callbacks", tag="admin", scope=ADMIN)
async def list_callbacks(house: FaxHouse) -> Callbacks:
    """List where providers tell us of faxes, those of the backend first."""
    backend, base = house.config().faxes.backend, house.config().http.public_url or ""
    names = sorted(
        {SIP, *(name for name, _ in house.providers.items())} & _DOORS.keys(), key=lambda one: one != backend
    )
    found = [Callback(name=name, method="POST", url=base + door) for name in names for door in _DOORS[name]]
    return Callbacks(backend=backend, callbacks=found)


@FAX.operation("POST", "/admin/inbound/simulate", tag="admin", scope=ADMIN, errors=(Invalid,))
async def simulate_inbound(house: FaxHouse, body: Simulation, query: Own, identity: Identity) -> InboundFaxOut:
    """Take in a fax that nobody sent: it is in its box, and its people are told, as of any other."""
    if not house.config().faxes.inbound.enabled:
        raise Invalid("Inbound not enabled")
    office = house.faxes.office
    with tempfile.TemporaryDirectory(prefix="pbxd-fax-") as own:
        pdf: Path | None = None
        if body.status is not ReceivedState.FAILED:
            text, pdf = Path(own) / "text", Path(own) / "fax.pdf"
            said = "\f".join(f"A simulated fax, page {number} of {body.pages}\n" for number in range(1, body.pages + 1))
            await asyncio.to_thread(text.write_text, said, "utf-8")
            await office.pages.examine(text, Kind.TEXT, pdf, office.layout("standard"))
        arrival = Arrival(
            event=f"simulated:{uuid.uuid4().hex}",
            caller=body.fr or "",
            called=body.to or "",
            backend=body.backend or house.config().faxes.backend,
            file=pdf,
            is_pdf=True,
            state=body.status,
            reason="" if body.status is ReceivedState.RECEIVED else "simulated",
            account_id=house.account_of(identity),
        )
        fax, _new = await house.faxes.arrivals.take(arrival)
    house.audit.note("inbound_simulated", inbound_id=fax.id, key_id=identity.name)
    return inbound_out(house, fax)
