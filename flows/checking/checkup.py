"""The command line of the pre-flight check."""

import argparse
import os
import sys
from collections.abc import Sequence

from flows.command_line.arguments import add_usual, command_line
from onerun.commands.exit import exit_code
from onerun.commands.terminal import QUIET, Terminal
from onerun.config.mistakes import Mistakes
from onerun.domain.diagnosis import all_well

EXAMPLE = """example:
  python -m flows.doctor
  python -m flows.doctor --profile servers --pool onerun
  python -m flows.doctor --json

Looks at versions, databases, servers, credentials, clocks, disks, pools, workers and deployments.
Writes, reads and deletes one small artifact and one object in the store; nothing stays behind.
exit codes: 0 nothing is wrong, 2 something is: its line names it and what to do"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m flows.doctor`."""
    parser = command_line(
        "flows.doctor", "Check that trainings can run here, before one does.", EXAMPLE
    )
    parser.add_argument(
        "--pool", metavar="NAME", help="a work pool that must have a worker, besides those in use"
    )
    add_usual(parser, "where")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at everything. Return 0 or 2."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    terminal = Terminal(sys.stderr if options.json else sys.stdout)
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    well = True

    def look() -> dict[str, object]:
        nonlocal well
        from flows.checking.checks import findings

        found = []
        for finding in findings(options.profile, options.pool):
            terminal.say(finding.summary)
            found.append(finding)
        well = all_well(found)
        return {
            "status": "well" if well else "wrong",
            "findings": [finding.model_dump() for finding in found],
        }

    code = exit_code(look, options.json, "interrupted", options.traceback)
    if code == 0 and not well:
        return Mistakes.exit_code
    return code
