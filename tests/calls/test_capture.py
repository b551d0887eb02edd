"""tshark, which knows nothing of us, reads the captures of our calls and sees what their ladders say."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from media.headers import RECORD, TICK_NS, LegHeaders
from pbxd.sip.flow import Transport
from pbxd.trace import Recording, SipMessage, Sound
from pbxd.trace.capture import pcap
from pbxd.trace.ladder import Ladder, step_of
from tests.calls.house import Handset, House
from tests.calls.ladders import ladder
from tests.calls.test_call import phones, talk

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

CHECKED = ("-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
Row = dict[str, str]


def tshark(file: Path, fields: str, *options: str) -> list[Row]:
    """One row a packet, by field."""
    names = fields.split()
    wanted = [part for name in names for part in ("-e", name)]
    command = ["tshark", "-r", str(file), "-T", "fields", "-E", "separator=|", "-E", "occurrence=f", *CHECKED]
    outcome = subprocess.run([*command, *options, *wanted], capture_output=True, text=True, check=True, timeout=60)
    return [dict(zip(names, line.split("|"), strict=True)) for line in outcome.stdout.splitlines()]


def seen(file: Path, version: str = "ip", transport: str = "udp") -> list[tuple[str, ...]]:
    """What tshark makes of each SIP message: from, to, method or status, Call-ID, CSeq."""
    rows = tshark(
        file,
        f"{version}.src {transport}.srcport {version}.dst {transport}.dstport sip.Method sip.Status-Code sip.Call-ID "
        f"sip.CSeq.method {transport}.checksum.status _ws.malformed",
    )
    assert {row[f"{transport}.checksum.status"] for row in rows} == {"1"}, "a checksum is wrong"
    assert not any(row["_ws.malformed"] for row in rows)
    return [tuple(list(row.values())[:-2]) for row in rows]


def told(recording: Recording) -> list[tuple[str, ...]]:
    """The same from the trace."""
    rows = []
    for entry in recording.entries:
        if isinstance(entry, SipMessage):
            first, *lines = entry.data.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines if ": " in line)
            status = first.split(" ")[1] if first.startswith("SIP/2.0 ") else ""
            method = "" if status else first.split(" ")[0]
            ends = (entry.local, entry.remote) if entry.outward else (entry.remote, entry.local)
            places = [str(part) for end in ends for part in end]
            rows.append((*places, method, status, headers["Call-ID"], headers["CSeq"].split(" ")[1]))
    return rows


async def test_a_call(house: House, tmp_path: Path) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    house.wire.after(5)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    recording = house.recording()
    file = tmp_path / "call.pcap"
    file.write_bytes(pcap(recording))
    assert seen(file) == told(recording)
    assert len(told(recording)) == 13
    assert Counter(line for line in ladder(recording) if line.startswith(("state", "decision"))) == Counter(
        [
            "state: started",
            "decision: the caller is trunk anyone, by its address; 1002 rings the phones of user 1002",
            "decision: rings 1002 at udp:10.0.0.3:5060",
            "state: ringing",
            "state: answered",
            "state: ended by the caller: the caller hung up (200, Q.850 16)",
        ]
    )


async def test_failed_calls(house: House, tmp_path: Path) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    alice >> "INVITE" >> house >> 100 >> alice
    house >> "INVITE" >> bob >> 486 >> house >> "ACK" >> bob
    house >> 486 >> alice >> "ACK" >> house
    alice.number = "777"
    alice >> "INVITE" >> house >> 100 >> alice
    house >> 404 >> alice >> "ACK" >> house
    busy, nowhere = (house.recording(record.id) for record in house.records)
    for name, recording in (("busy", busy), ("nowhere", nowhere)):
        file = tmp_path / f"{name}.pcap"
        file.write_bytes(pcap(recording))
        assert seen(file) == told(recording)
    assert "decision: 1002 at udp:10.0.0.3:5060 refused (486)" in ladder(busy)
    assert ladder(nowhere) == [
        "< 2 INVITE 777 +SDP",
        "decision: the caller is trunk anyone, by its address; no route (404): no such number",
        "state: started",
        "state: ended by the house: no such number (404, Q.850 1)",
        "> 2 100 Trying (INVITE)",
        "> 2 404 Not Found (INVITE)",
        "< 2 ACK 777",
    ]


async def test_who_is_challenged_can_be_asked_why(house: House) -> None:
    asker = Handset(house.wire, "asker")
    data = (
        b"INVITE sip:600@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1\r\n"
        b"From: <sip:1001@lab.test>;tag=1\r\nTo: <sip:600@lab.test>\r\nCall-ID: why\r\nCSeq: 1 INVITE\r\n"
        b"Contact: <sip:a@10.0.0.2>\r\nContent-Length: 0\r\n\r\n"
    )
    house.wire.shout(data, asker, house)
    assert ladder(house.recording("why")) == [
        "< 2 INVITE 600",
        "decision: challenged with 401: no credentials",
        "> 2 401 Unauthorized (INVITE)",
    ]


async def test_a_call_over_tcp_and_one_in_ipv6(house: House, tmp_path: Path) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    recording = house.recording()

    def moved(transport: Transport, prefix: str) -> Recording:
        entries = [
            entry._replace(
                transport=transport.value,
                local=(prefix + entry.local[0].rpartition(".")[2], entry.local[1]),
                remote=(prefix + entry.remote[0].rpartition(".")[2], entry.remote[1] + 7),
            )
            if isinstance(entry, SipMessage)
            else entry
            for entry in recording.entries
        ]
        return replace(recording, entries=tuple(entries))

    for transport, prefix, version in (
        (Transport.TCP, "10.1.1.", "ip"),
        (Transport.UDP, "2001:db8::", "ipv6"),
        (Transport.TCP, "2001:db8::", "ipv6"),
    ):
        file = tmp_path / f"{transport.value}-{version}.pcap"
        there = moved(transport, prefix)
        file.write_bytes(pcap(there))
        assert seen(file, version, transport.value.lower()) == told(there)


async def test_sound_is_dissected_as_rtp_of_the_call(house: House, tmp_path: Path) -> None:
    """The description in the call tells tshark which ports are RTP."""
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    recording = house.recording()
    local = next(
        int(entry.data.split(b"m=audio ")[1].split(b" ")[0])
        for entry in recording.entries
        if isinstance(entry, SipMessage) and entry.outward and b"m=audio" in entry.data
    )
    bell = 3000 * TICK_NS
    records = b"".join(
        RECORD.pack(tick << 4 | 160 >> 7, way << 7 | 160 & 127, bytes([0, 0, number]) + bytes(3) + b"\xa0" + b"SSRC")
        for number, (tick, way) in enumerate([(1000, 0), (2000, 1), (3000, 0)])
    )
    sound = Sound(("10.0.0.1", local), ("10.0.0.3", 4000), LegHeaders(records, bell))
    file = tmp_path / "sound.pcap"
    file.write_bytes(pcap(replace(recording, sounds=(sound,), offset=recording.started_at)))
    rows = tshark(file, "ip.src udp.dstport rtp.seq rtp.p_type rtp.ssrc udp.length frame.cap_len", "-Y", "rtp")
    assert [tuple(row.values()) for row in rows] == [
        ("10.0.0.3", str(local), "0", "0", "0x53535243", "180", "40"),
        ("10.0.0.1", "4000", "1", "0", "0x53535243", "180", "40"),
        ("10.0.0.3", str(local), "2", "0", "0x53535243", "180", "40"),
    ]


async def test_a_ladder_as_text(house: House) -> None:
    alice, bob = phones(house, "alice", "bob")
    house.register("1002", bob)
    talk(alice, house, bob)
    alice >> "BYE" >> house >> 200 >> alice
    house >> "BYE" >> bob >> 200 >> house
    lines = list(Ladder().draw([step_of(entry) for entry in house.recording().entries]))
    assert lines[0].split() == ["UDP:10.0.0.2:5060", "pbxd", "UDP:10.0.0.3:5060"]
    assert lines[1].endswith("|------- INVITE 1002 +SDP ------->|                                 |")
    assert lines[1][:13].strip() == lines[2][:13].strip()
    trying = next(line for line in lines if "100 Trying" in line)
    assert trying.endswith("|<----- 100 Trying (INVITE) ------|                                 |")
    answered = next(line for line in lines if "state: answered" in line)
    assert answered.index("state") > answered.index("|")
