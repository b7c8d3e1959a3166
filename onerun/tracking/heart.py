"""A run's heartbeat, which its owner writes while it works (P1)."""

from datetime import UTC, datetime

from onerun.domain import names
from onerun.tracking.fence import require_ownership
from onerun.tracking.runs import client, set_tags


def beat(run_id: str) -> str:
    """Write that the owner lives. Returns: what the run reads. Raises: Superseded when another process owns it."""
    require_ownership(run_id)
    set_tags(run_id, {names.TAG_HEARTBEAT: now()})
    return str(client().get_run(run_id).info.status)


def reopen(run_id: str) -> None:
    """The run was ended by somebody who took its owner for dead: it reads RUNNING again, and says why."""
    client().update_run(run_id, status="RUNNING")
    set_tags(run_id, {names.TAG_RECONCILED.format(what="withdrawn"): f"{now()}: its owner lives"})


def now() -> str:
    """Returns: the time as heartbeats are written."""
    return datetime.now(UTC).isoformat(timespec="seconds")
