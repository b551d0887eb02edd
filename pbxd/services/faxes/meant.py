"""Who a stored secret is meant for. Where it goes changes only together with the secret itself: whoever may change a
provider's address and may not read its secrets cannot have them sent to a place of their own."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from pbxd.config.faxes import Faxes
from pbxd.errors import Invalid
from pbxd.services.faxes.provider import HttpProvider, Providers

PROVIDERS = "faxes.providers."
BUCKET = "faxes.storage.s3."


def guard(before: HttpProvider | None, after: HttpProvider, given: Mapping[str, object]) -> None:
    """Raises Invalid where a secret of `after` is one that was stored, not `given` (`creds.key` and its value), and
    would go somewhere else than it did."""
    same = before is not None and before.places == after.places
    lacking = [
        name
        for name in after.manifest.needs()
        if name.startswith("creds.")
        and (secret := after.cred(name.removeprefix("creds.")))
        and str(given.get(name)) != secret
        and not (same and before is not None and before.cred(name.removeprefix("creds.")) == secret)
    ]
    if lacking:
        raise Invalid(f"{', '.join(lacking)}: needed again where {after.name} is asked elsewhere")


def guard_changes(before: Faxes, after: Faxes, known: Providers, changes: Mapping[str, object]) -> None:
    """Raises Invalid where `changes` (dotted keys), which make `after` of `before`, send a stored secret elsewhere.
    `known` are the providers of `before`."""
    for name in {key.removeprefix(PROVIDERS).partition(".")[0] for key in changes if key.startswith(PROVIDERS)}:
        if (said := after.providers.get(name)) is not None:
            guard(known.get(name), known.trial(name, said), _below(f"{PROVIDERS}{name}.", changes))
    if given := _below(BUCKET, changes):
        _guard_bucket(before, after, given)


def _guard_bucket(before: Faxes, after: Faxes, given: Mapping[str, object]) -> None:
    old, new = before.storage.s3, after.storage.s3
    lacking = []
    for name, was, secret in (("key", old.key, new.key), ("secret", old.secret, new.secret)):
        if secret is None or str(given.get(name)) == secret.get_secret_value():
            continue
        if old.endpoint != new.endpoint or _open(was) != _open(secret):
            lacking.append(name)
    if new.endpoint is not None and lacking:
        raise Invalid(f"{', '.join(lacking)}: needed again for another endpoint")


def _below(prefix: str, changes: Mapping[str, object]) -> dict[str, object]:
    return {key.removeprefix(prefix): value for key, value in changes.items() if key.startswith(prefix)}


def _open(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
