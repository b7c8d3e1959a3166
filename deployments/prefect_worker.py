"""Prefect's own command line, whose worker leaves alone for now what it still holds a place for.

Prefect 3.8's worker with `--limit` ends with an error ("this borrower is already holding one of this CapacityLimiter's
tokens") when a flow run comes back before it has noticed that the flow run's process is over: one that a person resumes
or retries within seconds. With this it is taken at the next look for work.
"""

from functools import wraps
from typing import Any


def leave_what_is_held() -> None:
    """Changes the worker of this process."""
    from prefect.workers.base import BaseWorker

    submit: Any = BaseWorker._submit_scheduled_flow_runs

    @wraps(submit)
    async def submit_others(worker: Any, flow_run_response: list[Any]) -> Any:
        held = set(worker._limiter.statistics().borrowers) if worker._limiter else set()
        return await submit(worker, [found for found in flow_run_response if found.flow_run.id not in held])

    BaseWorker._submit_scheduled_flow_runs = submit_others  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    from prefect.cli import app

    leave_what_is_held()
    app()
