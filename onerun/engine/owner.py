"""The one place that opens and ends a run. Everything below it holds a `run_id` (P1)."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from onerun import retry
from onerun.domain.errors import Superseded, TransientError
from onerun.tracking.lifecycle import (
    Identity,
    OwnedRun,
    Status,
    end_half_open,
    end_run,
    open_run,
    require_ownership,
)

INTERRUPTED_SECONDS = 5  # an interrupted training does not wait for a store that does not answer
log = logging.getLogger("onerun")


@contextmanager
def owned_run(
    experiment: str,
    identity: Identity,
    run_name: str,
    recipe_digest: str,
    tags: Mapping[str, str],
    how_to_resume: str = "",
) -> Iterator[OwnedRun]:
    """Open the training's MLflow run for the block, and end it: FINISHED, FAILED, or KILLED when it was interrupted.

    Args:
        how_to_resume: the command that goes on with this training; `{run_id}` in it is filled in.
    Raises: Superseded when another process opened the run since: it owns the run, and this one leaves it alone.
    """
    retry.reset()
    try:
        run = open_run(experiment, identity, run_name, recipe_digest, tags)
    except BaseException as error:
        if not isinstance(error, Exception):  # interrupted or terminated
            with suppress(TransientError), retry.deadline(INTERRUPTED_SECONDS):
                end_half_open(experiment, identity, describe(error))  # else the reconciler ends it
        raise
    try:
        yield run
        require_ownership(run.run_id)
        end_run(run.run_id, "FINISHED")
    except Superseded:
        raise
    except BaseException as error:  # interrupts are no Exception, and the run must end for them too
        if isinstance(error, TransientError) and how_to_resume:
            error.add_note(how_to_resume.format(run_id=run.run_id))
        _end_after(error, run)
        raise


def _end_after(error: BaseException, run: OwnedRun) -> None:
    """End the run with the error; note on the error what a person has to know besides. Raises Superseded."""
    status: Status = "FAILED" if isinstance(error, Exception) else "KILLED"
    seconds = float("inf") if status == "FAILED" else INTERRUPTED_SECONDS
    retry.reset()
    try:
        with retry.deadline(seconds):
            require_ownership(run.run_id)
            end_run(run.run_id, status, describe(error))
    except TransientError as unreachable:
        note = (
            f"run {run.run_id} still has status RUNNING: its final status could not be saved; "
            "a retry saves it, or the reconciler"
        )
        log.error("%s (%s)", note, unreachable)
        error.add_note(note)


def describe(error: BaseException) -> str:
    """Return the error in one text, as it stands on the run."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
