"""Prefect's own command line, with two changes to its worker.

Prefect 3.8's worker with `--limit` ends with an error ("this borrower is already holding one of
this CapacityLimiter's tokens") when a flow run comes back before the worker has noticed that the
flow run's process has ended: one that a person resumes or retries within seconds. With this it is
taken at the next look for work.

It also kills its flow runs when it is stopped (`docker compose stop`, systemd, Ctrl-C): trainings
under way then stay in status RUNNING in Prefect and MLflow. With this they are asked to end first,
and record that they were aborted.
"""

import os
import signal
from functools import wraps
from types import FrameType
from typing import Any

from deployments.stack.processes import end_children

# seconds to end a training's program and to inform both servers; then Prefect kills
FLOW_RUNS_END = 30.0


def leave_what_is_held() -> None:
    """Change this process's worker: it leaves flow runs alone that it still holds a slot for."""
    from prefect.workers.base import BaseWorker

    submit: Any = BaseWorker._submit_scheduled_flow_runs

    @wraps(submit)
    async def submit_others(worker: Any, flow_run_response: list[Any]) -> Any:
        held = set(worker._limiter.statistics().borrowers) if worker._limiter else set()
        return await submit(
            worker, [found for found in flow_run_response if found.flow_run.id not in held]
        )

    worker_class: Any = BaseWorker
    worker_class._submit_scheduled_flow_runs = submit_others


def end_flow_runs_first() -> None:
    """Change what this process's worker does on the first SIGTERM or Ctrl-C; not on the second."""
    from prefect.utilities import processutils

    set_up: Any = processutils.setup_signal_handlers_worker

    @wraps(set_up)
    def set_up_ours(*arguments: Any, **more: Any) -> None:
        set_up(*arguments, **more)
        prefects: dict[int, Any] = {
            number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
        }

        def end(number: int, frame: FrameType | None) -> None:
            """While it waits here, the worker starts no next flow run."""
            for each, handler in prefects.items():
                signal.signal(each, handler)
            end_children(os.getpid(), FLOW_RUNS_END)
            prefects[number](number, frame)

        for number in prefects:
            signal.signal(number, end)

    processutils.setup_signal_handlers_worker = set_up_ours


if __name__ == "__main__":
    from prefect.cli import app

    leave_what_is_held()
    end_flow_runs_first()
    app()
