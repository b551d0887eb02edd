"""No descriptor is left, or no port: new calls are refused by name, those that are up go on, and it passes."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from tests.clients.lab import Lab
from tests.clients.raw_sip import register
from tests.clients.until import until
from tests.faults.ailing import AilingHouse, EchoCall, refused
from tests.faults.conftest import NewHouse

Stage = Callable[[AilingHouse], Lab]
OUT_OF_FILES = "out of file descriptors"
TICK_S = 0.01  # of /proc/PID/stat


@contextmanager
def no_files_left(pid: int) -> Iterator[None]:
    """Whatever `pid` opens from here on fails with EMFILE."""
    taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    lowest = next(number for number in count() if number not in taken)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


class Line:
    """One HTTP connection that stays up, where another one could not be had."""

    def __init__(self, house: AilingHouse) -> None:
        self._connection = http.client.HTTPConnection(house.http.removeprefix("http://"), timeout=5)

    def close(self) -> None:
        self._connection.close()

    def text(self, path: str) -> str:
        self._connection.request("GET", path)
        return self._connection.getresponse().read().decode()


def test_without_descriptors_new_calls_are_refused_and_the_others_go_on(new_house: NewHouse, stage: Stage) -> None:
    house = new_house()
    house.expected = {OUT_OF_FILES}
    lab = stage(house)
    call = EchoCall(lab)
    phone = lab.raw()
    with closing(Line(house)) as line:
        assert '"status": "ready"' in line.text("/health/ready")
        with no_files_left(house.pid):
            answer, took = refused(lab)
            assert (answer.status, answer["Reason"]) == (503, 'Q.850;cause=42;text="files_full"')
            assert int(answer["Retry-After"]) > 0
            assert took < 0.5
            web = ("127.0.0.1", house.block.port(2))
            with socket.create_connection(house.sip) as waiting, socket.create_connection(web):
                waiting.sendall(b"\r\n\r\n")  # a ping (RFC 5626 §4.4.1)
                until(lambda: house.said(OUT_OF_FILES), "the house to notice")
                begun, used = time.monotonic(), _cpu_s(house.pid)
                call.hears_itself(packets=75)
                load = (_cpu_s(house.pid) - used) / (time.monotonic() - begun)
                assert load < 0.2, f"{load:.0%} of a core for connections that cannot be accepted"
                assert register(phone, "1001", "lab-1001").status == 200
                ready, metrics = line.text("/health/ready"), line.text("/metrics")
                waiting.settimeout(5)
                resting = house.said(OUT_OF_FILES)
                with lifted(house.pid):
                    assert waiting.recv(16) == b"\r\n"  # it waited, and is served
        assert '"status": "degraded"' in ready
        assert '"files": "no SIP connections are accepted' in ready
        assert 'pbxd_calls_refused_total{reason="files_full"} 1.0' in metrics
        assert 'pbxd_sip_connections_ended_total{reason="no_files"} 0.0' not in metrics
        assert resting == 1
        EchoCall(lab, tcp=True).hang_up()
        assert '"status": "ready"' in line.text("/health/ready")
    call.hears_itself()
    call.hang_up()
    (told,) = [record for record in house.records() if record["result"] == "server"]
    assert (told["reason"], told["sip_status"]) == ("files_full", 503)


@contextmanager
def lifted(pid: int) -> Iterator[None]:
    """The limit of before the scarcity, while something waits for it."""
    low, high = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (high, high))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (low, high))


def test_without_ports_new_calls_are_refused_until_one_is_given_back(new_house: NewHouse, stage: Stage) -> None:
    house = new_house(ports=4, **{"rtp.quarantine_s": 0})
    lab = stage(house)
    calls = [EchoCall(lab), EchoCall(lab)]
    answer, took = refused(lab)
    assert (answer.status, answer["Reason"]) == (503, 'Q.850;cause=42;text="ports_full"')
    assert int(answer["Retry-After"]) > 0
    assert took < 0.5
    assert house.metrics()['pbxd_calls_refused_total{reason="ports_full"}'] == 1
    for call in calls:
        call.hears_itself()
    calls.pop().hang_up()
    until(lambda: house.metrics()["pbxd_rtp_ports_in_use"] == 1, "the ports to be given back")
    calls.append(EchoCall(lab))
    for call in calls:
        call.hang_up()


def test_a_callee_without_a_port_is_refused_by_name(new_house: NewHouse, stage: Stage) -> None:
    house = new_house(ports=4)
    lab = stage(house)
    other = EchoCall(lab)
    phone = lab.raw()
    assert register(phone, "1001", "lab-1001").status == 200
    answer, _ = refused(lab, "1001")
    assert answer.status == 503
    record = until(house.records, "the record")[0]
    assert (record["reason"], record["ended_by"], record["result"]) == ("ports_full", "house", "server")
    assert house.metrics()['pbxd_calls_refused_total{reason="ports_full"}'] == 1
    other.hang_up()
