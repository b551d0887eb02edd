"""The four state machines of RFC 3261 §17 as tables, with RFC 6026's Accepted state and RFC 4320's rules.

A row says: in this state, on this event, go there, do that; and the clause that wants it. What is not in a table does
not happen: a local event without a row is a programming error, one from the network is dropped by name. Each machine
draws itself (`mermaid`) and lists itself (`text`). The actions are carried out in transaction.py.

An event from the TU (the transaction user: core or session) is named SEND_… or CANCEL; the RFC's "Inform TU" is INFORM.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pbxd.sip.errors import SipError
from pbxd.sip.symbol import Symbol


class TransitionError(SipError):
    """The user of a transaction asked for what its state has no row for, such as a second final response: a bug."""


class State(Symbol):
    CALLING = "Calling"
    TRYING = "Trying"
    PROCEEDING = "Proceeding"
    ACCEPTED = "Accepted"
    ACKNOWLEDGED = "Acknowledged"  # of our making: RFC 6026's Accepted once the core has seen the ACK of its 2xx
    COMPLETED = "Completed"
    CONFIRMED = "Confirmed"
    TERMINATED = "Terminated"


class Event(Symbol):
    # responses, at a client
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    FINAL = "200-699"  # where the RFC tells no difference: non-INVITE
    # requests, at a server
    REQUEST = "request again"
    ACK = "ACK"
    # what the TU wants
    CANCEL = "CANCEL"
    SEND_PROVISIONAL = "1xx from TU"
    SEND_SUCCESS = "2xx from TU"
    SEND_FAILURE = "300-699 from TU"
    SEND_FINAL = "200-699 from TU"
    ACKNOWLEDGE = "TU saw the ACK"
    # timers, by the RFC's letters
    TIMER_A = "Timer A"
    TIMER_B = "Timer B"
    TIMER_D = "Timer D"
    TIMER_E = "Timer E"
    TIMER_F = "Timer F"
    TIMER_G = "Timer G"
    TIMER_H = "Timer H"
    TIMER_I = "Timer I"
    TIMER_J = "Timer J"
    TIMER_K = "Timer K"
    TIMER_L = "Timer L"
    TIMER_M = "Timer M"
    # and those the RFC has without a letter
    TIMER_TRYING = "Timer 100"
    TIMER_2XX = "Timer 2xx"
    TIMER_CANCEL = "Timer CANCEL"
    TIMER_GIVE_UP = "Timer give up"
    TRANSPORT_ERROR = "transport error"


class Action(Symbol):
    SEND_AGAIN = "send the last message again"
    SEND_ACK = "send ACK"
    SEND_CANCEL = "send CANCEL"
    SEND_CANCEL_IF_WANTED = "send CANCEL if TU asked before"
    SEND_RESPONSE = "send response"
    SEND_TRYING = "send 100"
    REMEMBER_CANCEL = "remember to CANCEL"
    STOP_SENDING = "stop retransmission"
    STOP_TIMERS = "stop timers"
    START_A = "start Timer A"
    DOUBLE_A = "restart Timer A doubled"
    START_B = "start Timer B"
    START_D = "start Timer D"
    START_E = "start Timer E"
    DOUBLE_E = "restart Timer E doubled up to T2"
    SLOW_E = "restart Timer E at T2"
    START_F = "start Timer F"
    START_G = "start Timer G"
    DOUBLE_G = "restart Timer G doubled up to T2"
    START_H = "start Timer H"
    START_I = "start Timer I"
    START_J = "start Timer J"
    START_K = "start Timer K"
    START_L = "start Timer L"
    START_M = "start Timer M"
    START_2XX = "start Timer 2xx"
    DOUBLE_2XX = "restart Timer 2xx doubled up to T2"
    START_CANCEL = "start Timer CANCEL"
    START_TRYING = "start Timer 100"
    START_GIVE_UP = "start Timer give up"
    FORGET = "forget request and response"
    TELL_RESPONSE = "response to TU"
    TELL_FINAL = "final response to TU, forget the request"
    TELL_ACK = "ACK to TU"
    INFORM_TIMEOUT = "inform TU: timeout"
    INFORM_TRANSPORT = "inform TU: transport"
    INFORM_NO_ACK = "inform TU: no ACK"
    NEXT_OR_TIMEOUT = "next destination, or inform TU: timeout"
    NEXT_OR_TRANSPORT = "next destination, or inform TU: transport"


NETWORK_EVENTS = frozenset({Event.PROVISIONAL, Event.SUCCESS, Event.FAILURE, Event.FINAL, Event.REQUEST, Event.ACK})


@dataclass(frozen=True, slots=True)
class Row:
    """One transition: `actions` are carried out in this order after the state has become `goes_to`. What TU is told
    comes last, so that the machine is whole when foreign code runs."""

    state: State
    event: Event
    goes_to: State
    actions: tuple[Action, ...]
    clause: str


class Machine:
    """A named table, checked when it is made: at most one row for a state and event, and none out of TERMINATED."""

    __slots__ = ("clause", "entry", "initial", "name", "rows")

    def __init__(self, name: str, clause: str, initial: State, entry: tuple[Action, ...], rows: Iterable[Row]) -> None:
        self.name = name
        self.clause = clause
        self.initial = initial
        self.entry = entry  # carried out when the request is sent (client) or has come (server)
        self.rows: dict[tuple[State, Event], Row] = {}
        for row in rows:
            if (row.state, row.event) in self.rows or row.state is State.TERMINATED:
                raise ValueError(f"{name}: a second row, or one out of Terminated: {row}")
            self.rows[row.state, row.event] = row

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def text(self) -> str:
        """The table in lines `state | event | next state | actions | clause`."""
        lines = [f"{self.name} ({self.clause})", f"-> {self.initial.value}: {_listed(self.entry)}"]
        lines += [
            f"{row.state.value} | {row.event.value} | {row.goes_to.value} | {_listed(row.actions)} | {row.clause}"
            for row in self
        ]
        return "\n".join(lines)

    def mermaid(self) -> str:
        """The machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial.value}: {_listed(self.entry)}"]
        lines += [
            f"    {row.state.value} --> {row.goes_to.value}: {row.event.value} / {_listed(row.actions)}" for row in self
        ]
        lines.append(f"    {State.TERMINATED.value} --> [*]")
        return "\n".join(lines)


def _listed(actions: tuple[Action, ...]) -> str:
    return ", ".join(action.value for action in actions) or "-"


S, E, A = State, Event, Action

INVITE_CLIENT = Machine(
    "INVITE client transaction",
    "RFC 3261 §17.1.1, figure 5 as RFC 6026 §7.2 and §8.4 redraw it",
    S.CALLING,
    (A.START_A, A.START_B),
    (
        Row(S.CALLING, E.TIMER_A, S.CALLING, (A.SEND_AGAIN, A.DOUBLE_A), "RFC 3261 §17.1.1.2"),
        Row(S.CALLING, E.TIMER_B, S.TERMINATED, (A.NEXT_OR_TIMEOUT,), "RFC 3261 §17.1.1.2, RFC 3263 §4.3"),
        Row(S.CALLING, E.TRANSPORT_ERROR, S.TERMINATED, (A.NEXT_OR_TRANSPORT,), "RFC 3261 §17.1.4, RFC 3263 §4.3"),
        Row(
            S.CALLING,
            E.PROVISIONAL,
            S.PROCEEDING,
            (A.STOP_TIMERS, A.SEND_CANCEL_IF_WANTED, A.TELL_RESPONSE),
            "RFC 3261 §17.1.1.2, §9.1",
        ),
        Row(S.CALLING, E.SUCCESS, S.ACCEPTED, (A.STOP_TIMERS, A.START_M, A.TELL_FINAL), "RFC 6026 §8.4"),
        Row(
            S.CALLING,
            E.FAILURE,
            S.COMPLETED,
            (A.STOP_TIMERS, A.SEND_ACK, A.START_D, A.TELL_FINAL),
            "RFC 3261 §17.1.1.2",
        ),
        # RFC 3261 §9.1: a CANCEL must not be sent before a provisional response has come.
        Row(S.CALLING, E.CANCEL, S.CALLING, (A.REMEMBER_CANCEL,), "RFC 3261 §9.1"),
        Row(S.PROCEEDING, E.PROVISIONAL, S.PROCEEDING, (A.TELL_RESPONSE,), "RFC 3261 §17.1.1.2"),
        Row(S.PROCEEDING, E.SUCCESS, S.ACCEPTED, (A.STOP_TIMERS, A.START_M, A.TELL_FINAL), "RFC 6026 §8.4"),
        Row(
            S.PROCEEDING,
            E.FAILURE,
            S.COMPLETED,
            (A.STOP_TIMERS, A.SEND_ACK, A.START_D, A.TELL_FINAL),
            "RFC 3261 §17.1.1.2",
        ),
        Row(S.PROCEEDING, E.CANCEL, S.PROCEEDING, (A.SEND_CANCEL, A.START_CANCEL), "RFC 3261 §9.1"),
        Row(S.PROCEEDING, E.TIMER_CANCEL, S.TERMINATED, (A.INFORM_TIMEOUT,), "RFC 3261 §9.1, last paragraph"),
        # Not what RFC 3261 figure 5 says: it sends nothing here and so sees no error. A connection that is lost while
        # the peer rings brings no answer any more; nor is another destination tried, for this one took the call.
        Row(S.PROCEEDING, E.TRANSPORT_ERROR, S.TERMINATED, (A.INFORM_TRANSPORT,), "RFC 3261 §8.1.3.1"),
        Row(S.COMPLETED, E.FAILURE, S.COMPLETED, (A.SEND_AGAIN,), "RFC 3261 §17.1.1.2: the ACK again"),
        Row(S.COMPLETED, E.TIMER_D, S.TERMINATED, (), "RFC 3261 §17.1.1.2"),
        # Not what RFC 3261 §17.1.1.2 says, which informs TU: it has its final response, there is nothing to tell.
        Row(S.COMPLETED, E.TRANSPORT_ERROR, S.TERMINATED, (), "RFC 3261 §17.1.1.2"),
        Row(S.COMPLETED, E.CANCEL, S.COMPLETED, (), "RFC 3261 §9.1: no effect after a final response"),
        Row(S.ACCEPTED, E.SUCCESS, S.ACCEPTED, (A.TELL_RESPONSE,), "RFC 6026 §8.4"),
        Row(S.ACCEPTED, E.TIMER_M, S.TERMINATED, (), "RFC 6026 §8.4"),
        Row(S.ACCEPTED, E.TRANSPORT_ERROR, S.ACCEPTED, (), "RFC 6026 §8.4: the ACK is the TU's"),
        Row(S.ACCEPTED, E.CANCEL, S.ACCEPTED, (), "RFC 3261 §9.1: no effect after a final response"),
    ),
)

NON_INVITE_CLIENT = Machine(
    "non-INVITE client transaction",
    "RFC 3261 §17.1.2, figure 6",
    S.TRYING,
    (A.START_E, A.START_F),
    (
        Row(S.TRYING, E.TIMER_E, S.TRYING, (A.SEND_AGAIN, A.DOUBLE_E), "RFC 3261 §17.1.2.2"),
        Row(S.TRYING, E.TIMER_F, S.TERMINATED, (A.NEXT_OR_TIMEOUT,), "RFC 3261 §17.1.2.2, RFC 3263 §4.3"),
        Row(S.TRYING, E.TRANSPORT_ERROR, S.TERMINATED, (A.NEXT_OR_TRANSPORT,), "RFC 3261 §17.1.4, RFC 3263 §4.3"),
        Row(S.TRYING, E.PROVISIONAL, S.PROCEEDING, (A.TELL_RESPONSE,), "RFC 3261 §17.1.2.2"),
        Row(S.TRYING, E.FINAL, S.COMPLETED, (A.STOP_TIMERS, A.START_K, A.TELL_FINAL), "RFC 3261 §17.1.2.2"),
        Row(S.PROCEEDING, E.TIMER_E, S.PROCEEDING, (A.SEND_AGAIN, A.SLOW_E), "RFC 3261 §17.1.2.2"),
        Row(S.PROCEEDING, E.TIMER_F, S.TERMINATED, (A.NEXT_OR_TIMEOUT,), "RFC 3261 §17.1.2.2, RFC 3263 §4.3"),
        Row(S.PROCEEDING, E.TRANSPORT_ERROR, S.TERMINATED, (A.NEXT_OR_TRANSPORT,), "RFC 3261 §17.1.4, RFC 3263 §4.3"),
        Row(S.PROCEEDING, E.PROVISIONAL, S.PROCEEDING, (A.TELL_RESPONSE,), "RFC 3261 §17.1.2.2"),
        Row(S.PROCEEDING, E.FINAL, S.COMPLETED, (A.STOP_TIMERS, A.START_K, A.TELL_FINAL), "RFC 3261 §17.1.2.2"),
        Row(S.COMPLETED, E.PROVISIONAL, S.COMPLETED, (), "RFC 3261 §17.1.2.2: Completed absorbs"),
        Row(S.COMPLETED, E.FINAL, S.COMPLETED, (), "RFC 3261 §17.1.2.2: Completed absorbs"),
        Row(S.COMPLETED, E.TIMER_K, S.TERMINATED, (), "RFC 3261 §17.1.2.2"),
        Row(S.COMPLETED, E.TRANSPORT_ERROR, S.COMPLETED, (), "RFC 3261 §17.1.2.2: nothing is sent here"),
    ),
)

INVITE_SERVER = Machine(
    "INVITE server transaction",
    "RFC 3261 §17.2.1, figure 7 as RFC 6026 §7.1 redraws it",
    S.PROCEEDING,
    (A.START_TRYING,),
    (
        Row(S.PROCEEDING, E.REQUEST, S.PROCEEDING, (A.SEND_AGAIN,), "RFC 3261 §17.2.1"),
        Row(S.PROCEEDING, E.TIMER_TRYING, S.PROCEEDING, (A.SEND_TRYING,), "RFC 3261 §17.2.1: 100 after 200 ms"),
        Row(S.PROCEEDING, E.SEND_PROVISIONAL, S.PROCEEDING, (A.STOP_SENDING, A.SEND_RESPONSE), "RFC 3261 §17.2.1"),
        Row(
            S.PROCEEDING,
            E.SEND_SUCCESS,
            S.ACCEPTED,
            (A.STOP_TIMERS, A.SEND_RESPONSE, A.START_2XX, A.START_L),
            "RFC 6026 §7.1, RFC 3261 §13.3.1.4",
        ),
        Row(
            S.PROCEEDING,
            E.SEND_FAILURE,
            S.COMPLETED,
            (A.STOP_TIMERS, A.SEND_RESPONSE, A.START_G, A.START_H),
            "RFC 3261 §17.2.1",
        ),
        Row(
            S.PROCEEDING,
            E.TRANSPORT_ERROR,
            S.PROCEEDING,
            (A.START_GIVE_UP, A.INFORM_TRANSPORT),
            "RFC 6026 §8.8: stay, inform TU",
        ),
        # Not in RFC 6026: TU was told that its peer is out of reach; if it has no final response, none is missed.
        Row(S.PROCEEDING, E.TIMER_GIVE_UP, S.TERMINATED, (), "RFC 6026 §8.8"),
        Row(S.COMPLETED, E.REQUEST, S.COMPLETED, (A.SEND_AGAIN,), "RFC 3261 §17.2.1"),
        Row(S.COMPLETED, E.TIMER_G, S.COMPLETED, (A.SEND_AGAIN, A.DOUBLE_G), "RFC 3261 §17.2.1"),
        Row(S.COMPLETED, E.TIMER_H, S.TERMINATED, (), "RFC 6026 §7.1: Timer H informs nobody"),
        Row(S.COMPLETED, E.ACK, S.CONFIRMED, (A.STOP_TIMERS, A.FORGET, A.START_I), "RFC 3261 §17.2.1"),
        # Not what RFC 6026 §8.8 says, which informs TU: it has given its answer, there is nothing to decide.
        Row(S.COMPLETED, E.TRANSPORT_ERROR, S.COMPLETED, (), "RFC 6026 §8.8: stay"),
        Row(S.CONFIRMED, E.REQUEST, S.CONFIRMED, (), "RFC 3261 §17.2.1: absorbed"),
        Row(S.CONFIRMED, E.ACK, S.CONFIRMED, (), "RFC 3261 §17.2.1: absorbed"),
        Row(S.CONFIRMED, E.TIMER_I, S.TERMINATED, (), "RFC 3261 §17.2.1"),
        Row(S.CONFIRMED, E.TRANSPORT_ERROR, S.CONFIRMED, (), "RFC 3261 §17.2.1: nothing is sent here"),
        Row(S.ACCEPTED, E.REQUEST, S.ACCEPTED, (), "RFC 6026 §7.1: absorbed, no answer"),
        Row(S.ACCEPTED, E.ACK, S.ACCEPTED, (A.TELL_ACK,), "RFC 6026 §7.1"),
        Row(S.ACCEPTED, E.TIMER_2XX, S.ACCEPTED, (A.SEND_AGAIN, A.DOUBLE_2XX), "RFC 3261 §13.3.1.4"),
        Row(S.ACCEPTED, E.ACKNOWLEDGE, S.ACKNOWLEDGED, (A.STOP_SENDING, A.FORGET), "RFC 3261 §13.3.1.4"),
        Row(S.ACCEPTED, E.TIMER_L, S.TERMINATED, (A.INFORM_NO_ACK,), "RFC 6026 §7.1, RFC 3261 §13.3.1.4"),
        Row(S.ACCEPTED, E.TRANSPORT_ERROR, S.ACCEPTED, (A.INFORM_TRANSPORT,), "RFC 6026 §8.8: stay, inform TU"),
        Row(S.ACKNOWLEDGED, E.REQUEST, S.ACKNOWLEDGED, (), "RFC 6026 §7.1: absorbed"),
        Row(S.ACKNOWLEDGED, E.ACK, S.ACKNOWLEDGED, (A.TELL_ACK,), "RFC 6026 §7.1"),
        Row(S.ACKNOWLEDGED, E.ACKNOWLEDGE, S.ACKNOWLEDGED, (), "RFC 3261 §13.3.1.4: the ACK again"),
        Row(S.ACKNOWLEDGED, E.TIMER_L, S.TERMINATED, (), "RFC 6026 §7.1"),
        Row(S.ACKNOWLEDGED, E.TRANSPORT_ERROR, S.ACKNOWLEDGED, (), "RFC 6026 §7.1: nothing is sent here"),
    ),
)

NON_INVITE_SERVER = Machine(
    "non-INVITE server transaction",
    "RFC 3261 §17.2.2, figure 8",
    S.TRYING,
    (A.START_TRYING, A.START_GIVE_UP),
    (
        Row(S.TRYING, E.REQUEST, S.TRYING, (), "RFC 3261 §17.2.2: discarded"),
        Row(S.TRYING, E.TIMER_TRYING, S.PROCEEDING, (A.SEND_TRYING,), "RFC 4320 §4.1"),
        Row(S.TRYING, E.SEND_PROVISIONAL, S.PROCEEDING, (A.STOP_SENDING, A.SEND_RESPONSE), "RFC 3261 §17.2.2"),
        Row(S.TRYING, E.SEND_FINAL, S.COMPLETED, (A.STOP_TIMERS, A.SEND_RESPONSE, A.START_J), "RFC 3261 §17.2.2"),
        Row(S.TRYING, E.TRANSPORT_ERROR, S.TERMINATED, (A.INFORM_TRANSPORT,), "RFC 3261 §17.2.2"),
        Row(S.TRYING, E.TIMER_GIVE_UP, S.TERMINATED, (), "RFC 4320 §4.2: after 64*T1 nobody waits for an answer"),
        Row(S.PROCEEDING, E.REQUEST, S.PROCEEDING, (A.SEND_AGAIN,), "RFC 3261 §17.2.2"),
        Row(S.PROCEEDING, E.SEND_PROVISIONAL, S.PROCEEDING, (A.SEND_RESPONSE,), "RFC 3261 §17.2.2"),
        Row(S.PROCEEDING, E.SEND_FINAL, S.COMPLETED, (A.STOP_TIMERS, A.SEND_RESPONSE, A.START_J), "RFC 3261 §17.2.2"),
        Row(S.PROCEEDING, E.TRANSPORT_ERROR, S.TERMINATED, (A.INFORM_TRANSPORT,), "RFC 3261 §17.2.2"),
        Row(S.PROCEEDING, E.TIMER_GIVE_UP, S.TERMINATED, (), "RFC 4320 §4.2: after 64*T1 nobody waits for an answer"),
        Row(S.COMPLETED, E.REQUEST, S.COMPLETED, (A.SEND_AGAIN,), "RFC 3261 §17.2.2"),
        Row(S.COMPLETED, E.SEND_FINAL, S.COMPLETED, (), "RFC 3261 §17.2.2: discarded"),
        Row(S.COMPLETED, E.TIMER_J, S.TERMINATED, (), "RFC 3261 §17.2.2"),
        # Not what RFC 3261 §17.2.2 says, which informs TU: it has given its answer, there is nothing to decide.
        Row(S.COMPLETED, E.TRANSPORT_ERROR, S.TERMINATED, (), "RFC 3261 §17.2.2"),
    ),
)

MACHINES = (INVITE_CLIENT, NON_INVITE_CLIENT, INVITE_SERVER, NON_INVITE_SERVER)
