"""The command line of a training. Imports nothing heavy itself: a mistake in what was asked is told within a second."""

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from flows.command_line import temporary_server
from flows.command_line.arguments import add_usual, command_line, parsed
from flows.command_line.links import links
from flows.training.preparation import Asked, check_asked, read_asked
from onerun.commands.exit import exit_code
from onerun.commands.terminal import QUIET, Terminal, outcome_lines
from onerun.config.profile import Profile

EXAMPLE = """example:
  python -m flows.train --recipe recipes/california-housing.yaml --data housing.csv
  python -m flows.train --recipe recipes/breast-cancer.yaml --set model.params.learning_rate=0.1 --set split.seed=7
  python -m flows.train --recipe recipes/diabetes.yaml --plan
  python -m flows.train --recipe recipes/diabetes.yaml --retry 0195d6b4-5d2c-7bc3-8f0e-2b1d3c4e5f60

exit codes: 0 done (promoted, or held by a gate), 1 a stage failed, 2 a mistake in what was asked, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.train`."""
    parser = command_line(
        "flows.train",
        "Take a recipe's data to a promoted model: ingest, validate, train, evaluate, register, promote.",
        EXAMPLE,
    )
    parser.add_argument("--recipe", metavar="FILE", help="a recipe, or the name of one in recipes/")
    parser.add_argument("--data", metavar="SOURCE", help="stands in for the recipe's data.source")
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set any key of the recipe"
    )
    parser.add_argument(
        "--retry",
        metavar="FLOW_RUN",
        help="go on with a flow run that failed, after its last finished stage",
    )
    parser.add_argument(
        "--plan", action="store_true", help="show what would run and be written; touch nothing"
    )
    add_usual(parser, "where it runs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as asked. Returns: the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    terminal = Terminal(sys.stderr if asked.json else sys.stdout)
    if not asked.recipe:
        parser().error("--recipe is missing")
    interrupted = "interrupted; the run, if it was begun, reads KILLED"
    return exit_code(lambda: _train(asked, terminal), asked.json, interrupted, asked.traceback)


def _train(arguments: argparse.Namespace, terminal: Terminal) -> dict[str, Any]:
    document, asked = read_asked(arguments.recipe, arguments.set, arguments.data, arguments.profile)
    if arguments.plan:
        from flows.training.plan import plan

        check_asked(document, asked)
        return plan(asked, terminal.say)
    asked.profile.apply()
    check_asked(document, asked)
    with _prefect(asked, terminal) as server:
        return _run_flow(arguments, asked.profile, terminal, server)


@contextlib.contextmanager
def _prefect(asked: Asked, terminal: Terminal) -> Iterator[temporary_server.TemporaryServer | None]:
    """The server that the profile names, or one for the length of this command."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    logging.getLogger("mlflow.store.db.utils").setLevel(
        logging.CRITICAL
    )  # it raises what it logs with a traceback
    if asked.profile.prefect_api_url:
        yield None
        return
    server = temporary_server.start()
    try:
        yield server
    finally:
        server.stop()


def _run_flow(
    arguments: argparse.Namespace,
    profile: Profile,
    terminal: Terminal,
    server: temporary_server.TemporaryServer | None,
) -> dict[str, Any]:
    from prefect.exceptions import Abort
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.command_line.watch import watched_by
    from flows.train import train
    from flows.training.retry import retried

    given = {"recipe": arguments.recipe, "overrides": arguments.set}
    given |= {"data": arguments.data, "profile": arguments.profile}
    if server is not None:
        server.wait(terminal.say)
    # Prefect's heartbeats tell others that a flow lives; so does the run's own (flows/training/pulse.py), and without
    # Prefect's thread a flow ends a second sooner.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), watched_by(terminal):
        try:
            result: dict[str, Any] = (
                retried(train, arguments.retry, given) if arguments.retry else train(**given)
            )
        except Abort as cancelled:
            terminal.say("cancelled at Prefect")
            raise KeyboardInterrupt from cancelled
    for line in outcome_lines(result, links(result, profile)):
        terminal.say(line)
    return result
