"""The tables against the figures of the RFCs, written down here a second time, arrow by arrow."""

import pytest

from pbxd.sip.exchange import Plan
from pbxd.sip.machine import (
    INVITE_CLIENT,
    INVITE_SERVER,
    MACHINES,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    Event,
    Machine,
    Row,
    State,
)
from pbxd.sip.transaction import ClientTransaction, ServerTransaction

# state | event | next state | what the figure says is done, in our actions; timers it starts or stops included
FIGURE_5_OF_RFC_6026 = """
    Calling | Timer A | Calling | SEND_AGAIN DOUBLE_A
    Calling | Timer B | Terminated | NEXT_OR_TIMEOUT
    Calling | transport error | Terminated | NEXT_OR_TRANSPORT
    Calling | 1xx | Proceeding | STOP_TIMERS TELL_RESPONSE
    Calling | 2xx | Accepted | STOP_TIMERS START_M TELL_FINAL
    Calling | 300-699 | Completed | STOP_TIMERS SEND_ACK START_D TELL_FINAL
    Proceeding | 1xx | Proceeding | TELL_RESPONSE
    Proceeding | 2xx | Accepted | START_M TELL_FINAL
    Proceeding | 300-699 | Completed | SEND_ACK START_D TELL_FINAL
    Completed | 300-699 | Completed | SEND_AGAIN
    Completed | transport error | Terminated |
    Completed | Timer D | Terminated |
    Accepted | 2xx | Accepted | TELL_RESPONSE
    Accepted | Timer M | Terminated |
"""
BESIDES_FIGURE_5 = """
    Calling | CANCEL | Calling | REMEMBER_CANCEL
    Proceeding | CANCEL | Proceeding | SEND_CANCEL START_CANCEL
    Proceeding | Timer CANCEL | Terminated | INFORM_TIMEOUT
    Proceeding | transport error | Terminated | INFORM_TRANSPORT
    Completed | CANCEL | Completed |
    Accepted | CANCEL | Accepted |
    Accepted | transport error | Accepted |
"""
FIGURE_6_OF_RFC_3261 = """
    Trying | Timer E | Trying | SEND_AGAIN DOUBLE_E
    Trying | Timer F | Terminated | NEXT_OR_TIMEOUT
    Trying | transport error | Terminated | NEXT_OR_TRANSPORT
    Trying | 1xx | Proceeding | TELL_RESPONSE
    Trying | 200-699 | Completed | STOP_TIMERS START_K TELL_FINAL
    Proceeding | Timer E | Proceeding | SEND_AGAIN SLOW_E
    Proceeding | Timer F | Terminated | NEXT_OR_TIMEOUT
    Proceeding | transport error | Terminated | NEXT_OR_TRANSPORT
    Proceeding | 1xx | Proceeding | TELL_RESPONSE
    Proceeding | 200-699 | Completed | STOP_TIMERS START_K TELL_FINAL
    Completed | Timer K | Terminated |
"""
BESIDES_FIGURE_6 = """
    Completed | 1xx | Completed |
    Completed | 200-699 | Completed |
    Completed | transport error | Completed |
"""
FIGURE_7_OF_RFC_6026 = """
    Proceeding | request again | Proceeding | SEND_AGAIN
    Proceeding | Timer 100 | Proceeding | SEND_TRYING
    Proceeding | 1xx from TU | Proceeding | SEND_RESPONSE
    Proceeding | transport error | Proceeding | INFORM_TRANSPORT
    Proceeding | 2xx from TU | Accepted | SEND_RESPONSE START_L
    Proceeding | 300-699 from TU | Completed | SEND_RESPONSE START_G START_H
    Completed | request again | Completed | SEND_AGAIN
    Completed | Timer G | Completed | SEND_AGAIN DOUBLE_G
    Completed | transport error | Completed |
    Completed | Timer H | Terminated |
    Completed | ACK | Confirmed | STOP_TIMERS START_I
    Confirmed | Timer I | Terminated |
    Accepted | request again | Accepted |
    Accepted | ACK | Accepted | TELL_ACK
    Accepted | transport error | Accepted | INFORM_TRANSPORT
    Accepted | Timer L | Terminated | INFORM_NO_ACK
"""
# The figure's "2xx from TU" in Accepted is our Timer 2xx: the stack itself sends the 2xx again.
BESIDES_FIGURE_7 = """
    Proceeding | Timer give up | Terminated |
    Confirmed | request again | Confirmed |
    Confirmed | ACK | Confirmed |
    Confirmed | transport error | Confirmed |
    Accepted | Timer 2xx | Accepted | SEND_AGAIN DOUBLE_2XX
    Accepted | TU saw the ACK | Acknowledged | STOP_SENDING
    Acknowledged | request again | Acknowledged |
    Acknowledged | ACK | Acknowledged | TELL_ACK
    Acknowledged | TU saw the ACK | Acknowledged |
    Acknowledged | Timer L | Terminated |
    Acknowledged | transport error | Acknowledged |
"""
FIGURE_8_OF_RFC_3261 = """
    Trying | 1xx from TU | Proceeding | SEND_RESPONSE
    Trying | 200-699 from TU | Completed | SEND_RESPONSE START_J
    Proceeding | request again | Proceeding | SEND_AGAIN
    Proceeding | 1xx from TU | Proceeding | SEND_RESPONSE
    Proceeding | 200-699 from TU | Completed | SEND_RESPONSE START_J
    Proceeding | transport error | Terminated | INFORM_TRANSPORT
    Completed | request again | Completed | SEND_AGAIN
    Completed | transport error | Terminated |
    Completed | Timer J | Terminated |
"""
BESIDES_FIGURE_8 = """
    Trying | request again | Trying |
    Trying | Timer 100 | Proceeding | SEND_TRYING
    Trying | transport error | Terminated | INFORM_TRANSPORT
    Trying | Timer give up | Terminated |
    Proceeding | Timer give up | Terminated |
    Completed | 200-699 from TU | Completed |
"""
FIGURES = [
    pytest.param(INVITE_CLIENT, FIGURE_5_OF_RFC_6026, BESIDES_FIGURE_5, id="figure 5"),
    pytest.param(NON_INVITE_CLIENT, FIGURE_6_OF_RFC_3261, BESIDES_FIGURE_6, id="figure 6"),
    pytest.param(INVITE_SERVER, FIGURE_7_OF_RFC_6026, BESIDES_FIGURE_7, id="figure 7"),
    pytest.param(NON_INVITE_SERVER, FIGURE_8_OF_RFC_3261, BESIDES_FIGURE_8, id="figure 8"),
]


def arrows(figure: str) -> dict[tuple[State, Event], tuple[State, set[Action]]]:
    found = {}
    for line in figure.strip().splitlines():
        state, event, goes_to, actions = (part.strip() for part in line.split("|"))
        found[State(state), Event(event)] = (State(goes_to), {Action[name] for name in actions.split()})
    return found


@pytest.mark.parametrize(("machine", "figure", "besides"), FIGURES)
def test_every_arrow_of_the_figure_is_a_row(machine: Machine, figure: str, besides: str) -> None:
    for key, (goes_to, actions) in {**arrows(figure), **arrows(besides)}.items():
        row = machine.rows[key]
        assert row.goes_to is goes_to, row
        assert actions <= set(row.actions), row


@pytest.mark.parametrize(("machine", "figure", "besides"), FIGURES)
def test_there_is_no_row_that_is_not_written_here(machine: Machine, figure: str, besides: str) -> None:
    assert set(machine.rows) == set(arrows(figure)) | set(arrows(besides))


def test_where_each_machine_begins() -> None:
    assert [(machine.initial, machine.entry) for machine in MACHINES] == [
        (State.CALLING, (Action.START_A, Action.START_B)),
        (State.TRYING, (Action.START_E, Action.START_F)),
        (State.PROCEEDING, (Action.START_TRYING,)),
        (State.TRYING, (Action.START_TRYING, Action.START_GIVE_UP)),
    ]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_state_can_be_reached_and_left(machine: Machine) -> None:
    reached = {machine.initial}
    for _ in machine:
        reached |= {row.goes_to for row in machine if row.state in reached}
    assert reached == {row.state for row in machine} | {State.TERMINATED}


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_timer_that_is_started_has_a_row_wherever_it_can_fire(machine: Machine) -> None:
    """A timer started on the way into a state is expected there."""
    for row in machine:
        for action in row.actions:
            if action.name.startswith("START_") and row.goes_to is not State.TERMINATED:
                event = Event[f"TIMER_{action.name.removeprefix('START_')}"]
                assert (row.goes_to, event) in machine.rows, row


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_tu_is_told_last(machine: Machine) -> None:
    for row in machine:
        told = [action.name.startswith(("TELL", "INFORM", "NEXT")) for action in row.actions]
        assert not any(told[:-1]), row


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_row_cites_its_clause(machine: Machine) -> None:
    assert all(row.clause.startswith(("RFC 3261 §", "RFC 6026 §", "RFC 4320 §")) for row in machine)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_machine_can_print_itself(machine: Machine) -> None:
    text, diagram = machine.text().splitlines(), machine.mermaid().splitlines()
    assert len(text) == len(machine.rows) + 2
    assert diagram[0] == "stateDiagram-v2"
    assert len([line for line in diagram if " --> " in line and ": " in line]) == len(machine.rows) + 1


def test_a_printed_row() -> None:
    line = "Calling | Timer A | Calling | send the last message again, restart Timer A doubled | RFC 3261 §17.1.1.2"
    assert line in INVITE_CLIENT.text().splitlines()
    arrow = "    Calling --> Calling: Timer A / send the last message again, restart Timer A doubled"
    assert arrow in INVITE_CLIENT.mermaid().splitlines()


def test_two_rows_for_one_event_are_refused() -> None:
    row = Row(State.TRYING, Event.FINAL, State.TERMINATED, (), "RFC 3261 §17")
    with pytest.raises(ValueError, match="second row"):
        Machine("twice", "RFC 3261 §17", State.TRYING, (), (row, row))


def test_a_row_out_of_terminated_is_refused() -> None:
    row = Row(State.TERMINATED, Event.FINAL, State.TRYING, (), "RFC 3261 §17")
    with pytest.raises(ValueError, match="out of Terminated"):
        Machine("undead", "RFC 3261 §17", State.TRYING, (), (row,))


def test_an_action_that_nobody_carries_out_is_refused() -> None:
    with pytest.raises(KeyError, match="ServerTransaction does not know how to"):
        Plan(INVITE_CLIENT, ServerTransaction)
    assert Plan(INVITE_CLIENT, ClientTransaction).initial is State.CALLING
