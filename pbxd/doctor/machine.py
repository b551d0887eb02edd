"""The machine: whether the daemon runs, room on the disk, the clock, the limit of open files."""

from __future__ import annotations

from collections.abc import Iterator

from pbxd.config import Config
from pbxd.doctor.around import Surroundings
from pbxd.doctor.finding import Finding, Level

FILES_A_CALL = 4
OTHER_FILES = 256
GIB = 1 << 30
LITTLE_BYTES, LITTLE_SHARE = 2 * GIB, 0.10
FULL_BYTES = GIB // 4
FEW_INODES = 0.05


def daemon(_config: Config, around: Surroundings) -> Iterator[Finding]:
    """Does it run, and is it well?"""
    running = around.daemon
    if running is None:
        yield Finding("daemon", Level.NOTE, "no daemon runs (or not for us to ask)", "systemctl start pbxd, or as root")
    elif running.trouble:
        yield Finding("daemon", Level.PROBLEM, f"it runs (pid {running.pid}) and is not ready: {running.trouble}",
                      "journalctl -u pbxd -p warning says why")  # fmt: skip
    else:
        yield Finding("daemon", Level.GOOD, f"it runs (pid {running.pid}) and is ready")


def disk(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Room for records, and inodes."""
    free, total, inodes = around.disk(config.data_dir)
    said = f"{free / GIB:.1f} of {total / GIB:.1f} GiB are free for {config.data_dir}"
    cure = f"make room on the disk of {config.data_dir}, or move data_dir to a larger one"
    if free < FULL_BYTES:
        yield Finding("disk", Level.PROBLEM, f"the disk is full: {said}", cure)
    elif inodes < FEW_INODES:
        yield Finding("disk", Level.WARNING, f"only {inodes:.0%} of the inodes are free for {config.data_dir}",
                      "many small files stand there: remove what is not needed")  # fmt: skip
    elif free < LITTLE_BYTES and free < total * LITTLE_SHARE:
        yield Finding("disk", Level.WARNING, f"the disk is nearly full: {said}", cure)
    else:
        yield Finding("disk", Level.GOOD, said)


def clock(_config: Config, around: Surroundings) -> Iterator[Finding]:
    """Certificates, records and nonces need the right time."""
    cure = "apt-get install systemd-timesyncd; timedatectl set-ntp true"
    if around.wall < around.built_at - 86_400:
        yield Finding("clock", Level.PROBLEM, "the clock is before the day pbxd was installed: it is wrong", cure)
    elif around.synchronised is False:
        yield Finding("clock", Level.WARNING, "the kernel says the clock is not synchronised with others", cure)
    elif around.synchronised is None:
        yield Finding("clock", Level.NOTE, "the kernel does not tell whether the clock is synchronised",
                      "timedatectl shows it")  # fmt: skip
    else:
        yield Finding("clock", Level.GOOD, "the clock is synchronised")


def limits(config: Config, around: Surroundings) -> Iterator[Finding]:
    """Open files, and ports of sound, for as many calls as are let in."""
    needed = config.calls.max * FILES_A_CALL + config.sip.max_connections + OTHER_FILES
    running = around.daemon
    limit = running.file_limit if running and running.file_limit else around.file_limits[1]
    if limit < needed:
        fit = max(0, limit - OTHER_FILES) // FILES_A_CALL
        yield Finding("limits", Level.WARNING, f"{limit} open files allowed, {needed} needed: {fit} calls fit",
                      f"LimitNOFILE={needed} (systemctl edit pbxd), or a lower calls.max")  # fmt: skip
    else:
        yield Finding("limits", Level.GOOD, f"{limit} open files allowed, {needed} needed for {config.calls.max} calls")
    ports = config.rtp.ports
    room = (ports.last - ports.first + 1) // FILES_A_CALL
    if room < config.calls.max:
        yield Finding("limits", Level.WARNING, f"rtp.ports {ports} is enough for {room} calls, not {config.calls.max}",
                      f"{config.calls.max * FILES_A_CALL} ports in rtp.ports, or a lower calls.max")  # fmt: skip
