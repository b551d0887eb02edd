"""What is counted of a queue and of an operator, a day at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from pbxd.services.queues.model import Exit


@dataclass(slots=True)
class QueueFigures:
    """Of one queue since midnight. Seconds are sums; `in_time` were answered within the queue's service level."""

    entered: int = 0
    exits: dict[str, int] = field(default_factory=lambda: {one.value: 0 for one in Exit})
    in_time: int = 0
    waited_s: float = 0.0  # of who was answered
    longest_wait_s: float = 0.0
    talked_s: float = 0.0
    wrapped_s: float = 0.0

    @property
    def handled(self) -> int:
        return self.exits[Exit.ANSWERED]

    @property
    def abandoned(self) -> int:
        return self.exits[Exit.ABANDON]

    @property
    def service_level(self) -> float | None:
        """The share of those who waited and have gone that was answered in time, in per cent; None where nobody did.
        Who was turned away at once (full, too long a wait) never waited."""
        waited = sum(self.exits.values()) - self.exits[Exit.QUEUE_FULL] - self.exits[Exit.EWT]
        return 100.0 * self.in_time / waited if waited else None

    @property
    def mean_wait_s(self) -> float | None:
        """Of who was answered."""
        return self._mean(self.waited_s)

    @property
    def mean_talk_s(self) -> float | None:
        return self._mean(self.talked_s)

    @property
    def mean_wrap_up_s(self) -> float | None:
        return self._mean(self.wrapped_s)

    def _mean(self, seconds: float) -> float | None:
        """Of one handled call."""
        return seconds / self.handled if self.handled else None

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """From plain data; what is not known is left out."""
        made = cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data and one.name != "exits"})
        made.exits |= {str(key): int(value) for key, value in dict(data.get("exits", {})).items()}
        return made

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class OperatorFigures:
    """Of one operator since midnight."""

    offered: int = 0
    handled: int = 0
    missed: int = 0
    talked_s: float = 0.0
    wrapped_s: float = 0.0
    logged_in_s: float = 0.0
    on_break_s: float = 0.0

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Day:
    """All that is counted on one day (`2026-03-01`) in one account."""

    name: str = ""
    queues: dict[str, QueueFigures] = field(default_factory=dict)
    operators: dict[str, OperatorFigures] = field(default_factory=dict)

    def queue(self, name: str) -> QueueFigures:
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = QueueFigures()
        return found

    def operator(self, name: str) -> OperatorFigures:
        return self.operators.setdefault(name, OperatorFigures())

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        return cls(
            str(data.get("name", "")),
            {str(key): QueueFigures.read(value) for key, value in dict(data.get("queues", {})).items()},
            {str(key): OperatorFigures.read(value) for key, value in dict(data.get("operators", {})).items()},
        )

    def plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "queues": {key: value.plain() for key, value in self.queues.items()},
            "operators": {key: value.plain() for key, value in self.operators.items()},
        }
