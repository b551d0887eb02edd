"""Subscriptions as the notifier sees them: RFC 6665 step by step, in virtual time."""

from __future__ import annotations

import re
from collections.abc import Hashable

import pytest

from pbxd.sip.flow import Flow, Outgoing
from pbxd.sip.message import Request, Response, parse_message, response_to
from pbxd.sip.stack import DropReason
from pbxd.sip.subscription import (
    MOST_OF_ONE,
    TABLE,
    Package,
    SubscriptionEvent,
    SubscriptionState,
    SubscriptionTable,
    package_name,
)
from pbxd.sip.transaction import ServerTransaction
from pbxd.sip.uri import Uri
from tests.sip.lonely import HOME, OVER_UDP, Lonely

HERE = Uri.parse("sip:house@10.0.0.9:5060")
ALICE = "alice"


class Notifier(Lonely):
    """A stack whose core is a table of subscriptions to `alice`, who has `messages` of them."""

    def __init__(self) -> None:
        super().__init__()
        self.messages = 0
        self.table = SubscriptionTable(self.stack)
        self.package = Package("message-summary", "application/simple-message-summary", self.body)
        self.now = 0.0
        self._serial = 0

    def body(self, resource: Hashable) -> bytes:
        assert resource == ALICE
        return f"{self.messages}\r\n".encode()

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.to.tag is not None:
            if not self.table.receive(transaction, request, now):
                self.stack.respond(transaction, response_to(request, 481), now)
        else:
            self.table.open(transaction, request, self.package, ALICE, HERE, now)

    def subscribe(
        self,
        expires: int | None = 600,
        *,
        to_tag: str = "",
        call: str = "c1",
        method: str = "SUBSCRIBE",
        more: str = "",
    ) -> list[Request | Response]:
        """What goes out after a SUBSCRIBE."""
        self._serial += 1
        tag = f";tag={to_tag}" if to_tag else ""
        wished = "" if expires is None else f"Expires: {expires}\r\n"
        contact = "" if "Contact" in more else "Contact: <sip:alice@192.0.2.7:40000>\r\n"
        return self._messages(
            self.ask(
                f"{method} sip:alice@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:40000;"
                f"branch=z9hG4bK{self._serial};rport\r\n"
                f"From: <sip:alice@lab.test>;tag=a\r\nTo: <sip:alice@lab.test>{tag}\r\nCall-ID: {call}\r\n"
                f"CSeq: {self._serial} {method}\r\n{contact}Event: message-summary;id=7\r\n{wished}{more}"
                "Content-Length: 0\r\n\r\n",
                OVER_UDP,
                self.now,
            )
        )

    def change(self) -> list[Request | Response]:
        self.messages += 1
        self.table.changed(self.package, ALICE, self.now)
        return self._messages(self.taken())

    def wait(self, seconds: float) -> list[Request | Response]:
        self.now += seconds
        self.stack.handle_timer(self.now)
        return self._messages(self.taken())

    def answer(self, notify: Request | Response, status: int = 200, more: str = "") -> list[Request | Response]:
        """The phone answers a NOTIFY."""
        assert isinstance(notify, Request)
        lines = [f"SIP/2.0 {status} Said", f"Via: {notify.headers.get('Via')}"]
        lines += [f"{name}: {notify.headers.get(name)}" for name in ("From", "To", "Call-ID", "CSeq")]
        text = "\r\n".join(lines) + "\r\n" + more + "Content-Length: 0\r\n\r\n"
        return self._messages(self.ask(text, Flow(OVER_UDP.transport, HOME, OVER_UDP.remote, socket=2), self.now))

    @staticmethod
    def _messages(outgoing: list[Outgoing]) -> list[Request | Response]:
        return [parse_message(one.data) for one in outgoing]


def opened(notifier: Notifier, **how: str) -> tuple[str, Request]:
    """A subscription whose first NOTIFY was answered: our tag, and that NOTIFY."""
    ok, notify = notifier.subscribe(**how)  # type: ignore[arg-type]
    assert isinstance(ok, Response)
    assert isinstance(notify, Request)
    assert ok.to.tag
    assert notifier.answer(notify) == []
    return ok.to.tag, notify


def said(notify: Request | Response) -> tuple[str | None, bytes]:
    return notify.headers.get("Subscription-State"), notify.body


def test_every_row_of_the_table_has_its_end() -> None:
    active = {event: state for (before, event), state in TABLE.items() if before is SubscriptionState.ACTIVE}
    assert set(active) == set(SubscriptionEvent)
    assert not [event for before, event in TABLE if before is SubscriptionState.TERMINATED]


def test_200_then_a_notify_that_says_how_things_stand() -> None:
    notifier = Notifier()
    notifier.messages = 3
    ok, notify = notifier.subscribe()
    assert isinstance(ok, Response)
    assert isinstance(notify, Request)
    assert (ok.status, ok.headers.get("Expires"), ok.headers.get("Contact")) == (200, "600", f"<{HERE}>")
    assert (notify.method, str(notify.uri)) == ("NOTIFY", "sip:alice@192.0.2.7:40000")
    assert said(notify) == ("active;expires=600", b"3\r\n")
    assert notify.headers.get("Event") == "message-summary;id=7"
    assert notify.headers.get("Content-Type") == "application/simple-message-summary"
    assert notify.from_.tag == ok.to.tag
    assert notify.to.tag == "a"
    assert notify.headers.get("CSeq") == "1 NOTIFY"


@pytest.mark.parametrize(("wished", "given"), [(None, "3600"), (60, "60"), (3601, "3600"), (2**32 - 1, "3600")])
def test_wishes_are_met_within_bounds(wished: int | None, given: str) -> None:
    ok, _ = Notifier().subscribe(wished)
    assert ok.headers.get("Expires") == given


@pytest.mark.parametrize(
    ("expires", "more", "status", "header"),
    [
        (59, "", 423, ("Min-Expires", "60")),
        (600, "Accept: application/pidf+xml\r\n", 406, ("Accept", "application/simple-message-summary")),
        (600, "Contact: *\r\n", 400, None),
    ],
)
def test_what_cannot_be_is_refused(expires: int, more: str, status: int, header: tuple[str, str] | None) -> None:
    notifier = Notifier()
    (answer,) = notifier.subscribe(expires, more=more)
    assert isinstance(answer, Response)
    assert answer.status == status
    assert header is None or answer.headers.get(header[0]) == header[1]
    assert len(notifier.table) == 0


@pytest.mark.parametrize("accept", ["application/simple-message-summary", "*/*", "text/plain, application/*;q=0.1"])
def test_what_is_accepted(accept: str) -> None:
    ok, _ = Notifier().subscribe(more=f"Accept: {accept}\r\n")
    assert isinstance(ok, Response)
    assert ok.status == 200


def test_a_change_is_told() -> None:
    notifier = Notifier()
    opened(notifier)
    notifier.wait(100)
    (notify,) = notifier.change()
    assert said(notify) == ("active;expires=500", b"1\r\n")
    assert notify.headers.get("CSeq") == "2 NOTIFY"


def test_one_notify_at_a_time_and_the_last_word_counts() -> None:
    notifier = Notifier()
    opened(notifier)
    (first,) = notifier.change()
    assert notifier.change() == []
    assert notifier.change() == []
    (second,) = notifier.answer(first)
    assert second.body == b"3\r\n"
    assert notifier.answer(second) == []


def test_a_refresh_lengthens_it_in_the_same_dialog() -> None:
    notifier = Notifier()
    tag, _ = opened(notifier)
    notifier.wait(500)
    ok, notify = notifier.subscribe(600, to_tag=tag)
    assert isinstance(ok, Response)
    assert ok.status == 200
    assert said(notify)[0] == "active;expires=600"
    assert notifier.answer(notify) == []
    assert notifier.wait(599) == []
    (last,) = notifier.wait(1)
    assert said(last)[0] == "terminated;reason=timeout"
    assert len(notifier.table) == 0


def test_expires_0_ends_it_with_a_last_notify() -> None:
    notifier = Notifier()
    tag, _ = opened(notifier)
    ok, last = notifier.subscribe(0, to_tag=tag)
    assert (ok.headers.get("Expires"), said(last)[0]) == ("0", "terminated;reason=timeout")
    assert notifier.answer(last) == []
    assert len(notifier.table) == 0
    (gone,) = notifier.subscribe(600, to_tag=tag)
    assert isinstance(gone, Response)
    assert gone.status == 481


def test_a_fetch_is_one_notify() -> None:
    notifier = Notifier()
    ok, notify = notifier.subscribe(0)
    assert isinstance(ok, Response)
    assert ok.status == 200
    assert said(notify) == ("terminated;reason=timeout", b"0\r\n")
    assert len(notifier.table) == 0


@pytest.mark.parametrize("status", [481, 489, 500, 401])
def test_a_notify_that_is_refused_ends_it(status: int) -> None:
    notifier = Notifier()
    opened(notifier)
    (notify,) = notifier.change()
    assert notifier.answer(notify, status) == []
    assert len(notifier.table) == 0
    assert notifier.change() == []


def test_a_phone_that_is_busy_just_now_stays() -> None:
    notifier = Notifier()
    opened(notifier)
    (notify,) = notifier.change()
    assert notifier.answer(notify, 503, "Retry-After: 5\r\n") == []
    assert len(notifier.table) == 1
    (again,) = notifier.change()
    assert again.body == b"2\r\n"


def test_a_phone_that_is_gone_is_forgotten() -> None:
    notifier = Notifier()
    opened(notifier)
    notifier.change()
    for _ in range(40):
        notifier.wait(1)
    assert len(notifier.table) == 0
    assert notifier.stack.timer() is None or notifier.change() == []


def test_an_old_cseq_and_another_method_are_refused() -> None:
    notifier = Notifier()
    tag, _ = opened(notifier)
    (strange,) = notifier.subscribe(method="INFO", to_tag=tag)
    assert isinstance(strange, Response)
    assert (strange.status, strange.headers.get("Allow")) == (405, "SUBSCRIBE")
    notifier._serial = 0
    (old,) = notifier.subscribe(600, to_tag=tag)
    assert isinstance(old, Response)
    assert old.status in (200, 482, 500)
    assert len(notifier.table) == 1


def test_a_crowd_of_one_user_is_bounded() -> None:
    notifier = Notifier()
    for number in range(MOST_OF_ONE):
        opened(notifier, call=f"c{number}")
    ok, *notifies = _answers_first(notifier.subscribe(call="one-more"))
    assert isinstance(ok, Response)
    assert len(notifier.table) == MOST_OF_ONE
    states = [re.sub(r"\d+", "N", said(notify)[0] or "") for notify in notifies]
    assert sorted(states) == ["active;expires=N", "terminated;reason=probation;retry-after=N"]


def _answers_first(messages: list[Request | Response]) -> list[Request | Response]:
    return sorted(messages, key=lambda message: isinstance(message, Request))


def test_a_house_that_stops_says_when_to_come_back() -> None:
    notifier = Notifier()
    opened(notifier)
    notifier.table.withdraw(1.0)
    (last,) = [parse_message(one.data) for one in notifier.taken()]
    assert said(last)[0] == "terminated;reason=probation;retry-after=30"
    assert len(notifier.table) == 0
    assert notifier.stack.counters[DropReason.STRAY_RESPONSE] == 0


def test_names_of_packages() -> None:
    text = (
        "SUBSCRIBE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
    )
    text += "Call-ID: 1\r\nCSeq: 1 SUBSCRIBE\r\n{}Content-Length: 0\r\n\r\n"
    for header, name in (
        ("o: Message-Summary ; id=1\r\n", "message-summary"),
        ("Event: dialog\r\n", "dialog"),
        ("", None),
    ):
        request = parse_message(text.format(header).encode())
        assert isinstance(request, Request)
        assert package_name(request) == name
