"""Providers that carry faxes over HTTP: off until they stand in the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from pbxd.config.section import PublicUrl, Section, Switch
from pbxd.config.values import PathField

ProviderId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Value = Annotated[str, Field(max_length=512, pattern=r"^[^\x00-\x1f\x7f]*$")]
Credential = Annotated[SecretStr, Field(min_length=1, max_length=512)]


class FaxProvider(Section):
    manifest: PathField | None = Field(
        default=None, description="the file that says how it is asked; null is the built-in one of that name"
    )
    base_url: PublicUrl | None = Field(default=None, description="where it is, in place of what its manifest says")
    verify: Switch = Field(default=True, description="whether what it tells us must be signed")
    creds: dict[Word, Credential] = Field(default={}, max_length=16, description="what we and it prove ourselves with")
    settings: dict[Word, Value] = Field(default={}, max_length=32, description="what else its manifest asks for")
