"""`python -m deployments.kubernetes.worker`: Prefect's worker, which also ends early cancellations.

Prefect 3.8's worker listens for cancelling only while it submits a flow run, and the process in a
pod only once it runs. Between the two, while a pod cannot start, nothing does: the flow run would
stay Cancelling until its Job's deadline.
"""

import argparse
import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from onerun.domain.names import WORK_POOL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

EVERY = 5.0  # seconds between two looks
ITS_OWN = timedelta(minutes=2)  # in which a process that has begun ends itself; it needs 15 seconds
GRACE = 60  # seconds between SIGTERM and SIGKILL, as in the pool's template

DeleteJob = Callable[[str, str], None]  # namespace and name
logger = logging.getLogger("prefect.worker.cancelled")


def end_cancelled(
    client: "SyncPrefectClient", pool: str, delete: DeleteJob, its_own: timedelta = ITS_OWN
) -> list[str]:
    """Delete the Jobs of the pool's flow runs that stay Cancelling, and set those to Cancelled.

    Return their ids. It can be repeated: what is over is not looked at any more.
    """
    from prefect.client.schemas import filters, objects
    from prefect.states import Cancelled

    types = filters.FlowRunFilterStateType(any_=[objects.StateType.CANCELLING])
    cancelling = client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(state=filters.FlowRunFilterState(type=types)),
        work_pool_filter=filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[pool])),
    )
    ended = []
    for run in cancelling:
        since = run.state.timestamp if run.state else None
        if run.run_count and since and datetime.now(UTC) - since < its_own:
            continue
        namespace, colon, job = (run.infrastructure_pid or "").partition(":")
        if colon:
            delete(namespace, job)
        message = "Cancelled by the worker, which deleted its Job: nothing in a pod did."
        client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
        ended.append(str(run.id))
    return ended


def delete_job(namespace: str, name: str) -> None:
    """Delete a Job and its pods; one that does not exist any more is ignored."""
    asyncio.run(_delete(namespace, name))


async def _delete(namespace: str, name: str) -> None:
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client import ApiClient, ApiException, BatchV1Api

    try:
        config.load_incluster_config()
    except config.ConfigException:
        await config.load_kube_config()
    async with ApiClient() as api:
        try:
            await BatchV1Api(api).delete_namespaced_job(
                name, namespace, grace_period_seconds=GRACE, propagation_policy="Background"
            )
        except ApiException as error:
            if error.status != 404:
                raise


def watch(pool: str) -> None:
    """Look again and again; what fails is logged and tried at the next look."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        while True:
            try:
                for flow_run in end_cancelled(client, pool, delete_job):
                    logger.info("flow run %s was cancelled, its Job deleted", flow_run)
            # Prefect or the cluster may be unreachable for a while
            except Exception as error:  # noqa: BLE001
                logger.warning("cancelled flow runs: %s: %s", type(error).__name__, error)
            time.sleep(EVERY)


def main() -> None:
    """Run Prefect's worker of the pool, with the watch beside it."""
    parser = argparse.ArgumentParser(prog="python -m deployments.kubernetes.worker")
    parser.add_argument("--pool", metavar="NAME", default=WORK_POOL, help=f"({WORK_POOL})")
    pool = parser.parse_args().pool

    from prefect.cli import app

    threading.Thread(target=watch, args=(pool,), name="cancelled", daemon=True).start()
    options = ["--pool", pool, "--type", "kubernetes", "--with-healthcheck"]
    sys.argv = ["prefect", "worker", "start", *options]
    app()


if __name__ == "__main__":
    main()
