"""What can carry and keep faxes here, and how each is set up. Off until `faxes.plugins` is true."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from pbxd import __version__
from pbxd.api.contract import Identity, problems_of
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse
from pbxd.config.faxes import StoragePlugin
from pbxd.config.overlay import NAME
from pbxd.config.providers import FaxProvider
from pbxd.errors import Invalid, NotFound
from pbxd.services.faxes import (
    BUILT_IN,
    DISABLED,
    FREESWITCH,
    PHAXIO,
    SIGNALWIRE,
    SINCH,
    SIP,
    HttpProvider,
    Manifest,
    guard,
)

S3 = StoragePlugin.S3
HIDDEN = "***"
REGISTRY = "registry.json"
NOTE = "What can be used is built in or stands in the settings; the rest is named for you to set up."
MAX_REGISTRY = 1 << 20
_Word = Annotated[str, Field(max_length=200)]
Value = bool | int | Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
_SIP_SETTINGS = {"ident": "faxes.ident", "header": "faxes.header", "way": "faxes.way", "detail": "faxes.detail"}
_S3_SETTINGS = ("endpoint", "bucket", "region", "prefix", "path_style", "key", "secret")
_STORAGE = {StoragePlugin.LOCAL: "Files in the data directory", StoragePlugin.S3: "A bucket that speaks S3"}
_PROOFS = {
    PHAXIO: ["creds.callback_token"],
    SIGNALWIRE: ["creds.signing_key"],
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


class _Listed(Plugin):
    """A plugin of the file: what it does not say is nothing."""

    name: _Word = ""
    version: _Word = ""
    categories: Annotated[list[_Word], Field(max_length=16)] = []
    capabilities: Annotated[list[_Word], Field(max_length=16)] = []
    enabled: Literal[False] = False
    configurable: Literal[False] = False


class _Curated(BaseModel):
    items: Annotated[list[_Listed], Field(max_length=1000)]


class PluginPath(BaseModel):
    id: str = Field(description="the id of a plugin", max_length=64)


class PluginConfig(BaseModel):
    enabled: bool
    settings: dict[str, Any]


class PluginBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    enabled: bool | None = Field(default=None, description="true sends faxes this way from now on")
    settings: Annotated[dict[str, Value], Field(max_length=16)] | None = None


class PluginKept(BaseModel):
    ok: bool
    path: str


def plugins_on(house: FaxHouse) -> None:
    """Raises NotFound where plugins are not to be seen."""
    if not house.config().faxes.plugins:
        raise NotFound("v3 plugins feature disabled")


def _plugins(house: FaxHouse) -> list[Plugin]:
    faxes = house.config().faxes
    used = (faxes.backend, faxes.storage.plugin.value)

    def plugin(plugin_id: str, name: str, category: str, capabilities: list[str], *, configurable: bool) -> Plugin:
        return Plugin(
            id=plugin_id,
            name=name,
            version=__version__,
            categories=[category],
            capabilities=capabilities,
            enabled=plugin_id in used,
            configurable=configurable,
        )

    known = dict(BUILT_IN) | {name: provider.manifest for name, provider in house.providers.items()}
    return [
        plugin(
            SIP, "The house's own lines", "outbound", ["send", "get_status", "cancel", "receive"], configurable=True
        ),
        plugin(DISABLED, "Nothing is sent", "outbound", [], configurable=False),
        *(plugin(name, one.name, "outbound", _abilities(one), configurable=True) for name, one in known.items()),
        *(plugin(one.value, name, "storage", ["store"], configurable=one is S3) for one, name in _STORAGE.items()),
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
    if plugin_id == S3:
        values = {name: getattr(faxes.storage.s3, name) for name in _S3_SETTINGS}
        return {
            name: HIDDEN if isinstance(one, SecretStr) else "" if one is None else one for name, one in values.items()
        }
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
    if plugin_id == S3:
        return f"faxes.storage.s3.{name}" if name in _S3_SETTINGS else None
    return f"faxes.providers.{plugin_id}.{name}" if name in _settings(house, plugin_id) else None


def _plugin(house: FaxHouse, plugin_id: str) -> Plugin:
    for plugin in _plugins(house):
        if plugin.id == plugin_id:
            return plugin
    raise NotFound("Plugin not found")


@FAX.operation("GET", "/plugins", tag="plugins", scope=ADMIN, errors=(NotFound,))
async def list_plugins(house: FaxHouse) -> Plugins:
    """List what can carry and keep faxes."""
    plugins_on(house)
    return Plugins(items=_plugins(house))


@FAX.operation("GET", "/plugins/{id}/config", tag="plugins", scope=ADMIN, errors=(NotFound,))
async def get_plugin(house: FaxHouse, path: PluginPath) -> PluginConfig:
    """Get whether a plugin is used, and its settings."""
    plugins_on(house)
    plugin = _plugin(house, path.id)
    return PluginConfig(enabled=plugin.enabled, settings=_settings(house, plugin.id))


@FAX.operation("PUT", "/plugins/{id}/config", tag="plugins", scope=ADMIN, errors=(NotFound, Invalid))
async def put_plugin(house: FaxHouse, path: PluginPath, body: PluginBody, identity: Identity) -> PluginKept:
    """Use a plugin or another one, and change its settings, at once and for every start to come."""
    plugins_on(house)
    plugin = _plugin(house, path.id)
    changes: dict[str, Any] = {}
    for name, value in (body.settings or {}).items():
        key = _key(house, plugin.id, name)
        if key is None:
            raise Invalid(f"{plugin.id} has no such setting")
        if value != HIDDEN:  # it was shown so, and stays as it is
            changes[key] = None if value == "" and plugin.id != SIP else value
    if "storage" in plugin.categories:
        if body.enabled:
            changes["faxes.storage.plugin"] = plugin.id
        elif body.enabled is False and plugin.enabled:
            if plugin.id == StoragePlugin.LOCAL:
                raise Invalid("documents have to lie somewhere: enable another storage in its place")
            changes["faxes.storage.plugin"] = StoragePlugin.LOCAL.value
    elif body.enabled is not None:
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
    """List what could be used here: what is built in or set up, and what `faxes/registry.json` in the data directory
    names besides."""
    plugins_on(house)
    known = _plugins(house)
    try:
        curated = await asyncio.to_thread(_curated, house.faxes.files.folder / REGISTRY)
    except (OSError, ValueError):
        return Registry(items=known, note=f"{REGISTRY} cannot be read: it is an object with items, each with an id.")
    ids = {plugin.id for plugin in known}
    return Registry(items=known + [one for one in curated if one.id not in ids], note=NOTE)


def _curated(file: Path) -> list[Plugin]:
    """What the file names. Raises OSError, ValueError."""
    if not file.exists():
        return []
    with file.open("rb") as content:
        text = content.read(MAX_REGISTRY + 1)
    if len(text) > MAX_REGISTRY:
        raise ValueError("it is too long")
    return [*_Curated.model_validate_json(text).items]


def tried(house: FaxHouse, plugin_id: str, settings: Mapping[str, Value]) -> HttpProvider:
    """A provider with other settings in the place of its own. Raises Invalid, also where a secret that is stored would
    go elsewhere."""
    said = house.config().faxes.providers.get(plugin_id, FaxProvider())
    values: dict[str, Any] = {"manifest": said.manifest, "base_url": said.base_url, "verify": said.verify}
    values |= {"creds": dict(said.creds), "settings": dict(said.settings)}
    for name, value in settings.items():
        if name not in _settings(house, plugin_id):
            raise Invalid(f"{plugin_id} has no such setting")
        group, _, word = name.rpartition(".")
        if value not in (HIDDEN, ""):
            (values[group] if group else values)[word] = value
    try:
        provider = house.providers.trial(plugin_id, FaxProvider.model_validate(values))
    except ValidationError as error:
        raise Invalid(problems_of(error)) from None
    guard(house.providers.get(plugin_id), provider, settings)
    return provider
