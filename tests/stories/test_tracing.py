"""What the owner sees of a call afterwards: ladders, captures that tshark reads, what was watched closely."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.house import PBXD, House
from tests.clients.lab import Lab, converse, end
from tests.clients.phones import Make
from tests.clients.until import until
from tests.clients.witness import Witness, moment, told

FIELDS = "sip.Method sip.Status-Code ip.src udp.srcport ip.dst udp.dstport rtp.ssrc rtp.seq frame.len frame.cap_len"
Row = dict[str, str]


def pbxd(house: House, *words: str) -> str:
    """The command line, and what it prints."""
    socket = str(house.data / "pbxd.sock")
    outcome = subprocess.run(
        [PBXD, *words, "--socket", socket], capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def capture(house: House, call: str, file: Path, *options: str) -> list[Row]:
    """`pbxd pcap`, and each of its packets as tshark sees it."""
    pbxd(house, "pcap", call, "-o", str(file), *options)
    return dissected(file)


def dissected(file: Path) -> list[Row]:
    command = ["tshark", "-r", str(file), "-n", "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f"]
    command += ["-d", "udp.port==20000-31999,sip", "-o", "rtp.heuristic_rtp:TRUE"]
    names = FIELDS.split()
    outcome = subprocess.run(
        [*command, *(word for name in names for word in ("-e", name))], capture_output=True, text=True, check=True
    )
    return [dict(zip(names, line.split("\t"), strict=True)) for line in outcome.stdout.splitlines()]


@pytest.fixture
def tshark(witness: Witness | None) -> Witness:
    """Who watches the wire."""
    if witness is None:
        pytest.skip("tshark is not installed, or must not capture here")
    return witness


def whats(rows: list[Row]) -> list[str]:
    return [row["sip.Method"] or row["sip.Status-Code"] for row in rows if row["sip.Method"] or row["sip.Status-Code"]]


def test_the_ladder_of_a_call_is_what_was_on_the_wire(lab: Lab, tshark: Witness) -> None:
    since = moment()
    end(*converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.BARESIP_DEBIAN, "1002")))
    record = lab.record()
    assert tshark.confirms(lab.house, since) >= 15
    text = pbxd(lab.house, "trace", record["legs"][1]["sip_call_id"])
    for wanted in (
        "decision: challenged with 401: ",
        "decision: the caller is phone 1001, by its password; 1002 rings the phones of user 1002",
        "decision: rings 1002 at udp:",
        "state: answered",
        "media: callee agreed: PCMU, 20 ms, with 127.",
        "media: callee sends its first packet",
        "state: ended by the caller: the caller hung up (200, Q.850 16)",
        "media: caller over: ",
    ):
        assert wanted in text, text


def test_a_witness_who_missed_something_does_not_confirm(lab: Lab, tshark: Witness) -> None:
    lab.phone(Make.PJSUA2, "1001").dial("600").established().hang_up()
    trace = lab.house.get(f"/house/v1/calls/{lab.record()['id']}/trace")
    ladder = told(trace)
    until(lambda: tshark.saw(trace["names"][1:]) == ladder, "tshark to have seen the call")
    key = next(iter(ladder))
    for wrong in ({**ladder, key: ladder[key][1:]}, {**ladder, key: ladder[key][::-1]}, {}):
        assert wrong != tshark.saw(trace["names"][1:])


def test_tshark_reads_the_capture_of_a_call(lab: Lab, tshark: Witness, tmp_path: Path) -> None:
    end(*converse(lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.BARESIP_DEBIAN, "1002")))
    record = lab.record()
    trace = lab.house.get(f"/house/v1/calls/{record['id']}/trace")
    rows = capture(lab.house, record["id"], tmp_path / "call.pcap")
    assert Counter(whats(rows)) == Counter(said.what for saids in told(trace).values() for said in saids)
    assert {"INVITE", "ACK", "BYE", "180", "200"} <= set(whats(rows))
    sound = [row for row in rows if row["rtp.seq"]]
    lines = Counter(
        frozenset([(row["ip.src"], row["udp.srcport"]), (row["ip.dst"], row["udp.dstport"])]) for row in sound
    )
    assert len(lines) == 2, "a line for each leg"
    assert min(lines.values()) > 50
    assert len({row["rtp.ssrc"] for row in sound}) == 4
    assert {(int(row["frame.len"]), int(row["frame.cap_len"])) for row in sound} == {(200, 40)}, "headers only"


def test_tshark_reads_the_capture_of_a_call_that_failed(lab: Lab, tshark: Witness, tmp_path: Path) -> None:
    assert lab.phone(Make.PJSUA2, "1001").dial("4711").ended().code == 404
    record = lab.record()
    rows = capture(lab.house, record["id"], tmp_path / "failed.pcap")
    assert whats(rows)[-2:] == ["404", "ACK"]
    assert whats(rows)[:2] == ["INVITE", "401"]
    assert not [row for row in rows if row["rtp.seq"]]
    assert "decision: the caller is phone 1001, by its password; no route (404): " in pbxd(
        lab.house, "trace", record["id"]
    )


def test_the_sound_of_a_phone_is_captured_when_asked_for_and_allowed(
    new_lab: Callable[..., Lab], tshark: Witness, tmp_path: Path
) -> None:
    lab = new_lab(**{"trace.audio": "allowed"})
    one, other = lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.PJSUA2, "1002")
    pbxd(lab.house, "debug", "on", "1002", "--audio")
    end(*converse(one, other))
    (watched,) = json.loads(pbxd(lab.house, "debug", "--json"))["switches"]
    assert watched["audio"]
    assert watched["packets"] > 50
    assert watched["missed"] == 0
    lab.house.order("DELETE", "/house/v1/debug/1002")
    file = tmp_path / "sound.pcap"
    file.write_bytes(lab.house.fetch("/house/v1/debug/1002/pcap"))
    rows = dissected(file)
    assert "BYE" in whats(rows)
    sound = [row for row in rows if row["rtp.seq"]]
    assert len({row["rtp.ssrc"] for row in sound}) == 4, "both legs, for 1002 is called so on each, both ways"
    assert {(row["frame.len"], row["frame.cap_len"]) for row in sound} == {("200", "200")}
