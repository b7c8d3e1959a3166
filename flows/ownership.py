"""The one place that opens and ends a run. Everything below it holds a `run_id` (P1)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prefect.exceptions import Abort, TerminationSignal

from domain.errors import Superseded
from tasks.tracking.fence import require_ownership
from tasks.tracking.ownership import OwnedRun, Status, end_run, open_run

log = logging.getLogger("onerun")


@contextmanager
def owned_run(
    experiment: str, flow_run_id: str, run_name: str, recipe_digest: str, tags: Mapping[str, str]
) -> Iterator[OwnedRun]:
    """The flow run's MLflow run: RUNNING within the block; then FINISHED, FAILED, or KILLED when it was interrupted."""
    run = open_run(experiment, flow_run_id, run_name, recipe_digest, tags)
    try:
        yield run
    except BaseException as error:  # interrupts and cancellation are no Exception, and the run must end for them too
        _step_back_if_superseded(run)
        end_run(run.run_id, _status(error), _in_words(error))
        raise
    _step_back_if_superseded(run)
    end_run(run.run_id, "FINISHED")


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
