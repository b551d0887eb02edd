"""Start, stop, and being killed: what survives, what is said to whom, how long it takes."""

import time
from collections.abc import Callable

import pytest

from tests.clients.block import leased_block
from tests.clients.house import House
from tests.clients.lab import Lab, connect, converse, end, eventually
from tests.clients.phone import talk
from tests.clients.phones import Make
from tests.clients.raw_message import sdp
from tests.clients.raw_sip import RawDialog

NewLab = Callable[..., Lab]


def test_an_idle_house_ends_within_two_seconds(new_lab: NewLab) -> None:
    lab = new_lab()
    lab.phone(Make.BARESIP_PY, "1001")
    assert lab.house.stop() < 2.0
    lab.house.start()


def test_bindings_survive_a_kill(new_lab: NewLab) -> None:
    lab = new_lab()
    one, other = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.PJSUA2, "1002")
    before = {(binding["aor"], binding["contact"]) for binding in lab.house.registrations()}
    assert len(before) == 2
    settled(lab)
    lab.house.kill()
    lab.house.start()
    assert {(binding["aor"], binding["contact"]) for binding in lab.house.registrations()} == before
    outgoing, incoming = converse(one, other)
    end(outgoing, incoming)


def settled(lab: Lab) -> None:
    """Let one batch of the store's writes pass: what is a second old must survive."""
    deadline = time.monotonic() + 1.1
    eventually(lambda: time.monotonic() > deadline and lab.house.is_running(), "a second to pass")


@pytest.mark.unwitnessed  # what the house had seen of the call died with it
def test_records_survive_a_kill_and_the_call_that_was_up_has_an_end(new_lab: NewLab) -> None:
    lab = new_lab()
    one, other = lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    for _ in range(3):
        outgoing, incoming = connect(one, other)
        end(outgoing, incoming)
        assert lab.record()["result"] == "success"
    converse(one, other)
    settled(lab)
    lab.house.kill()
    lab.house.start()
    records = lab.house.records()
    assert [record["result"] for record in records] == ["unknown", "success", "success", "success"]
    last = records[0]
    assert last["answered_at"] <= last["ended_at"]
    assert last["reason"]
    assert lab.house.calls() == []


def test_a_stopping_house_hangs_up_and_takes_no_new_calls(new_lab: NewLab) -> None:
    lab = new_lab(**{"calls.drain_s": 2})
    one, other = lab.phone(Make.PJSUA2, "1001"), lab.phone(Make.BARESIP_PY, "1002")
    outgoing, incoming = converse(one, other)
    raw = lab.raw(address="127.0.0.11")
    lab.house.terminate()
    eventually(lambda: '"draining"' in lab.house.log() or "drain" in lab.house.log(), "the house to drain")
    dialog = RawDialog.calling(raw, "outside", "600")
    refused, sent = dialog.invite(sdp("127.0.0.11", 20_000))
    dialog.acknowledge_failure(sent, refused)
    assert refused.status == 503
    assert int(refused["Retry-After"].split()[0]) > 0
    talk(outgoing, incoming, seconds=0.4)
    outgoing.ended()
    incoming.ended()
    assert lab.house.wait() == 0
    lab.house.assert_clean_log()
    lab.house.start()
    record = lab.house.records()[0]
    assert (record["result"], record["ended_by"]) == ("server", "house")


def test_a_call_that_ends_by_itself_lets_the_house_go(new_lab: NewLab) -> None:
    lab = new_lab(**{"calls.drain_s": 20})
    outgoing, incoming = connect(lab.phone(Make.BARESIP_PY, "1001"), lab.phone(Make.BARESIP_PY, "1002"))
    lab.house.terminate()
    end(outgoing, incoming)
    start = time.monotonic()
    assert lab.house.wait() == 0
    assert time.monotonic() - start < 2.0
    lab.house.start()
    assert lab.house.records()[0]["result"] == "success"


def test_a_second_house_at_the_same_ports_says_so(new_lab: NewLab) -> None:
    lab = new_lab()
    with leased_block() as spare:
        twin = House(spare, lab.house.folder / "twin", {"sip.udp": [f"127.0.0.1:{lab.house.sip[1]}"]})
        code, output = twin.start_in_vain()
    assert code == 2
    assert str(lab.house.sip[1]) in output
    assert "Traceback" not in output
