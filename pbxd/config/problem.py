"""What is wrong with a configuration, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `where` is `etc/pbxd.yaml:12` or `--set sip.udp`; `key` is the dotted key, or empty."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        key = "" if self.where == f"--set {self.key}" else self.key  # said already
        return ": ".join(filter(None, (self.where, key, self.message)))


class ConfigError(Exception):
    """The configuration cannot be used. `problems` are all of them, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
