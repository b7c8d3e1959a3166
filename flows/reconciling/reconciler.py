"""The command line of the reconciler with Prefect: once, or again and again."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

from pydantic import Field

from flows.command_line import temporary_server
from flows.command_line.prefect_address import with_prefect
from flows.reconciling.flow_runs import FlowRuns
from onerun.commands import reconcile
from onerun.commands.command import Command
from onerun.commands.options import Argument
from onerun.commands.reconcile import Reconciled, ReconcileOptions, ReconcilePlanned, Span, use
from onerun.commands.ui import Ui
from onerun.tracking.running import nothing_there
from settings.profile import PrefectProfile, load_profile


class IntervalOptions(ReconcileOptions):
    """Options of a reconciler that may run for ever."""

    interval: Annotated[Span | None, Argument(metavar="SPAN")] = Field(
        None, description="do it again and again, with this pause"
    )


class Prefect:
    """Prefect, opened when it is first needed.

    Where no address is named, it is a temporary server on Prefect's own database.
    """

    def __init__(self, stack: ExitStack) -> None:
        """Take the stack that closes what was opened."""
        self._stack = stack
        self._flow_runs: FlowRuns | None = None

    def open(self, profile: PrefectProfile, ui: Ui) -> FlowRuns:
        """Return Prefect's flow runs, of the same client each time.

        A process has one temporary server, and Prefect reads its address once.
        """
        if self._flow_runs is None:
            if profile.prefect_api_url is None:
                server = temporary_server.start()
                self._stack.callback(server.stop)
                server.wait(ui.say)
            from prefect.client.orchestration import get_client

            self._flow_runs = FlowRuns(self._stack.enter_context(get_client(sync_client=True)))
        return self._flow_runs


def command(stack: ExitStack) -> "Command[IntervalOptions, ReconcilePlanned | Reconciled]":
    """Return the command; what it opens is closed with `stack`."""
    prefect = Prefect(stack)

    def run(options: IntervalOptions, ui: Ui) -> ReconcilePlanned | Reconciled:
        options.policy()
        profile = with_prefect(load_profile(options.profile))
        unavailable = use(profile)
        source = None
        if not unavailable and not nothing_there():
            source = prefect.open(profile, ui)
        return reconcile.reconcile(source, options, ui, unavailable)

    plain = reconcile.COMMAND
    return Command(
        name="reconcile",
        summary=plain.summary,
        options=IntervalOptions,
        run=run,
        examples=[*plain.examples, "onerun reconcile --apply --interval 15m"],
        notes=plain.notes,
        exit_codes=plain.exit_codes,
        interrupted=plain.interrupted,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command once, or again and again with `--interval`. Return the exit code."""
    program = "python -m flows.reconcile"
    with ExitStack() as stack:
        reconciler = command(stack)
        given = reconciler.parser(program).parse_args(arguments)
        while True:
            code = reconciler.main(arguments, program)
            if getattr(given, "interval", None) is None:
                return code
            if code not in (0, 1):  # 1: what fails now may succeed next time
                return code
            interval = reconciler.parse(arguments).interval
            assert interval is not None
            try:
                time.sleep(interval.total_seconds())
            except KeyboardInterrupt:
                return 130
