"""Faxes between two houses on loopback, in real time: one page in each mode, beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from media.fax import FaxMode, FaxOptions, FaxOutcome, FaxReason, FaxReceived, FaxResult, FaxTransport
from media.script import Pause
from pbxd.app import App
from pbxd.calls.faxear import CngWatch
from pbxd.calls.record import CallRecord, Direction
from pbxd.calls.stage import Stage
from pbxd.config import Config, load
from pbxd.directory.model import Extension, ExtensionKind
from pbxd.faxline import FaxLine
from pbxd.faxroom import OwnLine
from pbxd.sip.flow import Transport
from tests.clients.block import Block
from tests.media import documents

PATIENCE_S = 70.0
EXTENSIONS = """extensions:
  "601": {digits: true}
  "950": {fax: {mode: auto}}
  "951": {fax: {mode: g711}}
  "952": {fax: {mode: t38}}
"""


def config(folder: Path, ports: str, rest: str, port: int = 0) -> Config:
    folder.mkdir()
    file = folder / "pbxd.yaml"
    file.write_text(
        f"data_dir: {folder}/data\nsip: {{udp: ['127.0.0.1:{port}'], tcp: [], tls: []}}\n"
        f"http: {{listen: '127.0.0.1:0'}}\nrtp: {{ports: {ports}}}\n{rest}",
        encoding="utf-8",
    )
    return load(file, [])


class Houses:
    """One that sends, one that receives, or passes on to a number of the first."""

    def __init__(self, sender: App, receiver: App) -> None:
        self.sender, self.receiver = sender, receiver
        self.came: list[FaxReceived] = []
        self.came_back: list[FaxReceived] = []
        self.paged: list[int] = []
        sender.telephony.fax_line.received = self.came_back.append
        line = receiver.telephony.fax_line
        line.received = self.came.append
        receiver.telephony.acts[ExtensionKind.DIGITS] = partial(Reception, line)

    async def send(self, number: str, document: Path, mode: FaxMode) -> FaxOutcome:
        options = FaxOptions(ident="+12025550100", header="pbxd", mode=mode)
        async with asyncio.timeout(PATIENCE_S):
            line = OwnLine(self.sender.telephony.fax_line)
            return await line.send(number, document, options, self.paged.append, account_id="")


@pytest.fixture
async def houses(tmp_path: Path, block: Block) -> AsyncIterator[Houses]:
    first, last = (int(port) for port in block.rtp_ports.split("-"))
    middle = (first + last) // 2 // 2 * 2
    near = block.port(0)
    back = f"back: {{proxy: 'sip:127.0.0.1:{near}'}}"
    receiving = (
        f"{EXTENSIONS}trunks: {{peer: {{sources: [127.0.0.1], transit: true}}, {back}}}\n"
        "routes: [{match: 995X, trunk: back, strip: 1}]\n"
    )
    receiver = App(config(tmp_path / "receiver", f"{first}-{middle - 1}", receiving))
    await receiver.start()
    host, port = receiver.telephony.transports.bound[Transport.UDP][0]
    routes = "routes: [{match: 95X, trunk: far}, {match: 60X, trunk: far}, {match: 995X, trunk: far}]"
    sending = f"{EXTENSIONS}trunks: {{far: {{proxy: 'sip:{host}:{port}', sources: [127.0.0.1]}}}}\n{routes}\n"
    sender = App(config(tmp_path / "sender", f"{middle}-{last}", sending, near))
    await sender.start()
    yield Houses(sender, receiver)
    await sender.stop()
    await receiver.stop()


class Reception:
    """Answers in a voice's way, and gives the call to the fax line when it hears that a fax is calling."""

    def __init__(self, line: FaxLine, extension: Extension, record: CallRecord) -> None:
        self._fax = partial(line.act, extension, record)

    def begin(self, stage: Stage, now: float) -> None:
        self._stage = stage
        stage.answer(now)
        stage.play((Pause(30.0),))
        self._watch = CngWatch(stage, self._a_fax)

    def digit(self, digit: str, now: float) -> None:
        """Nobody presses any."""

    def talking(self, talks: bool) -> None:
        """A fax does not talk."""

    def leave(self, now: float) -> None:
        self._watch.stop()

    def _a_fax(self, now: float) -> None:
        self._stage.lend(self._fax(), lambda reason, later: self._stage.hangup(later, reason), now)


def record(call_id: str) -> CallRecord:
    return CallRecord(call_id, "acc_1", Direction.INBOUND, "+15551112222", "", "950", 0.0)


def test_what_an_earlier_process_received_is_taken_up(tmp_path: Path) -> None:
    """A process that was killed in mid-fax leaves its pages, and beside them whose they are."""
    extension = Extension("ext_1", "acc_1", "950", ExtensionKind.FAX)
    for call_id, pages in (("call_1", 2), ("call_2", 0), ("call_3", 1)):
        FaxLine(lambda: 0.0, tmp_path, lambda: None).act(extension, record(call_id))
        if pages:
            documents.write(tmp_path / f"{call_id}.tif", documents.pages(pages))
    (tmp_path / "call_3.json").write_text("{")
    line = FaxLine(lambda: 0.0, tmp_path, lambda: None)
    act = line.act(extension, record("call_4"))
    documents.write(tmp_path / "call_4.tif", documents.pages(1))
    act._over(FaxOutcome(FaxResult.SUCCESS, FaxReason.OK, pages_confirmed=1))  # and nobody took it
    taken, finished = FaxLine(lambda: 0.0, tmp_path, lambda: None).left_behind()
    assert (taken.call_id, taken.account, taken.called, taken.caller) == ("call_1", "acc_1", "950", "+15551112222")
    assert (taken.tiff, taken.outcome.result, taken.outcome.pages_confirmed) == (
        *(tmp_path / "call_1.tif", FaxResult.PARTIAL, 2),
    )
    assert (finished.call_id, finished.outcome.result) == ("call_4", FaxResult.SUCCESS)
    for rest in ("json", "tif"):
        (tmp_path / f"call_4.{rest}").unlink()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["call_1.json", "call_1.tif", "call_3.json", "call_3.tif"]


AUDIO, T38 = FaxTransport
WAYS = [
    ("950", FaxMode.AUTO, T38),
    ("951", FaxMode.AUTO, AUDIO),
    ("952", FaxMode.AUTO, T38),
    ("950", FaxMode.T38, T38),
    ("950", FaxMode.G711, AUDIO),
    ("951", FaxMode.PASSTHROUGH, AUDIO),
    ("601", FaxMode.AUTO, T38),  # a number that voice and fax share
]
PASSED_ON = [  # through the other house, to a number of this one
    ("9950", FaxMode.T38, T38),
    ("9951", FaxMode.T38, T38),  # T.38 to G.711
    ("9952", FaxMode.G711, AUDIO),  # and the other way round
]


async def test_a_page_in_every_mode(tmp_path: Path, houses: Houses) -> None:
    sent = documents.pages(1)
    document = documents.write(tmp_path / "sent.tif", sent)
    ways = (*WAYS, *PASSED_ON)
    outcomes = await asyncio.gather(*(houses.send(number, document, mode) for number, mode, _ in ways))
    for (number, mode, transport), outcome in zip(ways, outcomes, strict=True):
        assert (outcome.result, outcome.reason, outcome.pages_confirmed, outcome.transport) == (
            FaxResult.SUCCESS,
            FaxReason.OK,
            1,
            transport,
        ), (number, mode, outcome)
    assert (len(houses.came), len(houses.came_back)) == (len(WAYS), len(PASSED_ON))
    assert houses.paged == [1] * len(ways)
    arrived = sorted((fax.called, fax.outcome.transport) for fax in houses.came_back)
    assert arrived == [("950", T38), ("951", AUDIO), ("952", T38)]
    engine = houses.receiver.telephony.fax_line.engine
    assert (engine.relays, engine.gateways) == (1, 2)
    for fax in (*houses.came, *houses.came_back):
        assert (fax.outcome.result, fax.outcome.pages_confirmed) == (FaxResult.SUCCESS, 1)
        assert fax.outcome.remote_ident == "+12025550100"
        assert fax.tiff is not None
        (page,) = documents.read(fax.tiff)
        assert page.endswith(sent[0])
