"""Who opened a run last owns it: of two that work on one flow run, the other steps back (P1).

A second pod may be started with the same flow run, and a retry may take for dead what is only cut off.
"""

from onerun.domain import names
from onerun.domain.errors import Superseded
from onerun.processes.identity import this_process
from onerun.tracking.runs import client


def require_ownership(run_id: str) -> None:
    """To be called before anything that only the owner does. Raises: Superseded."""
    owner = client().get_run(run_id).data.tags.get(names.TAG_PROCESS)
    if owner not in (None, this_process().model_dump_json()):
        raise Superseded(
            f"run {run_id} was opened by another process that works on this flow run: this one steps back"
        )
