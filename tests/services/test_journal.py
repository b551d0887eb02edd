"""What the log says of calls, phones and trunks."""

from __future__ import annotations

from structlog.testing import capture_logs

from pbxd.calls.record import CallChanged, CallRecord, Change, Direction, Result
from pbxd.directory.model import Aor
from pbxd.directory.registrar import PhoneRegistered, PhoneUnregistered, UnregisterReason
from pbxd.events import Bus
from pbxd.services import journal
from pbxd.sip.flow import Transport
from pbxd.sip.uri import Uri


def test_each_change_is_one_line_with_the_call_on_it() -> None:
    bus = Bus()
    journal.listen(bus)
    record = CallRecord("call_1", "acc_1", Direction.INTERNAL, "1001", "Alice", "1002", 100.0)
    with capture_logs() as lines:
        bus.publish(CallChanged(Change.STARTED, record))
        record.answered_at = 103.0
        bus.publish(CallChanged(Change.ANSWERED, record))
        record.ended_at, record.result, record.sip_status = 110.04, Result.SUCCESS, 200
        bus.publish(CallChanged(Change.ENDED, record))
    assert [line["event"] for line in lines] == ["call started", "call answered", "call ended"]
    assert all(line["call"] == "call_1" for line in lines)
    assert (lines[-1]["result"], lines[-1]["talked_s"]) == ("success", 7.0)


def test_phones_come_and_go() -> None:
    bus = Bus()
    journal.listen(bus)
    contact = Uri.sip("1001", "192.0.2.7")
    with capture_logs() as lines:
        bus.publish(PhoneRegistered(Aor("acc_1", "1001"), contact, ("192.0.2.7", 5060), Transport.TLS, "Desk"))
        bus.publish(PhoneUnregistered(Aor("acc_1", "1001"), contact, UnregisterReason.EXPIRED))
    assert (lines[0]["event"], lines[0]["source"]) == ("phone registered", "tls:192.0.2.7:5060")
    assert (lines[1]["event"], lines[1]["reason"]) == ("phone unregistered", "expired")
