"""Numbers at which the house itself speaks: what a phone hears there is what was meant to be said."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import media
from media.convert import convert
from media.library import phrases
from media.sound import Samples
from media.speech import EspeakVoice, Speaker
from media.wav import read
from tests.clients.ears import level_dbfs, understood
from tests.clients.lab import Lab
from tests.clients.phone import Call
from tests.clients.phones import Make
from tests.clients.until import until

MOST = 0.4


@cache
def said(text: str) -> Samples:
    """What the house's voice says, at a phone's rate."""
    with TemporaryDirectory() as folder:
        return Speaker(EspeakVoice(), Path(folder), 1 << 20).say(text, "en-us", 8000).samples


def hears_said(call: Call, text: str, *, after: int = 0, timeout: float = 12.0, most: float = MOST) -> None:
    """The phone hears the house say `text`, word for word, in what it hears `after` so many samples."""
    wanted = said(text)

    def heard() -> bool:
        return understood(wanted, call.recorded()[after:]) > most

    until(heard, f"{text!r} to be heard", timeout=timeout, every=0.4)


@pytest.mark.parametrize("make", [Make.BARESIP_PY, Make.PJSUA2], ids=lambda make: make.name.lower())
def test_601_reads_back_the_digits_that_are_pressed(lab: Lab, make: Make) -> None:
    phone = lab.phone(make, "1001")
    call = phone.dial("601").established()
    hears_said(call, phrases("en")["press-digits"])
    call.send_digits("1204")
    hears_said(call, "You pressed one two zero four.")
    before = len(call.recorded())
    call.send_digits("9#")
    hears_said(call, "You pressed nine.", after=before)
    call.hang_up()
    assert lab.record()["result"] == "success"


def test_digits_may_be_pressed_into_the_prompt(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("601").established()
    call.send_digits("77#")
    hears_said(call, "You pressed seven seven.")
    assert understood(said(phrases("en")["press-digits"]), call.recorded()) < 0.3
    call.hang_up()


def test_901_says_who_is_calling_and_hangs_up(lab: Lab) -> None:
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("901").established()
    hears_said(call, "You are calling from one zero zero one.")
    call.ended()
    record = lab.record()
    assert (record["ended_by"], record["result"]) == ("house", "success")


def test_900_plays_a_minute_of_sound(lab: Lab, tmp_path: Path) -> None:
    convert(Path(media.__file__).with_name("prompts") / "en" / "demo.opus", tmp_path / "demo.wav", 8000, 100)
    demo = read(tmp_path / "demo.wav")
    assert demo.seconds == pytest.approx(60, abs=0.1)
    phone = lab.phone(Make.BARESIP_PY, "1001")
    call = phone.dial("900").established()
    start = demo.samples[: 4 * 8000]
    until(lambda: understood(start, call.recorded()) > MOST, "the demonstration to begin", timeout=10, every=0.4)
    assert level_dbfs(call.recorded()) > -40
    call.hang_up()
