"""Manifests of providers by HTTP: looked at, installed one by one or many. Off until `faxes.plugins` is true."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pbxd.api.contract import Identity, problems_of
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse
from pbxd.api.fax.plugins import plugins_on
from pbxd.config.providers import FaxProvider
from pbxd.errors import Invalid, NotFound, TooLarge, Unavailable
from pbxd.services.faxes import BUILT_IN, DISABLED, MAX_MANIFEST, SIP, Manifest, guard

FOLDER = "manifests"
MAX_IMPORT = 20


class ManifestBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    manifest: dict[str, Any] = Field(description="how a provider is asked; its id is the provider's name")


class ManifestsBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    items: Annotated[list[dict[str, Any]], Field(max_length=MAX_IMPORT)] = []


class ManifestFound(BaseModel):
    """What a manifest says; `error` where it is none."""

    id: str | None
    name: str | None
    actions: list[str]
    allowed_domains: list[str]
    warnings: list[str]
    normalized: dict[str, Any] | None
    error: str | None


class Installed(BaseModel):
    ok: bool
    id: str
    path: str


class Mistake(BaseModel):
    id: str | None
    error: str


class Imported(BaseModel):
    ok: bool
    imported: list[str]
    errors: list[Mistake]


@FAX.operation("POST", "/admin/plugins/http/validate", tag="plugins", scope=ADMIN, errors=(NotFound, Invalid))
async def validate_manifest(house: FaxHouse, body: ManifestBody) -> ManifestFound:
    """Look at a manifest, without installing it."""
    plugins_on(house)
    if not body.manifest.get("id"):
        raise Invalid("Manifest id required")
    try:
        manifest = _manifest(body.manifest)
    except Invalid as error:
        return ManifestFound(
            id=_said(body.manifest),
            name=None,
            actions=[],
            allowed_domains=[],
            warnings=[],
            normalized=None,
            error=error.message,
        )
    actions = [name for name, action in manifest.actions if action is not None]
    return ManifestFound(
        id=manifest.id,
        name=manifest.name,
        actions=actions,
        allowed_domains=list(manifest.allowed_domains),
        warnings=_warnings(manifest),
        normalized=manifest.model_dump(mode="json"),
        error=None,
    )


@FAX.operation(
    "POST", "/admin/plugins/http/install", tag="plugins", scope=ADMIN, errors=(NotFound, Invalid, TooLarge, Unavailable)
)
async def install_manifest(house: FaxHouse, body: ManifestBody, identity: Identity) -> Installed:
    """Make a provider of a manifest. It carries faxes once its credentials are set and it is enabled."""
    plugins_on(house)
    if not body.manifest.get("id"):
        raise Invalid("Manifest id is required")
    manifest = _manifest(body.manifest)
    _guard(house, manifest)
    await _install(house, [manifest], identity)
    return Installed(ok=True, id=manifest.id, path=f"{FOLDER}/{manifest.id}.json")


@FAX.operation(
    "POST",
    "/admin/plugins/http/import-manifests",
    tag="plugins",
    scope=ADMIN,
    errors=(NotFound, Invalid, TooLarge, Unavailable),
)
async def import_manifests(house: FaxHouse, body: ManifestsBody, identity: Identity) -> Imported:
    """Make providers of many manifests; one that is no good stops no other."""
    plugins_on(house)
    if not body.items:
        raise Invalid("No manifest candidates provided")
    good: dict[str, Manifest] = {}
    errors: list[Mistake] = []
    for one in body.items:
        try:
            manifest = _manifest(one)
            _guard(house, manifest)
        except Invalid as error:
            errors.append(Mistake(id=_said(one), error=error.message))
        else:
            good[manifest.id] = manifest
    if good:
        await _install(house, list(good.values()), identity)
    return Imported(ok=not errors, imported=list(good), errors=errors)


def _manifest(said: dict[str, Any]) -> Manifest:
    """Raises Invalid."""
    try:
        manifest = Manifest.model_validate(said)
    except ValidationError as error:
        raise Invalid(problems_of(error)) from None
    if manifest.id in (SIP, DISABLED, *BUILT_IN):
        raise Invalid(f"id: {manifest.id} is built in")
    if len(manifest.model_dump_json()) > MAX_MANIFEST:
        raise Invalid(f"it has more than {MAX_MANIFEST} bytes")
    return manifest


def _guard(house: FaxHouse, manifest: Manifest) -> None:
    """Raises Invalid where what is stored for the provider would go elsewhere by this manifest."""
    said = house.config().faxes.providers.get(manifest.id, FaxProvider())
    guard(house.providers.get(manifest.id), house.providers.by(manifest, said), {})


def _said(manifest: dict[str, Any]) -> str | None:
    """What something that is no manifest calls itself."""
    return str(manifest["id"])[:64] if "id" in manifest else None


def _warnings(manifest: Manifest) -> list[str]:
    said = []
    if manifest.actions.get_status is None:
        said.append("without get_status nobody asks how a fax ended")
    if not manifest.actions.send_fax.response.job_id:
        said.append("without response.job_id of send_fax each fax fails: nobody knows which it is")
    return said


async def _install(house: FaxHouse, manifests: list[Manifest], identity: Identity) -> None:
    folder = house.faxes.files.folder / FOLDER
    try:
        for manifest in manifests:
            await asyncio.to_thread(_write, folder / f"{manifest.id}.json", manifest)
    except OSError as error:
        raise Unavailable(f"the manifest cannot be written: {error.strerror}") from None
    await house.change({f"faxes.providers.{one.id}.manifest": str(folder / f"{one.id}.json") for one in manifests})
    for manifest in manifests:
        house.audit.note("plugin_installed", plugin=manifest.id, key_id=identity.name)


def _write(file: Path, manifest: Manifest) -> None:
    """Whole or not at all."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(manifest.model_dump(mode="json"), indent=2), "utf-8")
    fresh.replace(file)
