"""The command `onerun`: one sub-command per file of `onerun/commands/`."""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from onerun.commands.command import Command
from onerun.config.mistakes import did_you_mean
from onerun.version import __version__

COMMANDS = (  # as the help lists them
    "train",
    "init",
    "promote",
    "reconcile",
    "maintain",
    "summary",
    "backup",
    "restore",
    "rescue",
)


def command(name: str) -> Command[Any, Any]:
    """Return the command of that name."""
    module = importlib.import_module(f"onerun.commands.{name}")
    found: Command[Any, Any] = module.COMMAND
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `onerun` with these arguments, the process's own when None. Return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if given[0] == "--version":
        print(f"onerun {__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(
            f"onerun: unknown command {given[0]!r}{did_you_mean(given[0], COMMANDS)}\n"
            f"`onerun --help` lists the commands",
            file=sys.stderr,
        )
        return 2
    return command(given[0]).main(given[1:])


def help_text() -> str:
    """Return every command with its summary and one example."""
    lines = ["usage: onerun COMMAND [options]", "", "One recipe, one run, one champion.", ""]
    for name in COMMANDS:
        each = command(name)
        lines += [f"  {name:<10} {each.summary}", f"  {'':<10}   {each.examples[0]}"]
    return "\n".join([*lines, "", "`onerun COMMAND --help` describes the options of one command."])
