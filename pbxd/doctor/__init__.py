"""What `pbxd doctor` looks at: everything outside the house that makes calls fail, each finding with its cure.

finding    what was found          network   ports, firewall, addresses, names, what the far side sees
machine    disk, clock, limits     papers    certificates, their expiry, keys of SRTP
post       whether the mail server takes mail
around     the machine itself, as values and functions: the checks take it as an argument
stun       one question to a STUN server (RFC 8489)
"""

from __future__ import annotations

from collections.abc import Sequence

from pbxd.config import Config
from pbxd.doctor import machine, network, papers, post
from pbxd.doctor.around import Daemon, MailAnswer, Surroundings, this_machine
from pbxd.doctor.finding import Finding, Level

__all__ = ["Daemon", "Finding", "Level", "MailAnswer", "Surroundings", "examine", "report", "this_machine"]

_CHECKS = (
    machine.daemon,
    network.ports,
    network.firewall,
    network.advertised,
    network.far_side,
    network.names,
    network.control_plane,
    papers.certificates,
    papers.keys,
    machine.disk,
    machine.clock,
    machine.limits,
    post.mail,
)
_MARKS = {Level.GOOD: "ok  ", Level.NOTE: "note", Level.WARNING: "WARN", Level.PROBLEM: "FAIL"}


def examine(config: Config, around: Surroundings) -> list[Finding]:
    """Everything there is to say about this house, in the order of the checks."""
    return [finding for check in _CHECKS for finding in check(config, around)]


def report(findings: Sequence[Finding]) -> str:
    """The findings for people: a line each, the cure under it."""
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]}  {finding.check:<12} {finding.message}")
        lines += [f"{'':18} -> {cure}" for cure in finding.cure.splitlines()]
    counts = [f"{sum(finding.level is level for finding in findings)} {level.value}" for level in Level]
    return "\n".join([*lines, "", ", ".join(counts)])
