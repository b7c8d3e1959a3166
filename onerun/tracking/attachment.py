"""A run that a program of the user's works in: where it is, and that it is still open afterwards (P1)."""

from onerun.tracking.fence import require_ownership
from onerun.tracking.runs import client


def experiment_of(run_id: str) -> str:
    """Returns: the id of the run's experiment."""
    return str(client().get_run(run_id).info.experiment_id)


def keep_running(run_id: str) -> None:
    """Opens the run again if a program ended it: one in another language, or one that goes around our attachment.

    Raises: Superseded when another process has opened the run since: it may have ended it, too.
    """
    if client().get_run(run_id).info.status != "RUNNING":
        require_ownership(run_id)
        client().update_run(run_id, status="RUNNING")
