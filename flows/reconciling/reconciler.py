"""The command line of the reconciler: what is dead is shown, and with --apply put right."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from flows.command_line import temporary_server
from flows.command_line.arguments import add_usual, command_line, span
from flows.command_line.prefect_address import with_prefect
from flows.reconciling.flow_runs import FlowRuns
from flows.reconciling.reconciliation import policy, reconciled, use
from flows.reconciling.remedies import Say
from onerun.commands.exit import exit_code
from onerun.commands.terminal import Terminal
from onerun.tracking.running import nothing_there
from settings.profile import PrefectProfile, load_profile

EXAMPLE = """example:
  python -m flows.reconcile
  python -m flows.reconcile --apply
  python -m flows.reconcile --apply --interval 15m
  python -m flows.reconcile --also-older-than 7d --experiments "legacy-*"

Without --apply nothing is changed; the plan is the same. Runs of others are left alone unless --also-older-than
names their age. Tag a run onerun.reconcile=never and it is never ended.
exit codes: 0 done, 1 something could not be put right, 2 a mistake in what was asked, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.reconcile`."""
    parser = command_line(
        "flows.reconcile",
        "Find runs that read RUNNING and whose training is dead, and end them with the evidence.",
        EXAMPLE,
    )
    parser.add_argument(
        "--apply", action="store_true", help="act on the plan; without it nothing is changed"
    )
    parser.add_argument(
        "--silence", metavar="SPAN", type=span, help="a heart silent for so long has stopped (30m)"
    )
    parser.add_argument(
        "--also-older-than", metavar="SPAN", type=span, help="end runs of others, too"
    )
    parser.add_argument(
        "--experiments", metavar="GLOB", action="append", default=[], help="look only at these"
    )
    parser.add_argument(
        "--interval", metavar="SPAN", type=span, help="do it again and again, with this pause"
    )
    add_usual(parser, "which MLflow and Prefect")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as asked, once or again and again. Returns: the exit code."""
    asked = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    interrupted = "interrupted; each run is ended whole or not at all"
    with ExitStack() as stack:
        prefect = Prefect(stack)
        while True:
            code = exit_code(
                lambda: _done(asked, prefect), asked.json, interrupted, asked.traceback
            )
            if asked.interval is None or code not in (
                0,
                1,
            ):  # what fails now may do better next time
                return code
            try:
                time.sleep(asked.interval.total_seconds())
            except KeyboardInterrupt:
                return 130


class Prefect:
    """Opened when it is first needed; a temporary server, on Prefect's own database, where no address is named."""

    def __init__(self, stack: ExitStack) -> None:
        """`stack`: closes what was opened."""
        self._stack = stack
        self._flow_runs: FlowRuns | None = None

    def __call__(self, profile: PrefectProfile, say: Say) -> FlowRuns:
        """Returns: the same one each time: a process has one temporary server, and Prefect reads its address once."""
        if self._flow_runs is None:
            if profile.prefect_api_url is None:
                server = temporary_server.start()
                self._stack.callback(server.stop)
                server.wait(say)
            from prefect.client.orchestration import get_client

            self._flow_runs = FlowRuns(self._stack.enter_context(get_client(sync_client=True)))
        return self._flow_runs


def _done(asked: argparse.Namespace, prefect: Prefect) -> dict[str, Any]:
    wanted = policy(asked.silence, asked.also_older_than, asked.experiments)
    say = Terminal(sys.stderr if asked.json else sys.stdout).say
    profile = with_prefect(load_profile(asked.profile))
    silence = use(profile)
    if silence or nothing_there():
        return reconciled(None, wanted, asked.apply, say, silence)
    return reconciled(prefect(profile, say), wanted, asked.apply, say)
