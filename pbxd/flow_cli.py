"""`pbxd flow …` on the command line; `flow_tools` does it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

from pbxd import flow_admin
from pbxd.cli import Commands

TOOLS = "pbxd.flow_tools"
"""Loaded by name: `pbxd calls` must not wait for the language (0.1 s)."""


def add_commands(commands: Commands) -> None:
    """Add `flow` to the command line."""
    flow = commands.add_parser(
        "flow", help="check, draw, try out and test call flows, or list, upload and roll back those that are live"
    )
    deeper = flow.add_subparsers(
        dest="flow_command", required=True, metavar="check | show | run | test | schema | list | …"
    )
    place = _place_options()

    one = deeper.add_parser("check", parents=[place], help="say everything that is wrong with the flows")
    one.add_argument("files", nargs="*", type=Path, metavar="FILE", help="only these; default: the whole folder")
    one.add_argument("--json", action="store_true", help="answer with JSON, for machines")
    one.set_defaults(action=_tool("check_flows"))

    one = deeper.add_parser("show", parents=[place], help="draw a flow: Mermaid, or a picture with --svg")
    one.add_argument("name")
    one.add_argument("--svg", type=Path, metavar="FILE", help="write an SVG instead")
    one.set_defaults(action=_tool("show_flow"))

    one = deeper.add_parser("run", parents=[place], help="call a flow from this terminal")
    one.add_argument("name")
    one.add_argument("--caller", default="1002", metavar="NUMBER", help="who calls (1002)")
    one.add_argument("--called", default="500", metavar="NUMBER", help="the number that was dialled (500)")
    one.add_argument("--at", metavar="MOMENT", help="such as '2026-12-25 10:00', on the flow's clock; default: now")
    text = "give an argument or a variable; may be given again"
    one.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="given", help=text)
    one.set_defaults(action=_tool("run_flow"))

    one = deeper.add_parser("test", parents=[place], help="run the tests beside the flows (NAME.test.yaml)")
    one.add_argument("names", nargs="*", metavar="NAME", help="only those of these flows")
    one.add_argument("--json", action="store_true", help="answer with JSON, for machines")
    one.set_defaults(action=_tool("test_flows"))

    flow_admin.add_commands(deeper)

    one = deeper.add_parser("schema", help="the language as JSON Schema, for editors")
    one.set_defaults(action=_tool("print_schema"))


def _place_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--config", type=Path, metavar="FILE", help="the configuration whose house this is")
    options.add_argument("--dialplan", type=Path, metavar="DIR", help="the flows; default: dialplan beside it")
    return options


def _tool(name: str) -> Callable[[argparse.Namespace], None]:
    def act(arguments: argparse.Namespace) -> None:
        getattr(importlib.import_module(TOOLS), name)(arguments)

    return act
