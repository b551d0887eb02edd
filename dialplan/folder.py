"""The folder with the flows, as it lies on the disk. The only file of the language that opens one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dialplan.load import SUFFIX
from dialplan.problem import Problem
from dialplan.tree import MAX_BYTES

MAX_FILES = 2000


@dataclass(frozen=True, slots=True)
class Folder:
    """The texts of its `*.yaml` by path, and what could not be read."""

    path: Path
    texts: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_folder(path: Path) -> Folder:
    """Read every flow, schedule and test. What cannot be read is a problem; nothing raises."""
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        files = sorted(file for file in path.iterdir() if file.name.endswith(SUFFIX) and not file.name.startswith("."))
    except OSError as error:
        return Folder(path, {}, (Problem(str(path), None, "", f"cannot be read: {error.strerror or error}"),))
    if len(files) > MAX_FILES:
        problems.append(Problem(str(path), None, "", f"there are more than {MAX_FILES} files"))
    for file in files[:MAX_FILES]:
        text = read_file(file)
        if isinstance(text, Problem):
            problems.append(text)
        else:
            texts[str(file)] = text
    return Folder(path, texts, tuple(problems))


def read_file(file: Path) -> str | Problem:
    """The text of one file, or why there is none."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)  # one more is too many, and `tree` says so
        return data.decode()
    except OSError as error:
        return Problem(str(file), None, "", f"cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        return Problem(str(file), None, "", f"is not UTF-8 text (byte {error.start})")
