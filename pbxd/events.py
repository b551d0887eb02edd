"""The event bus: a call publishes, bystanders listen, and none of them can hold it up (DESIGN rule 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

Event = TypeVar("Event")


class Bus:
    """Calls each listener of an event's class at once, in the order they subscribed.

    A listener must not block and may not veto: what it raises is logged and counted, the next one still runs.
    """

    def __init__(self) -> None:
        self._listeners: dict[type[Any], list[Callable[[Any], None]]] = {}
        self.failures = 0

    def subscribe(self, kind: type[Event], listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call `listener` for each event of exactly the class `kind`; the returned function ends that."""
        listeners = self._listeners.setdefault(kind, [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def publish(self, event: object) -> None:
        for listener in tuple(self._listeners.get(type(event), ())):
            try:
                listener(event)
            except Exception:
                self.failures += 1
                log.exception("a listener of %s failed", type(event).__name__)
