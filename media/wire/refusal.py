"""How wire refuses."""

from __future__ import annotations

import errno
import os


class WireError(OSError):
    """The system refused what wire asked for; `errno` says why."""


def check(error: int, what: str) -> None:
    """Raises WireError unless `error` is 0."""
    if error:
        hint = " (RLIMIT_NOFILE is too low)" if error == errno.EMFILE else ""
        raise WireError(error, f"{what}: {os.strerror(error)}{hint}")
