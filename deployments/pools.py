"""Work pools: `python -m deployments.pools` makes the local one where it is missing. None is changed or removed."""

from datetime import datetime

LOCAL = "local"


def make_process_pool(name: str = LOCAL) -> bool:
    """The pool whose workers run each flow run in a process. Returns: whether it was missing. Other keys stay."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    pool = WorkPoolCreate(
        name=name,
        type="process",
        description="Flow runs as processes of a worker on a machine that has the checkout (ONERUN_HOME).",
        base_job_template=ProcessWorker.get_default_base_job_template(),
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return False
    return True


def workers_seen(pool: str, since: datetime) -> list[str]:
    """Returns: the names of the pool's workers that were heard of at or after `since`."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(pool)
    return [worker.name for worker in workers if worker.last_heartbeat_time and worker.last_heartbeat_time >= since]


if __name__ == "__main__":
    print(f"{LOCAL}: {'made' if make_process_pool() else 'there already'}")
