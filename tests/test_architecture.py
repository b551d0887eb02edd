"""The house stands: imports go down, strangers stay strangers, no loop, no giant, no clock where none belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = ("pbxd", "media", "dialplan")

# DESIGN §2. The longest matching name decides; what is missing here has no place in the house.
FLOORS = {
    "media": 0,
    "dialplan": 0,
    "pbxd.sip": 0,
    "pbxd.errors": 0,
    "pbxd.events": 0,
    "pbxd.ids": 0,
    "pbxd.config": 1,
    "pbxd.store": 1,
    "pbxd.outbox": 1,
    "pbxd.trace": 1,
    "pbxd.metrics": 1,
    "pbxd.logs": 1,
    "pbxd.clock": 1,
    "pbxd.objects": 1,
    "pbxd.certificates": 1,
    "pbxd.readiness": 1,
    "pbxd.directory": 2,
    "pbxd.tls": 2,
    "pbxd.backup": 2,
    "pbxd.doctor": 2,
    "pbxd.admin_key": 3,
    "pbxd.calls": 3,
    "pbxd.services": 4,
    "pbxd.flows": 5,
    "pbxd.api": 6,
    "pbxd.control": 7,
    "pbxd.media_desk": 7,
    "pbxd.watching": 7,
    "pbxd.entrance": 7,
    "pbxd.vigil": 7,
    "pbxd.facade": 7,
    "pbxd.measures": 7,
    "pbxd.acoustics": 7,
    "pbxd.ahead": 7,
    "pbxd.callbacks": 7,
    "pbxd.visits": 7,
    "pbxd.dialplans": 7,
    "pbxd.listening": 7,
    "pbxd.faxline": 7,
    "pbxd.telephony": 7,
    "pbxd.mailroom": 7,
    "pbxd.callcentre": 7,
    "pbxd.faxroom": 7,
    "pbxd.music": 7,
    "pbxd.faults": 7,
    "pbxd.app": 7,
    "pbxd.banning": 8,
    "pbxd.guard_commands": 8,
    "pbxd.answering": 8,
    "pbxd.account_commands": 8,
    "pbxd.cli": 8,
    "pbxd.box": 8,
    "pbxd.preflight": 8,
    "pbxd.insight": 8,
    "pbxd.flow_cli": 8,
    "pbxd.flow_tools": 8,
    "pbxd.sound_commands": 8,
    "pbxd.flow_admin": 8,
    "pbxd.daemon": 8,
    "pbxd.__main__": 8,
}
FAMILIES = {7, 8}  # the composition root, and the process around it: each floor is one unit
STRANGERS_WITHIN = ("pbxd.services",)  # each module of these is a unit of its own

# On the ground floor bytes and time come in as arguments; only these shells may touch the outside.
SHELLS = {
    "pbxd.sip.transport",
    "pbxd.sip.connection",
    "pbxd.sip.connections",
    "pbxd.sip.resolve",
    "media.convert",  # files from outside are decoded in a process of their own
    "media.faxing",  # a thread steps the modems
    "media.pages",  # documents from outside likewise
    "media.recorder",  # a thread writes files
    "media.speech",  # a voice is a program
    "media.transcription",  # so is what understands one
}
OUTSIDE = {"asyncio", "socket", "time", "select", "selectors", "threading", "subprocess", "ssl"}

BUILT = {"_wire.c", "_modem.c"}
FILE_WALL = 600
FUNCTION_WALL = 80
FUNCTION_AIM = 35
EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "common", "misc", "base", "stuff"}
EMPTY_WORDS = ("Manager", "Helper", "Util")


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def unit(self) -> str | None:
        """The named part of the house it belongs to; None if it has no place."""
        names = [name for name in FLOORS if self.name == name or self.name.startswith(name + ".")]
        if not names:
            return None
        unit = max(names, key=len)
        if unit in STRANGERS_WITHIN and self.name != unit:
            return ".".join(self.name.split(".")[: unit.count(".") + 2])
        return unit

    @property
    def floor(self) -> int:
        name = self.unit or ""
        return FLOORS.get(name, FLOORS.get(name.rpartition(".")[0], -1))

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    def imported(self) -> Iterator[tuple[str, str]]:
        """Every import as (module, name in it), absolute; the name is empty for `import module`."""
        package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                source = ".".join([*base, *filter(None, [node.module])])
                yield from ((source, alias.name) for alias in node.names)


class House:
    """The sources under a root, and everything that is wrong with them as sentences."""

    def __init__(self, root: Path) -> None:
        self.modules = {module.name: module for module in _read(root)}

    def edges(self, module: Module) -> set[str]:
        """The modules of the house that `module` imports; of a package only what it takes from it."""
        found = set()
        for source, name in module.imported():
            inner = f"{source}.{name}"
            found.add(inner if inner in self.modules else source)
        return {name for name in found if name in self.modules and name != module.name}

    def misplaced(self) -> list[str]:
        roots = set(PACKAGES)
        return [name for name, module in self.modules.items() if module.unit is None and name not in roots]

    def upward(self) -> list[str]:
        return [
            f"{module.name} (floor {module.floor}) imports {name} (floor {self.modules[name].floor})"
            for module in self.modules.values()
            for name in sorted(self.edges(module))
            if module.unit and self.modules[name].floor > module.floor
        ]

    def familiar_strangers(self) -> list[str]:
        found = []
        for module in self.modules.values():
            for name in sorted(self.edges(module)):
                other = self.modules[name]
                if module.name.startswith(name + ".") or not (other.unit and module.unit):
                    continue
                if other.floor == module.floor not in FAMILIES and other.unit != module.unit:
                    found.append(f"{module.name} imports its stranger {name}")
        return found

    def cycles(self) -> list[str]:
        """Each knot of imports once, by depth-first search."""
        done: set[str] = set()
        found: list[str] = []

        def visit(name: str, path: list[str]) -> None:
            if name in path:
                found.append(" -> ".join([*path[path.index(name) :], name]))
            elif name not in done:
                for other in sorted(self.edges(self.modules[name])):
                    visit(other, [*path, name])
                done.add(name)

        for name in self.modules:
            visit(name, [])
        return found

    def late_imports(self) -> list[str]:
        return [
            f"{module.path}:{node.lineno} imports inside {function.name}"
            for module in self.modules.values()
            for function in module.functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    def clocks(self) -> list[str]:
        return [
            f"{module.name} imports {name}"
            for module in self.modules.values()
            if module.floor == 0 and module.name not in SHELLS
            for name in sorted({source.partition(".")[0] for source, _ in module.imported()} & OUTSIDE)
        ]

    def giants(self) -> list[str]:
        files = [f"{one.path}: {one.lines} lines" for one in self.modules.values() if one.lines > FILE_WALL]
        functions = [
            f"{one.path}:{function.lineno} {function.name}: {_length(function)} lines"
            for one in self.modules.values()
            for function in one.functions
            if _length(function) > FUNCTION_WALL
        ]
        return files + functions

    def long_functions(self) -> tuple[list[str], int]:
        """Those over the aim, longest first, and how many functions there are."""
        everything = [(_length(f), f"{m.name}.{f.name}") for m in self.modules.values() for f in m.functions]
        over = sorted((one for one in everything if one[0] > FUNCTION_AIM), reverse=True)
        return [f"{name}: {lines} lines" for lines, name in over], len(everything)

    def empty_names(self) -> list[str]:
        files = [name for name in self.modules if name.rpartition(".")[2].strip("_") in EMPTY_NAMES]
        classes = [
            f"{module.name}.{node.name}"
            for module in self.modules.values()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef) and (node.name.endswith(EMPTY_WORDS) or node.name == "Agent")
        ]
        return files + classes


def _read(root: Path) -> Iterator[Module]:
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            text = path.read_text(encoding="utf-8")
            yield Module(name, path.relative_to(root), ast.parse(text), text.count("\n"))


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.fixture(scope="module")
def house() -> House:
    house = House(PROJECT)
    assert len(house.modules) > 20
    return house


def test_every_module_has_its_place(house: House) -> None:
    assert house.misplaced() == []


def test_imports_go_down_only(house: House) -> None:
    assert house.upward() == []


def test_packages_of_one_floor_are_strangers(house: House) -> None:
    assert house.familiar_strangers() == []


def test_no_import_cycle(house: House) -> None:
    assert house.cycles() == []


def test_imports_stand_at_the_top(house: House) -> None:
    assert house.late_imports() == []


def test_the_ground_floor_has_no_clock_and_no_socket(house: House) -> None:
    assert house.clocks() == []


def test_no_file_and_no_function_is_over_the_wall(house: House) -> None:
    assert house.giants() == []


def test_nine_functions_in_ten_are_short(house: House) -> None:
    over, count = house.long_functions()
    assert len(over) <= count / 10, over


def test_names_say_something(house: House) -> None:
    assert house.empty_names() == []


def test_c_files_and_tests_stay_under_the_wall() -> None:
    files = [
        *(PROJECT / "media").rglob("*.[ch]"),
        *(PROJECT / "tests").rglob("*.py"),
        *(PROJECT / "tests").rglob("*.c"),
    ]
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in files if path.name not in BUILT}
    assert {path.name: lines for path, lines in lengths.items() if lines > FILE_WALL} == {}


def test_a_crooked_house_is_seen(tmp_path: Path) -> None:
    """The rules above find what they are for."""
    crooked = {
        "pbxd/__init__.py": "",
        "pbxd/sip/__init__.py": "",
        "pbxd/sip/stack.py": "import time\nfrom pbxd.calls import call\n",
        "pbxd/sip/utils.py": "def long():\n" + "    x = 1\n" * 90,
        "pbxd/calls/__init__.py": "",
        "pbxd/calls/call.py": "from . import leg\nclass CallManager: ...\n",
        "pbxd/calls/leg.py": "from pbxd.calls import call\ndef f():\n    import json\n",
        "pbxd/services/__init__.py": "",
        "pbxd/services/cdr.py": "from pbxd.services import queues\n",
        "pbxd/services/queues.py": "",
        "pbxd/attic.py": "\n" * 601,
        "media/__init__.py": "import pbxd.sip.stack\n",
    }
    for name, text in crooked.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    house = House(tmp_path)
    assert house.misplaced() == ["pbxd.attic"]
    assert house.upward() == [
        "pbxd.sip.stack (floor 0) imports pbxd.calls.call (floor 3)",
    ]
    assert house.familiar_strangers() == [
        "pbxd.services.cdr imports its stranger pbxd.services.queues",
        "media imports its stranger pbxd.sip.stack",
    ]
    assert house.cycles() == ["pbxd.calls.call -> pbxd.calls.leg -> pbxd.calls.call"]
    assert house.late_imports() == ["pbxd/calls/leg.py:3 imports inside f"]
    assert house.clocks() == ["pbxd.sip.stack imports time"]
    assert house.giants() == ["pbxd/attic.py: 601 lines", "pbxd/sip/utils.py:1 long: 91 lines"]
    assert house.long_functions() == (["pbxd.sip.utils.long: 91 lines"], 2)
    assert house.empty_names() == ["pbxd.sip.utils", "pbxd.calls.call.CallManager"]
