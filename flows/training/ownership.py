"""The one place that opens and ends a run. Everything below it holds a `run_id` (P1)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from prefect.exceptions import Abort, TerminationSignal

from onerun import retry
from onerun.domain.errors import Superseded, TransientError
from onerun.tracking.fence import require_ownership
from onerun.tracking.ownership import OwnedRun, Status, end_half_open, end_run, open_run

INTERRUPTED_SECONDS = 5  # whoever interrupts does not wait for a silent store
RETRY = (
    "the same command with `--retry {}` goes on after the last finished stage, with what was computed meanwhile; "
    "so does a retry of the flow run in Prefect's pages"
)
log = logging.getLogger("onerun")


@contextmanager
def owned_run(
    experiment: str, flow_run_id: str, run_name: str, recipe_digest: str, tags: Mapping[str, str]
) -> Iterator[OwnedRun]:
    """The flow run's MLflow run: RUNNING within the block; then FINISHED, FAILED, or KILLED when it was interrupted."""
    retry.anew()
    try:
        run = open_run(experiment, flow_run_id, run_name, recipe_digest, tags)
    except (KeyboardInterrupt, SystemExit, TerminationSignal) as interrupt:
        with (
            suppress(TransientError),
            retry.limited_to(INTERRUPTED_SECONDS),
        ):  # else the reconciler ends it
            end_half_open(experiment, flow_run_id, _in_words(interrupt))
        raise
    try:
        yield run
        _step_back_if_superseded(run)
        end_run(run.run_id, "FINISHED")
    except (
        BaseException
    ) as error:  # interrupts and cancellation are no Exception, and the run must end for them too
        _end_after(error, run, flow_run_id)
        raise


def _end_after(error: BaseException, run: OwnedRun, flow_run_id: str) -> None:
    """Ends the run with the error; notes on the error what a person has to know besides."""
    if isinstance(error, TransientError):
        error.add_note(RETRY.format(flow_run_id))
    status = _status(error)
    retry.anew()
    try:
        with retry.limited_to(INTERRUPTED_SECONDS if status == "KILLED" else float("inf")):
            _step_back_if_superseded(run)
            end_run(run.run_id, status, _in_words(error))
    except TransientError as silent:
        note = f"run {run.run_id} still reads RUNNING: its end could not be written; a retry ends it, or the reconciler"
        log.error("%s (%s)", note, silent)
        error.add_note(note)


def _step_back_if_superseded(run: OwnedRun) -> None:
    """Raises: Abort when another process owns the run now; it says how it ends, to MLflow and to Prefect."""
    try:
        require_ownership(run.run_id)
    except Superseded as superseded:
        log.warning("%s", superseded)
        raise Abort(str(superseded)) from superseded


def _status(error: BaseException) -> Status:
    return "FAILED" if isinstance(error, Exception) else "KILLED"


def _in_words(error: BaseException) -> str:
    if isinstance(error, TerminationSignal):
        return "TerminationSignal: cancelled at Prefect, or asked to end by a signal"
    return f"{type(error).__name__}: {error}".rstrip(": ")
