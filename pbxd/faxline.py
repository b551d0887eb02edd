"""The house's own fax line: sends the pages of a TIFF to a number, and receives at extensions of its own.

Whoever keeps faxes sets `received`; until then what comes in stays in the folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from media.fax import FaxEvent, FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxReceived, FaxResult
from media.fax_session import FaxLimits, remove_empty
from media.faxing import FaxEngine
from media.tiff import count_pages
from pbxd.calls.call import Call
from pbxd.calls.faxes import FaxAct, FaxTask, Side, undialled
from pbxd.calls.identity import Caller
from pbxd.calls.record import CallRecord
from pbxd.calls.switch import Switch
from pbxd.directory.model import Extension
from pbxd.errors import HouseError, NotFound

log = logging.getLogger(__name__)

Progress = Callable[[Sequence[FaxEvent]], None]


class FaxLine:
    """Faxes over SIP. `received` hears of each fax that came in, whole or in part; all in the event loop's thread.

    `flush` sends what the stack has to say. Received TIFFs are made in `folder`; who is told of one may move it away.
    """

    def __init__(self, clock: Callable[[], float], folder: Path, flush: Callable[[], None]) -> None:
        self._clock = clock
        self._folder = folder
        self._flush = flush
        self._loop: asyncio.AbstractEventLoop | None = None
        self.engine = FaxEngine(clock)
        self.switch: Switch | None = None
        self.ident = ""
        self.header = ""
        self.limits = FaxLimits()
        self.received: Callable[[FaxReceived], None] = self._keep
        self.ended: Counter[tuple[str, str]] = Counter()  # by way and result
        self.pages: Counter[str] = Counter({"in": 0, "out": 0})  # that were confirmed

    def start(self) -> None:
        """Begins to step modems. Raises OSError when the folder cannot be made."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._loop = asyncio.get_running_loop()
        self.engine.start()

    async def stop(self) -> None:
        """Faxes that are still up end as hung up."""
        await asyncio.to_thread(self.engine.stop)

    # ---- in

    def act(self, extension: Extension, record: CallRecord) -> FaxAct:
        """Receives a fax at an extension."""
        document = self._folder / f"{record.id}.tif"
        self._label(document, record)
        mode = FaxMode(str(extension.options.get("mode", FaxMode.AUTO.value)))
        options = FaxOptions(ident=self.ident, mode=mode)

        def over(outcome: FaxOutcome) -> None:
            kept = document if remove_empty(document) else None
            if kept is None:
                _label_of(document).unlink(missing_ok=True)
            elif outcome.result is FaxResult.SUCCESS:
                self._label(document, record, whole=True)
            self._count("in", outcome)
            log.info("a fax came in: %s", _told(outcome), extra={"call": record.id})
            self.received(FaxReceived(record.id, record.account_id, record.called, record.caller, kept, outcome))

        return FaxAct(self.engine, FaxTask(Side.RECEIVES, document, options, self.limits), self._hand_over, over)

    def left_behind(self) -> list[FaxReceived]:
        """What an earlier process received and nobody took, with the pages that came; what was not whole counts as hung
        up."""
        found = []
        for label in sorted(self._folder.glob("*.json")):
            document = label.with_suffix(".tif")
            try:
                said = json.loads(label.read_text("utf-8"))
                of = [str(said[name]) for name in _LABEL]
                pages = count_pages(document) if remove_empty(document) else 0
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("a fax of an earlier process cannot be taken up: %s", error)
                continue
            if not pages:
                label.unlink(missing_ok=True)
                continue
            whole = said.get("whole") is True
            result, reason = (FaxResult.SUCCESS, FaxReason.OK) if whole else (FaxResult.PARTIAL, FaxReason.HUNG_UP)
            outcome = FaxOutcome(result, reason, pages_confirmed=pages, detail="the house ended")
            found.append(FaxReceived(of[0], of[1], of[2], of[3], document, outcome))
        return found

    def _label(self, document: Path, record: CallRecord, *, whole: bool = False) -> None:
        """Says beside the pages whose they are, for when this process does not live to say it."""
        said: dict[str, str | bool] = {"whole": whole}
        said |= zip(_LABEL, (record.id, record.account_id, record.called, record.caller), strict=True)
        try:
            _label_of(document).write_text(json.dumps(said), "utf-8")
        except OSError as error:
            log.warning("a fax that comes in cannot be labelled: %s", error)

    # ---- out

    async def send(
        self,
        number: str,
        tiff: Path,
        options: FaxOptions,
        *,
        account_id: str = "",
        progress: Progress | None = None,
    ) -> FaxOutcome:
        """Calls `number` and sends the pages of `tiff`; says how that went, whatever happened. Who cancels this hangs
        up."""
        done: asyncio.Future[FaxOutcome] = asyncio.get_running_loop().create_future()

        def over(outcome: FaxOutcome) -> None:
            self._count("out", outcome)
            if not done.done():
                done.set_result(outcome)

        task = FaxTask(Side.SENDS, tiff, options, self.limits)
        act = FaxAct(self.engine, task, self._hand_over, over, progress)
        call = self._dial(number, act, options, account_id, over)
        if isinstance(call, FaxOutcome):
            return call
        try:
            outcome = await done
        except asyncio.CancelledError:
            act.cancel()
            call.hangup(self._clock(), reason="the fax was cancelled")
            self._flush()
            raise
        log.info("a fax went out: %s", _told(outcome), extra={"call": call.record.id})
        return outcome

    def _dial(
        self, number: str, act: FaxAct, options: FaxOptions, account_id: str, over: Callable[[FaxOutcome], None]
    ) -> Call | FaxOutcome:
        def ended(call: Call) -> None:
            if call.record.answered_at is None:
                over(undialled(call))

        caller = Caller(options.ident.replace(" ", ""), self.header)
        if self.switch is None:
            return FaxOutcome(FaxResult.FAILED, FaxReason.NO_ROUTE, detail="the house is not up yet")
        try:
            return self.switch.send_out(account_id, number, act, caller, ended, options.mode)
        except NotFound as error:
            return FaxOutcome(FaxResult.FAILED, FaxReason.NO_ROUTE, detail=error.message)
        except HouseError as error:
            return FaxOutcome(FaxResult.FAILED, FaxReason.REJECTED, detail=error.message)
        finally:
            self._flush()

    # ---- inside

    def _count(self, way: str, outcome: FaxOutcome) -> None:
        self.ended[way, outcome.result.value] += 1
        self.pages[way] += outcome.pages_confirmed

    def _hand_over(self, what: Callable[[], None]) -> None:
        """From the thread of the modems."""

        def do() -> None:
            what()
            self._flush()

        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(do)

    def _keep(self, fax: FaxReceived) -> None:
        """Nobody else takes it: it stays where it is."""


_LABEL = ("call", "account", "called", "caller")


def _label_of(document: Path) -> Path:
    return document.with_suffix(".json")


def _told(outcome: FaxOutcome) -> str:
    """In words, for the log."""
    of = f" of {outcome.pages_total}" if outcome.pages_total else ""
    way = f"{outcome.transport.value}, {outcome.speed} bit/s" if outcome.speed else "no pages"
    return f"{outcome.result.value} ({outcome.reason.value}), {outcome.pages_confirmed}{of} pages, {way}"
