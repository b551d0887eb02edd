"""What can carry and keep faxes here, and how each is set up. Off until `faxes.plugins` is true."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from pbxd import __version__
from pbxd.api.contract import Identity
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse
from pbxd.config.overlay import NAME
from pbxd.config.providers import FaxProvider
from pbxd.errors import Invalid, NotFound
from pbxd.services.faxes import BUILT_IN, DISABLED, FREESWITCH, PHAXIO, SINCH, SIP, Manifest

LOCAL = "local"
HIDDEN = "***"
_Value = bool | int | Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
_SIP_SETTINGS = {"ident": "faxes.ident", "header": "faxes.header", "way": "faxes.way", "detail": "faxes.detail"}
_PROOFS = {
    PHAXIO: ["creds.callback_token"],
    SINCH: ["creds.inbound_user", "creds.inbound_password", "creds.inbound_secret"],
    FREESWITCH: ["creds.inbound_secret"],
}
"""What providers prove themselves with, where that is something else than what we do."""


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

    known = dict(BUILT_IN) | {name: provider.manifest for name, provider in house.providers.items()}
    return [
        plugin(
            SIP, "The house's own lines", "outbound", ["send", "get_status", "cancel", "receive"], configurable=True
        ),
        plugin(DISABLED, "Nothing is sent", "outbound", [], configurable=False),
        *(plugin(name, one.name, "outbound", _abilities(one), configurable=True) for name, one in known.items()),
        plugin(LOCAL, "Files in the data directory", "storage", ["store"], configurable=False),
    ]


def _abilities(manifest: Manifest) -> list[str]:
    """What a provider can do, beside sending."""
    actions = manifest.actions
    found = {"get_status": actions.get_status, "cancel": actions.cancel_fax, "receive": actions.get_file}
    return ["send", *(name for name, action in found.items() if action is not None)]


def _manifest(house: FaxHouse, plugin_id: str) -> Manifest | None:
    provider = house.providers.get(plugin_id)
    return provider.manifest if provider else BUILT_IN.get(plugin_id)


def _settings(house: FaxHouse, plugin_id: str) -> dict[str, Any]:
    """The settings of a plugin by name, those that are secret without their value."""
    faxes = house.config().faxes
    if plugin_id == SIP:
        return {name: str(getattr(faxes, name)) for name in _SIP_SETTINGS}
    manifest = _manifest(house, plugin_id)
    if manifest is None:
        return {}
    said = faxes.providers.get(plugin_id, FaxProvider())
    found: dict[str, Any] = {"base_url": said.base_url or "", "verify": said.verify}
    for name in manifest.needs() + _PROOFS.get(plugin_id, []):
        group, _, word = name.partition(".")
        if group == "creds":
            found[name] = HIDDEN if word in said.creds else ""
        else:
            found[name] = said.settings.get(word, "")
    return found


def _key(house: FaxHouse, plugin_id: str, name: str) -> str | None:
    """The setting of the house that a plugin's setting is."""
    if plugin_id == SIP:
        return _SIP_SETTINGS.get(name)
    return f"faxes.providers.{plugin_id}.{name}" if name in _settings(house, plugin_id) else None


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
    plugin = _plugin(house, path.id)
    return PluginConfig(enabled=plugin.enabled, settings=_settings(house, plugin.id))


@FAX.operation("PUT", "/plugins/{id}/config", tag="plugins", scope=ADMIN, errors=(NotFound, Invalid))
async def put_plugin(house: FaxHouse, path: PluginPath, body: PluginBody, identity: Identity) -> PluginKept:
    """Use a plugin or another one, and change its settings, at once and for every start to come."""
    _on(house)
    plugin = _plugin(house, path.id)
    changes: dict[str, Any] = {}
    for name, value in (body.settings or {}).items():
        key = _key(house, plugin.id, name)
        if key is None:
            raise Invalid(f"{plugin.id} has no such setting")
        if value != HIDDEN:  # it was shown so, and stays as it is
            changes[key] = None if value == "" and plugin.id != SIP else value
    if body.enabled is not None and "outbound" in plugin.categories:
        if body.enabled:
            changes["faxes.backend"] = plugin.id
            if plugin.id in BUILT_IN and house.providers.get(plugin.id) is None:
                changes.setdefault(f"faxes.providers.{plugin.id}.verify", True)  # it stands in the settings from now on
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
