"""Where call flows lie, and what they may do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pbxd.config.section import RESTART, Section
from pbxd.config.values import NetworkField, PathField

FOLDER = "dialplan"
"""Beside the configuration, where nothing else is said."""


DEAF = "words are no answer here: this house does not understand speech yet; ask for digits"
"""Why flows may not ask for words."""


class Dialplan(Section):
    folder: PathField | None = Field(
        default=None,
        description="where the flows lie; null is dialplan beside this file",
        json_schema_extra=RESTART,
    )
    max_steps: Annotated[int, Field(strict=True, ge=10, le=10_000)] = Field(
        default=2_000, description="commands of a flow to one call; then it is cut"
    )
    http_allow: tuple[NetworkField, ...] = Field(
        default=(),
        max_length=64,
        description="addresses of this machine and its link that `http` may ask",
    )

    def at(self, file: Path) -> Path:
        """Where the flows of the configuration `file` lie."""
        return self.folder or file.parent / FOLDER
