"""Conferences with real phones: each hears the others and not itself."""

from __future__ import annotations

from media.library import phrases
from tests.clients.ears import level_of_tone
from tests.clients.lab import Lab
from tests.clients.line import Srtp
from tests.clients.phone import Call
from tests.clients.phones import Make
from tests.clients.sound import RATE
from tests.clients.until import until
from tests.stories.test_house_numbers import hears_said

AUDIBLE_DBFS = -40
IN_FULL_DBFS = -18  # for the whole second: they speak at -15
QUIETER_DB = 20  # two tones together clip a little, and what clips is heard everywhere


def levels(call: Call, *tones: float) -> list[float]:
    """How loud each tone is in the newest second of what it hears."""
    newest = call.recorded()[-RATE:]
    return [level_of_tone(newest, hz) for hz in tones]


def test_phones_of_three_makes_and_codecs_hear_each_other_and_not_themselves(lab: Lab) -> None:
    phones = [
        lab.phone(Make.BARESIP_PY, "1001", codecs=("PCMA",)),
        lab.phone(Make.PJSUA2, "1002", codecs=("G722",), srtp=Srtp.REQUIRED),
        lab.phone(Make.LINPHONE, "1003", codecs=("opus",)),
    ]
    calls = [phone.dial("700").established() for phone in phones]
    for number, call in enumerate(calls):
        own = phones[number].line.tone_hz
        others = [phone.line.tone_hz for at, phone in enumerate(phones) if at != number]
        until(lambda: min(levels(call, *others)) > IN_FULL_DBFS, f"{call} to hear {others}", timeout=10, every=0.3)  # noqa: B023
        assert levels(call, own)[0] < min(levels(call, *others)) - QUIETER_DB
    for call in calls:
        call.hang_up()
    legs = [lab.record()["legs"][0] for _ in calls]
    assert {leg["codec"] for leg in legs} == {"PCMA", "G722", "opus"}
    assert sum(leg["srtp"] is not None for leg in legs) == 1


def test_who_comes_first_hears_that_nobody_else_is_there(lab: Lab) -> None:
    call = lab.phone(Make.BARESIP_PY, "1001").dial("701").established()
    hears_said(call, phrases("en")["conference-alone"])
    call.hang_up()
    assert lab.record()["result"] == "success"


def test_star_one_mutes(lab: Lab) -> None:
    speaker = lab.phone(Make.BARESIP_PY, "1001")
    listener = lab.phone(Make.BARESIP_PY, "1002", tone_dbfs=-80)  # so that prompts are heard alone
    talking, listening = (phone.dial("702").established() for phone in (speaker, listener))
    hz = speaker.line.tone_hz
    until(lambda: levels(listening, hz)[0] > AUDIBLE_DBFS, "the speaker to be heard", timeout=10, every=0.3)
    talking.send_digits("*1")
    hears_said(talking, phrases("en")["conference-muted"])
    until(lambda: levels(listening, hz)[0] < AUDIBLE_DBFS - QUIETER_DB, "the speaker to be muted", every=0.3)
    talking.send_digits("*1")
    until(lambda: levels(listening, hz)[0] > AUDIBLE_DBFS, "the speaker to be heard again", every=0.3)
    for call in (talking, listening):
        call.hang_up()
