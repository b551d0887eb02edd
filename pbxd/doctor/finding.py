"""One thing the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """GOOD: as it should be. NOTE: to know. WARNING: will hurt some day or somebody. PROBLEM: calls fail."""

    GOOD = "good"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What `check` found. `cure` says what to do, on one or more lines; only what is good needs none."""

    check: str
    level: Level
    message: str
    cure: str = ""

    def plain(self) -> dict[str, str]:
        """For JSON."""
        return {"check": self.check, "level": self.level.value, "message": self.message, "cure": self.cure}
