"""Seeing into a running house from the command line: a call by hand, its ladder, its capture, drops, debug switches."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pbxd import insight
from pbxd.app import SOCKET_NAME, App
from pbxd.cli import Exit, act, build_parser
from pbxd.sip.flow import Transport
from pbxd.trace import Note, recorder
from tests.clients.hand import Hand, calling
from tests.test_app import _config

RTP = bytes.fromhex("80000001000000a0cafecafe") + b"\x11" * 160
SAID = 5


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = App(_config(tmp_path))
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
async def caller(app: App) -> AsyncIterator[Hand]:
    async with calling(app.telephony.transports.bound[Transport.UDP][0]) as caller:
        yield caller


async def command(app: App, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    path = str(app.config.data_dir / SOCKET_NAME)
    code = await asyncio.to_thread(act, build_parser(insight.add_commands).parse_args([*words, "--socket", path]))
    said = capsys.readouterr()
    return code, said.out + said.err


async def _speak(app: App) -> None:
    """Five packets to the echo, all of them heard again."""
    (call,) = app.telephony.switch.calls.values()
    assert call.caller is not None
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.setblocking(False)
        for number in range(SAID):
            packet = RTP[:3] + bytes([number]) + RTP[4:]
            await loop.sock_sendto(phone, packet, call.caller.media.local)
            async with asyncio.timeout(10):
                await loop.sock_recv(phone, 2000)
    track = app.telephony.trace.find(call.record.id)
    assert track is not None
    async with asyncio.timeout(10):
        while not any(isinstance(entry, Note) and "first packet" in entry.text for entry in track.entries):
            await app.traces.news(call.record.id, track.next, 10)


async def test_a_call_is_followed_while_it_is_up(app: App, caller: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    (name,) = app.telephony.switch.calls
    following = asyncio.create_task(command(app, capsys, "trace", "-f", name))
    await _speak(app)
    assert app.telephony.hangup(name)
    caller.agree(await caller.hear("BYE"))
    code, text = await following
    assert code == Exit.DONE
    for wanted in (
        "INVITE 600 +SDP",
        "decision: the caller is trunk peer, by its address; 600 is an echo",
        "200 OK (INVITE) +SDP",
        "state: answered",
        "media: caller agreed: PCMU, 20 ms, with 127.0.0.1 port 9; we send and receive",
        "media: caller latched: its sound comes from 127.0.0.1",
        "media: caller sends its first packet",
        "state: ended by the house: hung up by the house (200, Q.850 16)",
        "200 OK (BYE)",
    ):
        assert wanted in text, text
    code, text = await command(app, capsys, "trace", "by-hand", "-v")
    assert code == Exit.DONE
    assert "    m=audio 9 RTP/AVP 0\n" in text
    assert f"media: caller over: {SAID} packets came, {SAID} went" in text


async def test_a_capture_of_a_call_that_is_up_has_its_sound(
    app: App, caller: Hand, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _speak(app)
    file = tmp_path / "call.pcap"
    code, text = await command(app, capsys, "pcap", "by-hand", "-o", str(file))
    assert (code, file.stat().st_mode & 0o777) == (Exit.DONE, 0o600), text
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    port = app.telephony.switch.calls.popitem()[1].record.legs[0]
    assert port.codec == "PCMU"
    listing = await asyncio.to_thread(
        subprocess.run, ["tshark", "-r", str(file), "-o", "rtp.heuristic_rtp:TRUE"], capture_output=True, text=True
    )
    lines = listing.stdout.splitlines()
    assert sum("INVITE sip:600@" in line for line in lines) == 1
    assert sum("SSRC=0x" in line for line in lines) == 2 * SAID, listing.stdout


async def test_a_picture_of_a_call(
    app: App, caller: Hand, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await _speak(app)
    file = tmp_path / "call.svg"
    code, text = await command(app, capsys, "picture", "by-hand", "-o", str(file))
    assert (code, file.stat().st_mode & 0o777) == (Exit.DONE, 0o600), text
    assert "What the caller said" in file.read_text()
    assert (await command(app, capsys, "picture", "by-hand", "-o", "call.gif"))[0] == Exit.MISTAKE
    monkeypatch.setattr(insight, "RASTERISER", "no-such-program")
    code, text = await command(app, capsys, "picture", "by-hand", "-o", str(tmp_path / "call.png"))
    assert (code, "PNG needs no-such-program" in text) == (Exit.REFUSED, True)
    assert not (tmp_path / "call.png").exists()


async def _listening(app: App) -> None:
    """Return when the sound of something is wanted."""
    trace, changed = app.telephony.trace, asyncio.Event()
    change = trace.on_listen
    assert change is not None

    def look() -> None:
        change()
        changed.set()

    trace.on_listen = look
    await changed.wait()


async def test_sound_is_captured_when_asked_for_beforehand(
    app: App, caller: Hand, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LAST_WORDS_S", 0.0)
    await app.reload(_config(tmp_path, "trace.audio=allowed"))
    (name,) = app.telephony.switch.calls
    file = tmp_path / "sound.pcap"
    capturing = asyncio.create_task(command(app, capsys, "pcap", "--audio", name, "-o", str(file)))
    async with asyncio.timeout(10):
        await _listening(app)
        await _speak(app)
    app.telephony.listening.carry()
    app.telephony.hangup(name)
    caller.agree(await caller.hear("BYE"))
    code, text = await capturing
    assert code == Exit.DONE, text
    assert app.telephony.trace.switches == {}
    assert file.read_bytes().count(RTP[12:]) == 2 * SAID
    code, text = await command(app, capsys, "pcap", name, "-o", str(tmp_path / "headers.pcap"))
    assert code == Exit.DONE
    assert RTP[12:] not in (tmp_path / "headers.pcap").read_bytes()

    await app.reload(_config(tmp_path))
    assert app.telephony.trace.tape(name) is None
    code, text = await command(app, capsys, "pcap", "--audio", "1001", "-o", str(tmp_path / "no.pcap"))
    wanted = "pbxd: the sound of calls must not be captured here: the setting trace.audio is forbidden\n"
    assert (code, text.splitlines(keepends=True)[-1]) == (Exit.REFUSED, wanted)
    assert not (tmp_path / "no.pcap").exists()


async def test_no_trace_of_what_never_was(app: App, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = await command(app, capsys, "trace", "nobody@nowhere")
    assert (code, text) == (Exit.REFUSED, "pbxd: there is no trace of such a call, dialog or debug target\n")
    code, text = await command(app, capsys, "pcap", "call_x", "-o", str(tmp_path / "none.pcap"))
    assert (code, (tmp_path / "none.pcap").exists()) == (Exit.REFUSED, False)


async def test_drops_are_counted_by_name(app: App, caller: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    caller.transport.sendto(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKno\r\nnot a response\r\n\r\n")
    caller.say("OPTIONS")
    await caller.hear("SIP/2.0 200")
    code, text = await command(app, capsys, "drops")
    assert code == Exit.DONE
    assert [line.split() for line in text.splitlines() if "malformed response" in line] == [
        ["stack", "malformed", "response", "1"]
    ]
    assert text.splitlines()[-1].startswith("1 in all since ")
    code, text = await command(app, capsys, "drops", "--all", "--json")
    assert {row["layer"] for row in json.loads(text)["drops"]} == {"wire", "stack", "transport", "connection", "calls"}


async def test_a_failed_registration_can_be_watched(app: App, caller: Hand, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = await command(app, capsys, "debug", "on", "127.0.0.1", "--for", "2m")
    assert code == Exit.DONE
    assert text.splitlines()[1].split() == ["127.0.0.1", "address", "120", "0", "-"]
    caller.say("REGISTER")
    await caller.hear("SIP/2.0 401")
    code, text = await command(app, capsys, "trace", "127.0.0.1")
    assert code == Exit.DONE
    assert "decision: not registered (401): no credentials" in text
    assert "401 Unauthorized (REGISTER)" in text
    code, text = await command(app, capsys, "debug", "off", "127.0.0.1")
    assert (code, text) == (Exit.DONE, "Nothing is being watched.\n")
    code, text = await command(app, capsys, "debug", "off", "127.0.0.1")
    assert (code, text) == (Exit.REFUSED, "pbxd: that is not being watched\n")
    code, text = await command(app, capsys, "trace", "127.0.0.1")
    assert code == Exit.DONE


async def test_a_trace_outlives_the_daemon(app: App, caller: Hand, tmp_path: Path) -> None:
    (name,) = app.telephony.switch.calls
    app.telephony.hangup(name)
    caller.agree(await caller.hear("BYE"))
    await app.stop()
    again = App(_config(tmp_path))
    await again.start()
    found = await again.traces.find(name)
    await again.stop()
    assert found is not None
    assert found.names == (name, "by-hand")
