"""Objects: keys that lead nowhere else, whole or not at all, and what stands in the way."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxd import objects as objects_module
from pbxd.errors import Conflict, Invalid, NotFound, TooLarge, Unavailable
from pbxd.objects import Folder, NoRoom, content_type_of, words_of

BAD_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "../secret",
    "lab/../../secret",
    "lab/./x.wav",
    "lab/.hidden",
    "lab/..%2fx",
    "lab\\..\\x",
    "lab/a b.wav",
    "lab/\0.wav",
    "lab/ä.wav",
    "lab/x\n.wav",
    "a/" * 8 + "x",
    "a/" + "x" * 129,
    ("x" * 100 + "/") * 4 + "y",
]


async def of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def inside(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "media")
    await made.open()
    return made


async def put(folder: Folder, key: str, *chunks: bytes, most: int = 100) -> str:
    return (await folder.put(key, of(*chunks), most)).etag


async def test_what_is_put_is_found_and_replaced(folder: Folder, tmp_path: Path) -> None:
    stored = await folder.put("acc_1/vm/a84b4c76@pc33.example.com.wav", of(b"RIFF", b"data"), 100)
    assert (stored.size, stored.content_type) == (8, "audio/wav")
    path = await folder.find(stored.key)
    assert path == tmp_path / "media" / "acc_1" / "vm" / "a84b4c76@pc33.example.com.wav"
    assert path.read_bytes() == b"RIFFdata"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert await put(folder, stored.key, b"new") != stored.etag
    assert path.read_bytes() == b"new"
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_what_is_no_key_leads_nowhere(folder: Folder, key: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="a key is up to"):
        await folder.find(key)
    with pytest.raises(Invalid):
        await put(folder, key, b"x")
    assert inside(tmp_path) == []


@given(st.text(alphabet="ab./\\:%\0 ~@", max_size=40))
def test_no_key_leaves_its_folder(key: str) -> None:
    try:
        words = words_of(key)
    except Invalid:
        return
    root = Path("/srv/media")
    assert Path(os.path.normpath(root.joinpath(*words))) == root.joinpath(*words)
    assert root in root.joinpath(*words).parents


async def test_a_link_is_not_followed(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key.wav").write_bytes(b"mine")
    root = tmp_path / "media"
    root.mkdir()
    (root / "lab").symlink_to(secret)
    (root / "one.wav").symlink_to(secret / "key.wav")
    for key in ("lab/key.wav", "one.wav"):
        with pytest.raises(NotFound):
            await folder.find(key)
        with pytest.raises(Conflict):
            await put(folder, key, b"other")
    assert (secret / "key.wav").read_bytes() == b"mine"
    assert [one.name for one in secret.iterdir()] == ["key.wav"]


async def test_a_folder_is_no_object_and_an_object_no_folder(folder: Folder) -> None:
    await put(folder, "a/b", b"x")
    for key in ("a", "a/b/c", "a/c"):
        with pytest.raises(NotFound):
            await folder.find(key)
    for key in ("a", "a/b/c"):
        with pytest.raises(Conflict, match="stands in the way"):
            await put(folder, key, b"y")
    assert (await folder.find("a/b")).read_bytes() == b"x"


async def test_too_much_leaves_what_was_there(folder: Folder) -> None:
    await put(folder, "a/b", b"x")
    with pytest.raises(TooLarge, match="at most 5 octets"):
        await put(folder, "a/b", b"123", b"456", most=5)
    path = await folder.find("a/b")
    assert path.read_bytes() == b"x"
    assert [one.name for one in path.parent.iterdir()] == ["b"]


async def test_who_stops_in_the_middle_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError("the client is gone")

    with pytest.raises(Unavailable):
        await folder.put("a/b", broken(), 100)
    assert list((tmp_path / "media" / "a").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, NoRoom, "no space left"),
        (errno.EDQUOT, NoRoom, "no space left"),
        (errno.EIO, Unavailable, "cannot be written"),
    ],
)
async def test_a_disk_that_does_not_take_it_is_named(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Unavailable], words: str
) -> None:
    def refuse(*_arguments: object) -> str:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(objects_module, "_finish", refuse)
    with pytest.raises(kind, match=words):
        await put(folder, "a/b", b"x")
    assert list((tmp_path / "media" / "a").iterdir()) == []


async def test_what_a_dead_process_was_writing_is_gone(folder: Folder, tmp_path: Path) -> None:
    await put(folder, "a/b", b"x")
    (tmp_path / "media" / "a" / ".fresh-0123").write_bytes(b"half")
    await Folder(tmp_path / "media").open()
    assert [one.name for one in (tmp_path / "media" / "a").iterdir()] == ["b"]


def test_the_ending_says_what_it_is() -> None:
    assert content_type_of("a/b.WAV") == "audio/wav"
    assert content_type_of("a/b.mp3") == "audio/mpeg"
    assert content_type_of("a/b.html") == "application/octet-stream"
    assert content_type_of("a/b") == "application/octet-stream"
