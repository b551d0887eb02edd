"""Waiting for a condition, never for a length of time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T], what: str, *, timeout: float = 5.0, every: float = 0.02) -> T:
    """Poll `condition` until it is true and return its value.

    Raises AssertionError naming `what` and the last value when `timeout` seconds were not enough.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s for {what}, last saw {value!r}")
        time.sleep(every)
