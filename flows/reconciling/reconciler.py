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
    """Opened when it is first needed; a temporary server, on Prefect's own database, where no address is named."""

    def __init__(self, stack: ExitStack) -> None:
        """`stack`: closes what was opened."""
        self._stack = stack
        self._flow_runs: FlowRuns | None = None

    def open(self, profile: PrefectProfile, ui: Ui) -> FlowRuns:
        """Return the same one each time: a process has one temporary server, and Prefect reads its address once."""
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
        silence = use(profile)
        source = None
        if not silence and not nothing_there():
            source = prefect.open(profile, ui)
        return reconcile.reconcile(source, options, ui, silence)

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
    """Do as asked, once or again and again. Return the exit code."""
    program = "python -m flows.reconcile"
    with ExitStack() as stack:
        asked = command(stack)
        pause = asked.parser(program).parse_args(arguments)
        while True:
            code = asked.main(arguments, program)
            interval = getattr(pause, "interval", None)
            if interval is None or code not in (0, 1):  # what fails now may do better next time
                return code
            try:
                time.sleep(asked.parse(arguments).interval.total_seconds())  # type: ignore[union-attr]
            except KeyboardInterrupt:
                return 130
