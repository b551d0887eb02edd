"""The process around the house: its rights and limits, signals, what systemd is told, the card of the first start."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from pbxd import __version__
from pbxd.app import App
from pbxd.cli import Exit, print_problems
from pbxd.config import Config, ConfigError, check_ports, load
from pbxd.directory.first_start import Card
from pbxd.errors import HouseError
from pbxd.logs import LogFormat, Logs, get_logger
from pbxd.readiness import Readiness
from pbxd.sip.flow import place
from pbxd.sip.transport import BindError
from pbxd.store.data_dir import DataDirectoryError

FILES_A_CALL = 4  # RTP and RTCP of two legs
OTHER_FILES = 256
CARD_NAME = "card.txt"
# What keeps us from starting, each with a sentence of its own (StoreError and CertificateError are HouseErrors)
REFUSALS = (BindError, DataDirectoryError, HouseError, OSError)
RESTART_AFTER_S = 0.5  # the answer to who asked for it goes out first
UNFIT_POLL_S = 0.5  # what recovers is fed before its time is up
# Calls free themselves when they end, so cycles are rare; but what transactions keep for 32 s is much to look at, and
# nothing else runs meanwhile: look seldom, and at little.
GC_THRESHOLDS = (5_000, 10, 100)

log = get_logger(part="daemon")


def run(arguments: argparse.Namespace) -> int:
    """`pbxd run`: everything from reading the configuration to the last line of the log. Gives the exit code."""
    os.umask(0o077)
    try:
        config = load(arguments.file, arguments.overrides)
        if problems := check_ports(config):
            raise ConfigError(problems)
    except ConfigError as error:
        print_problems(error)
        return Exit.MISTAKE
    logs = Logs.start(config.log.level.value, LogFormat(config.log.format.value), sys.stderr)
    try:
        _raise_file_limit(config)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            daemon = _Daemon(config, arguments, logs)
            code = runner.run(daemon.live())
    finally:
        logs.close()
    if daemon.again:
        os.execv(sys.executable, [sys.executable, "-m", "pbxd", *sys.argv[1:]])  # noqa: S606 - ourselves, by request
    return code


class _Daemon:
    """One life of the process."""

    def __init__(self, config: Config, arguments: argparse.Namespace, logs: Logs) -> None:
        self._file: Path = arguments.file
        self._overrides: Sequence[str] = arguments.overrides
        self._readiness = Readiness()
        self._app = App(config, logs)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._reloads: asyncio.Queue[None] = asyncio.Queue()
        self.again = False
        self._app.read_config = lambda: load(self._file, self._overrides)
        self._app.restart = self._asked_to_restart

    async def live(self) -> int:
        """From start to stop; gives the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.put_nowait, None)
        try:
            await self._app.start()
        except REFUSALS as error:
            for problem in error.problems if isinstance(error, BindError) else [str(error)]:
                log.critical("pbxd cannot start", reason=problem)
            return Exit.REFUSED
        async with asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(self._reload_when_asked()), tasks.create_task(self._feed_watchdog())]
            self._started()
            await self._stop.wait()
            await self._end()
            for task in beside:
                task.cancel()
        log.info("stopped")
        return Exit.DONE

    def _started(self) -> None:
        gc.collect()
        gc.freeze()  # what is there now stays: a full collection need not look at it again (DESIGN rule 2)
        gc.set_threshold(*GC_THRESHOLDS)
        if self._app.card:
            addresses = self._app.telephony.transports.addresses.reachable
            try:
                _show(self._app.card, self._app.config, addresses)
            except OSError as error:
                cure = "pbxd phones rotate EXTENSION, and pbxd key reset-admin"
                log.error("the passwords of the first start cannot be kept", reason=str(error), new_ones=cure)
            self._app.card = None
        bound = self._app.telephony.transports.bound
        sip = [place(transport, *address) for transport, addresses in bound.items() for address in addresses]
        log.info("ready", version=__version__, node=self._app.config.node, pid=os.getpid(), sip=sip)
        self._readiness.ready("answering calls")

    def _asked_to_stop(self) -> None:
        """The first signal drains, the second one does not wait."""
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _asked_to_restart(self) -> None:
        """As a stop, and then the same process begins anew: for systemd and the terminal it never ended."""
        self.again = True
        asyncio.get_running_loop().call_later(RESTART_AFTER_S, self._stop.set)

    async def _end(self) -> None:
        self._readiness.stopping("waiting for calls to end")
        calls = len(self._app.telephony.switch.calls)
        log.info("stopping", calls=calls, drain_s=self._app.config.calls.drain_s)
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(self._app.drain(self._app.config.calls.drain_s))
            hurrying = tasks.create_task(self._hurry.wait())
            await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
            if not draining.done():
                draining.cancel()
                await self._app.drain(0)
            hurrying.cancel()
        await self._app.stop()

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reloads.get()
            self._readiness.reloading()
            try:
                await self._app.reload(await asyncio.to_thread(load, self._file, self._overrides))
            except ConfigError as error:
                for problem in error.problems:
                    log.error("the changed configuration is not good", problem=str(problem))
                log.error("the old configuration stays in force", problems=len(error.problems))
            except Exception:  # whatever it is, calls go on
                log.exception("the changed configuration could not be taken up")
            self._readiness.ready("answering calls")

    async def _feed_watchdog(self) -> None:
        """That this runs says that the loop turns; the wire thread has to as well. Where it stays stalled, systemd
        hears nothing, and starts us again."""
        interval = self._readiness.watchdog_interval_s
        fed = True
        while interval:
            if self._app.fit:
                self._readiness.alive()
                fed = True
                await asyncio.sleep(interval)
                continue
            if fed:
                log.critical("the watchdog is not fed: the wire thread is stalled, and a restart is its only cure")
            fed = False
            await asyncio.sleep(min(UNFIT_POLL_S, interval))


def _raise_file_limit(config: Config) -> None:
    """Each leg has two sockets: raise RLIMIT_NOFILE as far as the calls and connections allowed would need."""
    needed = config.calls.max * FILES_A_CALL + config.sip.max_connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    for limits in ((needed, max(hard, needed)), (min(needed, hard), hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            break
        except (ValueError, OSError):
            continue
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        room = max(0, soft - OTHER_FILES) // FILES_A_CALL
        log.warning("the limit of open files is low: raise LimitNOFILE", limit=soft, needed=needed, calls_that_fit=room)


def _show(card: Card, config: Config, addresses: Sequence[str]) -> None:
    """Show the secrets of a first start once: on the terminal, or in a file that only we can read. Never in the log."""
    text = card_text(card, config, addresses)
    if sys.stdout.isatty():
        print(text, flush=True)
        return
    path = config.data_dir / CARD_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    log.info("the passwords of the first start are in a file: read it, then remove it", file=str(path))


def card_text(card: Card, config: Config, addresses: Sequence[str]) -> str:
    """What a person needs to make the first call. `addresses` are ours, as phones reach them."""
    sip = config.sip
    listeners = {"UDP": sip.udp, "TCP": sip.tcp, "TLS": sip.tls}
    ports = [
        f"{kind} {', '.join(dict.fromkeys(str(address.port) for address in at))}"
        for kind, at in listeners.items()
        if at
    ]
    echoes = [number for number, extension in config.extensions.items() if extension.echo]
    api = config.http.public_url or f"http://{config.http.listen}"
    lines = [
        "pbxd: your house is ready. This is shown only once.",
        "",
        f"  SIP server    {' or '.join(addresses) or 'the address of this machine'}",
        f"  ports         {', '.join(ports)}",
        f"  domain/realm  {card.realm} (most phones need only the address)",
        "",
        "  extension  password",
        *(f"  {extension:<9}  {password}" for extension, password in card.phones),
        "",
        "  to dial       " + ", ".join(["any extension above", *(f"{number} for an echo" for number in echoes)]),
        f"  API           {api}/house/v1 (described at /openapi/house.json)",
    ]
    if card.admin_key:
        lines.append(f"  API key       {card.admin_key}   (header X-API-Key)")
    return "\n".join([*lines, "", "  a new password: pbxd phones rotate EXTENSION"])
