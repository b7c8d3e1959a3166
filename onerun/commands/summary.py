"""`onerun summary`: what a store holds, in numbers."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from onerun.commands.command import Command
from onerun.commands.dead_runs import NoOrchestrator
from onerun.commands.options import Argument, CommonOptions
from onerun.commands.ui import Ui
from onerun.domain.cleanup.summary import Summary

if TYPE_CHECKING:
    from onerun.cleanup.orchestrator import Orchestrator


class SummaryOptions(CommonOptions):
    """Options of a summary."""

    store: Annotated[str | None, Argument(metavar="FOLDER")] = Field(
        None, description="a store of files such as ./mlruns, in place of the profile's store"
    )
    files: Annotated[bool, Argument("--no-files")] = Field(
        True, description="do not look at artifacts: no bytes, fewer troubles"
    )


def run(options: SummaryOptions, ui: Ui, orchestrator: "Orchestrator | None" = None) -> Summary:
    """Show what the store holds; change nothing. Raises: Mistakes when the store cannot be read."""
    result = summary_of(options, orchestrator)
    ui.publish("summary", "The store", lines=list(result.lines()))
    return result


def summary_of(options: SummaryOptions, orchestrator: "Orchestrator | None" = None) -> Summary:
    """Count what the store holds.

    Args: orchestrator: is asked which runs are dead.

    Raises: Mistakes when the store cannot be read.
    """
    from onerun.cleanup.litter import Places
    from onerun.cleanup.summary import summarise

    if options.store is not None:
        return summarise(options.store, options.files)
    asked = orchestrator or NoOrchestrator()
    variables = asked.use_store(options.profile).variables()
    places = Places(work=variables["ONERUN_WORK"], store=variables["ONERUN_STORE"])
    result = summarise(None, options.files, places)
    result.troubles += asked.dead_runs(measure=options.files)
    return result


COMMAND = Command(
    name="summary",
    summary="Show what a store holds: experiments, runs, models, bytes, troubles.",
    options=SummaryOptions,
    run=run,
    examples=[
        "onerun summary",
        "onerun summary --store ./mlruns --json",
        "onerun summary --no-files",
    ],
    exit_codes={0: "done, troubles or not", 1: "the store does not answer"},
    interrupted="interrupted; nothing was changed",
)
