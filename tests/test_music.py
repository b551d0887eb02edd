"""Whose music is heard: a queue's or a conference's own, its account's, the house's, or the house's own piece."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from media.convert import BadAudio
from media.script import AudioFile, HouseMusic, Line, Reader, Tune
from media.sound import Sound
from pbxd.calls.studio import Studio, Unreadable
from pbxd.config.values import parse_music
from pbxd.directory.accounts import Directory
from pbxd.directory.model import Account
from pbxd.music import MOST, Music
from tests.calls.house import at_once

LAB, ACME, NEW = (Account(f"acc_{slug}", slug, slug, slug) for slug in ("lab", "acme", "new"))


def folder(place: Path, *names: str) -> Path:
    place.mkdir(parents=True)
    for name in names:
        (place / name).touch()
    return place


@pytest.fixture
def music(tmp_path: Path) -> Music:
    """The account acme has a folder that the file names, new one by its place; shuffling turns a list round."""
    accounts = {one.id: one for one in (LAB, ACME, NEW)}
    sections = {"acme": SimpleNamespace(music=tmp_path / "acme")}
    config = SimpleNamespace(sound=SimpleNamespace(music=None), accounts=sections)
    directory = SimpleNamespace(account=accounts.get, default_account=LAB)
    return Music(lambda: cast(Any, config), cast(Directory, directory), tmp_path / "data", list.reverse)


def names(lines: list[Line]) -> list[str]:
    return [one.path.name if isinstance(one, Tune) else type(one).__name__ for one in lines]


def test_without_any_music_there_is_the_house_own_piece(music: Music) -> None:
    for account_id in ("", LAB.id, ACME.id, "acc_gone"):
        assert music.tunes(account_id) == [HouseMusic()]


def test_who_has_none_of_its_own_hears_that_of_the_next_larger(music: Music, tmp_path: Path) -> None:
    folder(tmp_path / "data" / "music", "house.mp3", "cover.jpg")
    folder(tmp_path / "data" / "music" / "vip", "vip.mp3")
    folder(tmp_path / "data" / "accounts" / "new" / "music", "new.ogg")
    folder(tmp_path / "acme" / "sales", "sales.wav")
    assert names(music.tunes(LAB.id)) == ["house.mp3"]
    assert names(music.tunes(NEW.id)) == ["new.ogg"]
    assert names(music.tunes(ACME.id)) == ["house.mp3"], "its folder holds no sound itself"
    assert names(music.tunes(ACME.id, "sales")) == ["sales.wav"]
    assert names(music.tunes(LAB.id, "vip")) == ["vip.mp3"]
    assert names(music.tunes(NEW.id, "vip")) == ["new.ogg"], "a name means a folder of one's own"
    assert names(music.tunes(NEW.id, str(tmp_path / "acme" / "sales"))) == ["sales.wav"]
    assert names(music.tunes(NEW.id, str(tmp_path / "nowhere"))) == ["new.ogg"]


def test_each_hears_another_order_but_those_who_hear_the_same(music: Music, tmp_path: Path) -> None:
    folder(tmp_path / "data" / "music", "b.mp3", "a.wav", "c.flac")
    assert names(music.tunes(LAB.id)) == ["c.flac", "b.mp3", "a.wav"]
    assert names(music.tunes(LAB.id, fixed=True)) == ["a.wav", "b.mp3", "c.flac"]


def test_a_large_folder_is_played_in_parts(music: Music, tmp_path: Path) -> None:
    folder(tmp_path / "data" / "music", *(f"{number:03}.mp3" for number in range(MOST + 30)))
    assert len(music.tunes(LAB.id)) == MOST


@pytest.mark.parametrize("text", ["..", "", "a b", "~", ".x", "x" * 65])
def test_what_is_neither_a_name_nor_a_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="music is a name"):
        parse_music(text)


def test_a_broken_file_is_left_out_and_the_others_are_played(caplog: pytest.LogCaptureFixture) -> None:
    class Library:
        def sound(self, path: Path, rate: int) -> Sound:
            if path.suffix == ".bad":
                raise BadAudio("it is no sound")
            return Sound.silence(1.0, rate)

    reader = Reader(cast(Any, Library()), {}, "us")
    made: list[Any] = []
    studio = Studio(reader, cast(Any, lambda sound: sound.seconds), at_once)
    good, bad = Tune(Path("one.wav")), Tune(Path("two.bad"))
    studio.prepare([bad, good], "en", 8000, made.append)
    assert made.pop() == [0.02, 1.0]
    assert "two.bad is left out of the music: it is no sound" in caplog.text
    for alone in (bad, AudioFile(bad.path)):
        Studio(reader, cast(Any, id), at_once).prepare([alone], "en", 8000, made.append)
        assert made.pop() == Unreadable(alone, "it is no sound")
    Studio(reader, cast(Any, id), at_once).prepare([good, AudioFile(bad.path)], "en", 8000, made.append)
    assert made.pop() == Unreadable(good, "it is no sound")
