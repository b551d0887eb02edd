"""What can carry and keep faxes here, and how each is set up. Off until `faxes.plugins` is true."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pbxd import __version__
from pbxd.api.contract import Identity
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse
from pbxd.config.overlay import NAME
from pbxd.errors import Invalid, NotFound
from pbxd.services.faxes import DISABLED, SIP

LOCAL = "local"
_Value = bool | int | Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
_SIP_SETTINGS = {"ident": "faxes.ident", "header": "faxes.header", "way": "faxes.way", "detail": "faxes.detail"}


class Plugin(BaseModel):
    id: str
    name: str
    version: str
    categories: list[str]
    capabilities: list[str]
    enabled: bool
    configurable: bool


class Plugins(BaseModel):
    items: list[Plugin]


class Registry(Plugins):
    note: str


class PluginPath(BaseModel):
    id: str = Field(description="the id of a plugin", max_length=64)


class PluginConfig(BaseModel):
    enabled: bool
    settings: dict[str, Any]


class PluginBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    enabled: bool | None = Field(default=None, description="true sends faxes this way from now on")
    settings: Annotated[dict[str, _Value], Field(max_length=16)] | None = None


class PluginKept(BaseModel):
    ok: bool
    path: str


def _on(house: FaxHouse) -> None:
    if not house.config().faxes.plugins:
        raise NotFound("v3 plugins feature disabled")


def _plugins(house: FaxHouse) -> list[Plugin]:
    backend = house.config().faxes.backend

    def plugin(plugin_id: str, name: str, category: str, capabilities: list[str], *, configurable: bool) -> Plugin:
        return Plugin(
            id=plugin_id,
            name=name,
            version=__version__,
            categories=[category],
            capabilities=capabilities,
            enabled=plugin_id in (backend, LOCAL),
            configurable=configurable,
        )

    return [
        plugin(
            SIP, "The house's own lines", "outbound", ["send", "get_status", "cancel", "receive"], configurable=True
        ),
        plugin(DISABLED, "Nothing is sent", "outbound", [], configurable=False),
        plugin(LOCAL, "Files in the data directory", "storage", ["store"], configurable=False),
    ]


def _plugin(house: FaxHouse, plugin_id: str) -> Plugin:
    for plugin in _plugins(house):
        if plugin.id == plugin_id:
            return plugin
    raise NotFound("Plugin not found")


@FAX.operation("GET", "/plugins", tag="plugins", scope=ADMIN, errors=(NotFound,))
async def list_plugins(house: FaxHouse) -> Plugins:
    """List what can carry and keep faxes."""
    _on(house)
    return Plugins(items=_plugins(house))


@FAX.operation("GET", "/plugins/{id}/config", tag="plugins", scope=ADMIN, errors=(NotFound,))
async def get_plugin(house: FaxHouse, path: PluginPath) -> PluginConfig:
    """Get whether a plugin is used, and its settings."""
    _on(house)
    plugin, faxes = _plugin(house, path.id), house.config().faxes
    settings = {name: str(getattr(faxes, name)) for name in _SIP_SETTINGS} if plugin.id == SIP else {}
    return PluginConfig(enabled=plugin.enabled, settings=settings)


@FAX.operation("PUT", "/plugins/{id}/config", tag="plugins", scope=ADMIN, errors=(NotFound, Invalid))
async def put_plugin(house: FaxHouse, path: PluginPath, body: PluginBody, identity: Identity) -> PluginKept:
    """Use a plugin or another one, and change its settings, at once and for every start to come."""
    _on(house)
    plugin = _plugin(house, path.id)
    changes: dict[str, Any] = {}
    for name, value in (body.settings or {}).items():
        key = _SIP_SETTINGS.get(name) if plugin.id == SIP else None
        if key is None:
            raise Invalid(f"{plugin.id} has no such setting")
        changes[key] = value
    if body.enabled is not None and "outbound" in plugin.categories:
        if body.enabled:
            changes["faxes.backend"] = plugin.id
        elif plugin.enabled:
            changes["faxes.backend"] = DISABLED
    if changes:
        await house.change(changes)
        house.audit.note("plugin_changed", plugin=plugin.id, key_id=identity.name)
    return PluginKept(ok=True, path=NAME)


@FAX.operation("GET", "/plugin-registry", tag="plugins", scope=ADMIN, errors=(NotFound,))
async def plugin_registry(house: FaxHouse) -> Registry:
    """List what could be used here."""
    _on(house)
    return Registry(items=_plugins(house), note="Everything that can be used is built in.")
