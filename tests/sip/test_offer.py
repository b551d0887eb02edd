"""Offer and answer: the table, and which message may carry what."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from pbxd.sip import offer
from pbxd.sip.offer import ANSWERED_IN, TABLE, Carrier, OfferAnswer, OfferError, OfferState
from pbxd.sip.session import SessionState, state

ANSWERS = [(question, answer) for question, answers in ANSWERED_IN.items() for answer in answers]


@pytest.mark.parametrize(("question", "answer"), ANSWERS)
def test_our_offer(question: Carrier, answer: Carrier) -> None:
    offers = OfferAnswer()
    offers.send_offer(b"ours", question)
    assert offers.waits_in(question)
    assert not offers.waits_in(*(set(Carrier) - {question}))
    assert (offers.pending, offers.idle, offers.agreed) == (b"ours", False, False)
    offers.receive_answer(b"theirs", answer)
    assert (offers.local, offers.remote, offers.idle, offers.agreed) == (b"ours", b"theirs", True, True)


@pytest.mark.parametrize(("question", "answer"), ANSWERS)
def test_their_offer(question: Carrier, answer: Carrier) -> None:
    offers = OfferAnswer()
    offers.receive_offer(b"theirs", question)
    assert offers.asked_in(question)
    offers.send_answer(b"ours", answer)
    assert (offers.local, offers.remote, offers.pending) == (b"ours", b"theirs", None)


@pytest.mark.parametrize("question", list(ANSWERED_IN))
@pytest.mark.parametrize("answer", list(Carrier))
def test_an_answer_in_the_wrong_message(question: Carrier, answer: Carrier) -> None:
    offers = OfferAnswer()
    offers.send_offer(b"ours", question)
    if answer not in ANSWERED_IN[question]:
        with pytest.raises(OfferError, match=f"is not answered in {answer.name}"):
            offers.receive_answer(b"theirs", answer)
        assert offers.waits_in(question)


@pytest.mark.parametrize("carrier", [each for each in Carrier if each not in ANSWERED_IN])
def test_an_offer_in_the_wrong_message(carrier: Carrier) -> None:
    with pytest.raises(OfferError, match="carries no offer"):
        OfferAnswer().send_offer(b"ours", carrier)


def test_only_one_offer_at_a_time() -> None:
    offers = OfferAnswer(b"local", b"remote")
    offers.send_offer(b"one", Carrier.INVITE)
    for wrong in (offers.send_offer, offers.receive_offer):
        with pytest.raises(OfferError, match="OFFER in LOCAL_OFFER"):
            wrong(b"two", Carrier.UPDATE)
    with pytest.raises(OfferError, match="SEND_ANSWER in LOCAL_OFFER"):
        offers.send_answer(b"three", Carrier.SUCCESS)
    offers.withdraw()
    offers.withdraw()
    assert (offers.local, offers.remote, offers.state) == (b"local", b"remote", OfferState.IDLE)
    with pytest.raises(OfferError, match="RECEIVE_ANSWER in IDLE"):
        offers.receive_answer(b"four", Carrier.SUCCESS)


def rows_of(text: str | None, names: Iterable[str]) -> set[tuple[str, ...]]:
    """The first three words of the lines that begin with a state."""
    assert text is not None
    rows = {tuple(line.split()[:3]) for line in text.splitlines() if line.split()[:1] and line.split()[0] in names}
    return {row if row[0] != "any" else (name, *row[1:]) for row in rows for name in names if row[0] in ("any", name)}


def test_the_tables_are_what_their_files_say() -> None:
    """The table in the docstring is the table in the code, and the one that the machine prints."""
    offers = rows_of(offer.__doc__, [each.name for each in OfferState])
    assert offers == rows_of(offer.text(), [each.name for each in OfferState])
    assert len(offers) == len(TABLE)
    names = [each.name for each in SessionState if each is not SessionState.ENDED]
    sessions = rows_of(state.__doc__, [*names, "any"]) - {("any", "OVER", "ENDED")}
    assert sessions == rows_of(state.text(), names)
    assert len(sessions) == len(state.TABLE)


def test_every_state_of_a_session_can_be_reached_and_left() -> None:
    assert {*state.TABLE.values(), SessionState.CALLING, SessionState.INCOMING} == set(SessionState)
    assert {before for before, _ in state.TABLE} == set(SessionState) - {SessionState.ENDED}
