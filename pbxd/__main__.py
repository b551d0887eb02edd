"""`pbxd`, the command."""

from __future__ import annotations

import importlib
import sys

from pbxd import account_commands, answering, banning, box, flow_cli, guard_commands, insight, sound_commands
from pbxd.cli import act, build_parser

DAEMON = "pbxd.daemon"


def main() -> int:
    """Run the command line; gives the exit code."""
    verbs = (account_commands, answering, banning, box, insight, flow_cli, sound_commands, guard_commands)
    arguments = build_parser(*(module.add_commands for module in verbs)).parse_args()
    if arguments.action is not None:
        return act(arguments)
    # Loaded by name: a command that only asks the daemon something must not load it (0.5 s).
    return int(importlib.import_module(DAEMON).run(arguments))


if __name__ == "__main__":
    sys.exit(main())
