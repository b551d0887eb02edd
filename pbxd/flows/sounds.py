"""What a flow wants to be heard, as lines for the reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal, InvalidOperation
from pathlib import Path

from dialplan.command import Sound, SoundKind, SpokenAs
from media.library import LANGUAGE
from media.script import AudioFile, Line, Prompt, Speech
from media.speech import LONGEST_TEXT
from media.spoken import CannotSay, Language, language

CURRENCY = "EUR"


def lines_of(sounds: Iterable[Sound], recordings: Mapping[str, Path], house: str) -> tuple[Line, ...]:
    """The lines for `sounds`; what is empty, or a recording that this call did not make, is left out. `house` is the
    language where a sound says none that there is."""
    return tuple(line for sound in sounds for line in _lines(sound, recordings, house))


def _lines(sound: Sound, recordings: Mapping[str, Path], house: str) -> Iterable[Line]:
    tongue = sound.language.lower() if LANGUAGE.fullmatch(sound.language.lower()) else house
    if sound.kind is SoundKind.RECORDING:
        return (AudioFile(recordings[sound.value]),) if sound.value in recordings else ()
    if sound.kind is SoundKind.PROMPT:
        return (Prompt(sound.value, language=tongue),)
    text = spoken(sound.value, sound.spoken_as, tongue).strip()
    return tuple(Speech(part, tongue) for part in _parts(text))


def spoken(text: str, how: SpokenAs, tongue: str) -> str:
    """`text` in words; as it stands where the language has none for it."""
    if how is SpokenAs.TEXT:
        return text
    try:
        return _said(text.strip(), how, language(tongue))
    except (CannotSay, ValueError, InvalidOperation):
        return text


def _said(text: str, how: SpokenAs, words: Language) -> str:
    match how:
        case SpokenAs.DIGITS:
            return words.digits(text)
        case SpokenAs.NUMBER:
            return words.number(Decimal(text))
        case SpokenAs.DATE:
            return words.date(date.fromisoformat(text[:10]))
        case SpokenAs.TIME:
            return words.time(time.fromisoformat(text.partition("T")[2] or text))
        case _:
            amount, _, currency = text.partition(" ")
            return words.money(Decimal(amount), currency.strip() or CURRENCY)


def _parts(text: str) -> Iterable[str]:
    """A voice says so much at a time: longer texts are cut at a space."""
    while len(text) > LONGEST_TEXT:
        cut = text.rfind(" ", 1, LONGEST_TEXT)
        yield text[: cut if cut > 0 else LONGEST_TEXT].strip()
        text = text[cut if cut > 0 else LONGEST_TEXT :].strip()
    if text:
        yield text
