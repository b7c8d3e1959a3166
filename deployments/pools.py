"""Work pools: `python -m deployments.pools` makes what is missing on Prefect's server. Nothing is changed or removed.

Both pools that prefect.yaml may name are made everywhere: one without a worker costs nothing, and Prefect refuses a
deployment whose pool is missing. Which of them deployments go to, where they do not say, the server itself knows: by a
variable, so that one prefect.yaml serves a laptop's server and a cluster's.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from onerun.domain.names import VARIABLE_POOL

LOCAL, KUBERNETES = "local", "kubernetes"


def make_what_is_missing(pool: str = LOCAL) -> list[str]:
    """Both pools, and the variable that sends deployments to `pool`. Returns: what was made, in words."""
    makes: list[tuple[str, Callable[[], bool]]] = [
        (f"the work pool {LOCAL}", make_process_pool),
        (f"the work pool {KUBERNETES}", make_kubernetes_pool),
        (f"the variable {VARIABLE_POOL} = {pool}", partial(name_pool, pool)),
    ]
    return [what for what, make in makes if make()]


def make_process_pool(name: str = LOCAL) -> bool:
    """The pool whose workers run each flow run in a process. Returns: whether it was missing. Other keys stay."""
    from prefect.workers.process import ProcessWorker

    says = "Flow runs as processes of a worker on a machine that has the checkout (ONERUN_HOME)."
    return _made(name, "process", says, ProcessWorker.get_default_base_job_template())


def make_kubernetes_pool() -> bool:
    """The pool of a cluster, whose worker gives it its template. Returns: whether it was missing."""
    return _made(
        KUBERNETES,
        "kubernetes",
        "Flow runs as Kubernetes Jobs, once a cluster's worker has come.",
        {},
    )


def _made(name: str, kind: str, description: str, template: dict[str, Any]) -> bool:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    pool = WorkPoolCreate(name=name, type=kind, description=description, base_job_template=template)
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return False
    return True


def name_pool(pool: str) -> bool:
    """Says on the server where deployments go that name no pool. Returns: whether nobody had said so."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import VariableCreate

    with get_client(sync_client=True) as client:
        if client.read_variable_by_name(VARIABLE_POOL) is not None:
            return False
        client.create_variable(VariableCreate(name=VARIABLE_POOL, value=pool))
    return True


def workers_seen(pool: str, since: datetime) -> list[str]:
    """Returns: the names of the pool's workers that were heard of at or after `since`."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(pool)
    return [
        worker.name
        for worker in workers
        if worker.last_heartbeat_time and worker.last_heartbeat_time >= since
    ]


if __name__ == "__main__":
    print("\n".join(f"made {what}" for what in make_what_is_missing()) or "there already")
