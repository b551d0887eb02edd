"""Settings of faxes by HTTP: shown without secrets, checked, written to the settings file, exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from pbxd.api.contract import Identity
from pbxd.api.fax.admin import line_trouble, storage_trouble
from pbxd.api.fax.door import ADMIN, FAX, FaxHouse
from pbxd.api.fax.plugins import Value, tried
from pbxd.config import Config
from pbxd.config.overlay import NAME
from pbxd.config.providers import FaxProvider
from pbxd.errors import Invalid
from pbxd.services.faxes import BUILT_IN, DISABLED, SIP

HIDDEN = "***"
LONG = 12
_Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Secret = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Count = Annotated[int, Field(ge=0, le=10_000_000)]


class SettingsBody(BaseModel):
    """What is to change; what is null or missing stays as it is."""

    model_config = ConfigDict(extra="ignore")

    backend: _Text | None = None
    require_api_key: bool | None = None
    inbound_enabled: bool | None = None
    inbound_retention_days: _Count | None = None
    asterisk_inbound_secret: _Text | None = None
    max_file_size_mb: _Count | None = None
    max_requests_per_minute: _Count | None = None
    inbound_list_rpm: _Count | None = None
    inbound_get_rpm: _Count | None = None
    pdf_token_ttl_minutes: _Count | None = None
    artifact_ttl_days: _Count | None = None
    audit_log_enabled: bool | None = None
    feature_v3_plugins: bool | None = None
    fax_header: _Text | None = None
    fax_station_id: _Text | None = None
    public_api_url: _Text | None = None
    storage_backend: Literal["local", "s3"] | None = None
    s3_endpoint_url: _Text | None = None
    s3_bucket: _Text | None = None
    s3_region: _Text | None = None
    s3_prefix: _Text | None = None
    phaxio_api_key: _Secret | None = None
    phaxio_api_secret: _Secret | None = None
    phaxio_verify_signature: bool | None = None
    sinch_project_id: _Text | None = None
    sinch_api_key: _Secret | None = None
    sinch_api_secret: _Secret | None = None
    sinch_inbound_verify_signature: bool | None = None
    sinch_inbound_basic_user: _Secret | None = None
    sinch_inbound_basic_pass: _Secret | None = None
    sinch_inbound_hmac_secret: _Secret | None = None
    signalwire_space_url: _Text | None = None
    signalwire_project_id: _Secret | None = None
    signalwire_api_token: _Secret | None = None


KEYS: Mapping[str, str] = {
    "backend": "faxes.backend",
    "require_api_key": "faxes.require_key",
    "inbound_enabled": "faxes.inbound.enabled",
    "inbound_retention_days": "faxes.inbound.keep_days",
    "asterisk_inbound_secret": "faxes.inbound.asterisk_secret",
    "max_file_size_mb": "faxes.max_mb",
    "max_requests_per_minute": "faxes.rate_per_minute",
    "inbound_list_rpm": "faxes.inbound_list_per_minute",
    "inbound_get_rpm": "faxes.inbound_get_per_minute",
    "pdf_token_ttl_minutes": "faxes.pdf_token_s",
    "artifact_ttl_days": "faxes.keep_days",
    "audit_log_enabled": "faxes.audit.enabled",
    "feature_v3_plugins": "faxes.plugins",
    "fax_header": "faxes.header",
    "fax_station_id": "faxes.ident",
    "public_api_url": "http.public_url",
    "storage_backend": "faxes.storage.plugin",
    "s3_endpoint_url": "faxes.storage.s3.endpoint",
    "s3_bucket": "faxes.storage.s3.bucket",
    "s3_region": "faxes.storage.s3.region",
    "s3_prefix": "faxes.storage.s3.prefix",
}
"""The contract's names of settings, and the house's."""

PROVIDER_KEYS: Mapping[str, str] = {
    "phaxio_api_key": "phaxio.creds.key",
    "phaxio_api_secret": "phaxio.creds.secret",
    "phaxio_verify_signature": "phaxio.verify",
    "sinch_project_id": "sinch.settings.project_id",
    "sinch_api_key": "sinch.creds.key",
    "sinch_api_secret": "sinch.creds.secret",
    "sinch_inbound_verify_signature": "sinch.verify",
    "sinch_inbound_basic_user": "sinch.creds.inbound_user",
    "sinch_inbound_basic_pass": "sinch.creds.inbound_password",
    "sinch_inbound_hmac_secret": "sinch.creds.inbound_secret",
    "signalwire_space_url": "signalwire.settings.space",
    "signalwire_project_id": "signalwire.creds.key",
    "signalwire_api_token": "signalwire.creds.secret",
}
"""The contract's names of what providers are set up with, and where that is under `faxes.providers`."""

_ENVIRONMENT = {
    "FAX_BACKEND": "backend",
    "REQUIRE_API_KEY": "require_api_key",
    "INBOUND_ENABLED": "inbound_enabled",
    "INBOUND_RETENTION_DAYS": "inbound_retention_days",
    "ASTERISK_INBOUND_SECRET": "asterisk_inbound_secret",
    "MAX_FILE_SIZE_MB": "max_file_size_mb",
    "MAX_REQUESTS_PER_MINUTE": "max_requests_per_minute",
    "INBOUND_LIST_RPM": "inbound_list_rpm",
    "INBOUND_GET_RPM": "inbound_get_rpm",
    "PDF_TOKEN_TTL_MINUTES": "pdf_token_ttl_minutes",
    "ARTIFACT_TTL_DAYS": "artifact_ttl_days",
    "AUDIT_LOG_ENABLED": "audit_log_enabled",
    "FEATURE_V3_PLUGINS": "feature_v3_plugins",
    "FAX_HEADER": "fax_header",
    "FAX_LOCAL_STATION_ID": "fax_station_id",
    "PUBLIC_API_URL": "public_api_url",
    "STORAGE_BACKEND": "storage_backend",
    "S3_ENDPOINT_URL": "s3_endpoint_url",
    "S3_BUCKET": "s3_bucket",
    "S3_REGION": "s3_region",
    "S3_PREFIX": "s3_prefix",
}


class SettingsOut(RootModel[dict[str, dict[str, Any]]]):
    """Settings by group; `_meta` after a change."""


class ValidateBody(BaseModel):
    model_config = ConfigDict(extra="ignore")

    backend: _Text | None = Field(default=None, description="the backend to look at; null is that of the settings")
    settings: Annotated[dict[str, Value], Field(max_length=16)] | None = Field(
        default=None, description="of a provider: what to try in place of what is set, by the names of its plugin"
    )


class Validated(BaseModel):
    backend: str
    checks: dict[str, bool | str]
    test_fax: bool | None


class Exported(BaseModel):
    env_content: str
    requires_restart: bool
    note: str


class Persisted(BaseModel):
    ok: bool
    path: str


def _flat(config: Config) -> dict[str, Any]:
    """Every setting by the contract's name; secrets are hidden."""
    faxes = config.faxes
    secret, bucket = faxes.inbound.asterisk_secret, faxes.storage.s3
    return {
        "backend": faxes.backend,
        "require_api_key": faxes.require_key,
        "inbound_enabled": faxes.inbound.enabled,
        "inbound_retention_days": faxes.inbound.keep_days,
        "asterisk_inbound_secret": _hidden(secret.get_secret_value()) if secret else "",
        "max_file_size_mb": faxes.max_mb,
        "max_requests_per_minute": faxes.rate_per_minute,
        "inbound_list_rpm": faxes.inbound_list_per_minute,
        "inbound_get_rpm": faxes.inbound_get_per_minute,
        "pdf_token_ttl_minutes": faxes.pdf_token_s // 60,
        "artifact_ttl_days": faxes.keep_days,
        "audit_log_enabled": faxes.audit.enabled,
        "feature_v3_plugins": faxes.plugins,
        "fax_header": faxes.header,
        "fax_station_id": faxes.ident,
        "public_api_url": config.http.public_url or "",
        "storage_backend": faxes.storage.plugin.value,
        "s3_endpoint_url": bucket.endpoint or "",
        "s3_bucket": bucket.bucket,
        "s3_region": bucket.region,
        "s3_prefix": bucket.prefix,
    }


def _grouped(config: Config) -> dict[str, dict[str, Any]]:
    flat, faxes = _flat(config), config.faxes
    return {
        "backend": {"type": faxes.backend, "disabled": faxes.backend == DISABLED},
        "sip": {
            "header": faxes.header,
            "station_id": faxes.ident,
            "way": faxes.way.value,
            "detail": faxes.detail.value,
            "tries": faxes.tries,
        },
        "security": {
            "require_api_key": faxes.require_key,
            "audit_enabled": faxes.audit.enabled,
            "public_api_url": flat["public_api_url"],
            "feature_v3_plugins": faxes.plugins,
        },
        "storage": {
            "backend": flat["storage_backend"],
            **{name: flat[name] for name in ("s3_endpoint_url", "s3_bucket", "s3_region", "s3_prefix")},
            "s3_credentials": faxes.storage.s3.key is not None and faxes.storage.s3.secret is not None,
        },
        "database": {"engine": "sqlite" if config.store.url is None else "url"},
        "inbound": {
            "enabled": faxes.inbound.enabled,
            "retention_days": faxes.inbound.keep_days,
            "asterisk_inbound_secret": flat["asterisk_inbound_secret"],
        },
        **{name: _provider(faxes.providers.get(name)) for name in {*BUILT_IN, *faxes.providers}},
        "limits": {
            name: flat[name]
            for name in (
                *("max_file_size_mb", "max_requests_per_minute", "inbound_list_rpm", "inbound_get_rpm"),
                *("pdf_token_ttl_minutes", "artifact_ttl_days"),
            )
        },
    }


def _provider(said: FaxProvider | None) -> dict[str, Any]:
    """What is set of a provider; of a long secret its end."""
    if said is None:
        return {"configured": False}
    return {
        "configured": True,
        "base_url": said.base_url or "",
        "verify": said.verify,
        "settings": said.settings,
        "creds": {name: _hidden(secret.get_secret_value()) for name, secret in said.creds.items()},
    }


def _hidden(secret: str) -> str:
    """A secret; of a long one its end can be read."""
    return HIDDEN + (secret[-4:] if len(secret) >= LONG else "")


@FAX.operation("GET", "/admin/settings", tag="settings", scope=ADMIN)
async def get_settings(house: FaxHouse) -> SettingsOut:
    """Get the settings in force, without secrets."""
    return SettingsOut(_grouped(house.config()))


@FAX.operation("PUT", "/admin/settings", tag="settings", scope=ADMIN, errors=(Invalid,))
async def put_settings(house: FaxHouse, body: SettingsBody, identity: Identity) -> SettingsOut:
    """Change settings: at once, and for every start to come."""
    said = body.model_dump(exclude_none=True)
    if "pdf_token_ttl_minutes" in said:
        said["pdf_token_ttl_minutes"] *= 60
    changes = {KEYS[name]: value for name, value in said.items() if name in KEYS}
    changes |= {f"faxes.providers.{PROVIDER_KEYS[name]}": said[name] for name in PROVIDER_KEYS.keys() & said.keys()}
    named = {PROVIDER_KEYS[name].partition(".")[0] for name in PROVIDER_KEYS.keys() & said.keys()}
    known = {SIP, DISABLED, *house.faxes.sending.carriers, *named}
    if said.get("backend", SIP) not in known:
        raise Invalid(f"there is no such backend; there are {', '.join(sorted(known))}")
    before = house.config().faxes
    await house.change(changes)
    house.audit.note("settings_changed", names=" ".join(sorted(said)), key_id=identity.name)
    meta = {
        "backend_changed": house.config().faxes.backend != before.backend,
        "storage_changed": house.config().faxes.storage != before.storage,
        "restart_recommended": False,
    }
    return SettingsOut(_grouped(house.config()) | {"_meta": meta})


@FAX.operation("POST", "/admin/settings/validate", tag="settings", scope=ADMIN, errors=(Invalid,))
async def validate_settings(house: FaxHouse, body: ValidateBody, identity: Identity) -> Validated:
    """Check a backend, without changing or sending anything.

    A provider is asked for something harmless: whether it can be reached, and knows us. So is the bucket of documents.
    Where another address is tried, its credentials are in the body, too: those that are stored are not sent there.
    """
    wanted = body.backend or house.config().faxes.backend
    names = " ".join(sorted(body.settings or {}))
    house.audit.note("settings_validated", backend=wanted, names=names, key_id=identity.name)
    checks: dict[str, bool | str] = {"known": wanted == DISABLED or wanted in house.faxes.sending.carriers}
    if wanted == SIP:
        checks["ready"] = line_trouble(house) or True
    elif wanted in BUILT_IN or house.providers.get(wanted) is not None:
        checks |= await tried(house, wanted, body.settings or {}).check()
    checks["storage"] = await storage_trouble(house) or True
    return Validated(backend=wanted, checks=checks, test_fax=None)


@FAX.operation("POST", "/admin/settings/reload", tag="settings", scope=ADMIN, errors=(Invalid,))
async def reload_settings(house: FaxHouse, identity: Identity) -> SettingsOut:
    """Read all settings again: the configuration file, and the settings file."""
    await house.reread()
    house.audit.note("settings_reloaded", key_id=identity.name)
    return SettingsOut(_grouped(house.config()))


@FAX.operation("GET", "/admin/settings/export", tag="settings", scope=ADMIN)
async def export_settings(house: FaxHouse) -> Exported:
    """Get the settings as lines of an environment file, without secrets."""
    flat = _flat(house.config())
    return Exported(
        env_content="".join(f"{name}={_quoted(flat[key])}\n" for name, key in _ENVIRONMENT.items()),
        requires_restart=False,
        note="Secrets are not shown. pbxd keeps its settings in its own files; this is for other tools.",
    )


@FAX.operation("POST", "/admin/settings/persist", tag="settings", scope=ADMIN, errors=(Invalid,))
async def persist_settings(house: FaxHouse, identity: Identity) -> Persisted:
    """Write the settings in force to the settings file.

    It has one place, in the data directory; what the body says is not looked at.
    """
    flat = _flat(house.config()) | {"pdf_token_ttl_minutes": house.config().faxes.pdf_token_s}
    secret = house.config().faxes.inbound.asterisk_secret
    flat["asterisk_inbound_secret"] = secret.get_secret_value() if secret else None
    flat["public_api_url"] = house.config().http.public_url
    flat["s3_endpoint_url"] = house.config().faxes.storage.s3.endpoint
    await house.change({KEYS[name]: value for name, value in flat.items()})
    house.audit.note("settings_persisted", key_id=identity.name)
    return Persisted(ok=True, path=NAME)


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f'"{text}"' if " " in text else text
