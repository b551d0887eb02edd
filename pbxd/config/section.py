"""What every part of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Switch = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=31_536_000)]
SecondsOrNever = Annotated[int, Field(strict=True, ge=0, le=31_536_000)]
RESTART: dict[str, Any] = {"restart": True}


class Section(BaseModel):
    """A mapping of the file: every key is known, and nothing changes after it was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
