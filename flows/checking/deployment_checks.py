"""Whether a deployment could run: its pool, its queue, a worker seen lately, an entrypoint."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from flows.checking.prefect_checks import all_deployments
from onerun.domain.diagnosis import Diagnosis, good, note, wrong
from onerun.domain.names import WORK_POOL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

LATELY = timedelta(minutes=2)  # a worker sends a heartbeat every 30 seconds
# entrypoints of this repository begin so; what others deploy cannot be imported here
OURS = "flows."
DEPLOY = "`python -m deployments.deploy --all`"
WORKERS = {  # by the pool's type: what to do where no worker was seen
    "process": "start one: `python -m deployments.worker --pool {pool}`, or `make up`",
    "kubernetes": (
        "it is a Deployment of the cluster: `kubectl -n {namespace} get deployments,pods`, "
        "`kubectl -n {namespace} logs deployment/worker`; where there is no cluster, "
        "`prefect --no-prompt work-pool delete {pool}`, then " + DEPLOY
    ),
}


def runnable(client: "SyncPrefectClient", required_pool: str | None) -> list[Diagnosis]:
    """Return what keeps deployments from running, by pool, queue and entrypoint.

    Args:
        required_pool: a pool that must have a worker. What is wrong elsewhere is a note then: a
            health check asks about its own worker.
    """
    deployments = list(all_deployments(client))
    ours = [each for each in deployments if (each.entrypoint or "").startswith(OURS)]
    found = [
        *_pools(client, deployments, required_pool),
        *_paused_queues(client, deployments),
        *_without_pool(client, ours),
    ]
    if required_pool is None:
        return [*found, *_without_flow(client, ours)]
    mine = f"work pool {required_pool}"
    return [each if each.what == mine else _at_most_a_note(each) for each in found]


def _at_most_a_note(finding: Diagnosis) -> Diagnosis:
    return note(finding.what, finding.detail) if finding.state == "wrong" else finding


def _pools(
    client: "SyncPrefectClient",
    deployments: Sequence["DeploymentResponse"],
    required_pool: str | None,
) -> Iterator[Diagnosis]:
    """Yield a finding for each pool that deployments use, and for the required one."""
    names = {each.work_pool_name for each in deployments if each.work_pool_name}
    if not names:
        yield note("deployments", f"none exist; {DEPLOY} writes those of prefect.yaml")
    if required_pool is not None:
        names.add(required_pool)
    for name in sorted(names or {WORK_POOL}):
        yield pool(client, name)


def pool(client: "SyncPrefectClient", name: str) -> Diagnosis:
    """Return whether flow runs of the pool are taken: it is there, not paused, and has a worker."""
    from prefect.exceptions import ObjectNotFound

    what = f"work pool {name}"
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        make = f"prefect work-pool create {name} --type process"
        if name == WORK_POOL:
            make = "python -m deployments.pools"
        return wrong(what, f"does not exist, so nothing can be deployed to it; `{make}` makes it")
    if found.is_paused:
        return wrong(what, f"is paused; `prefect work-pool resume {name}`")
    since = datetime.now(UTC) - LATELY
    workers = [
        worker.name
        for worker in client.read_workers_for_work_pool(name)
        if worker.last_heartbeat_time and worker.last_heartbeat_time > since
    ]
    if not workers:
        advice = WORKERS.get(found.type, "start one: `prefect worker start --pool {pool}`")
        minutes = LATELY.seconds // 60
        jobs = found.base_job_template.get("job_configuration", {})
        advice = advice.format(pool=name, namespace=jobs.get("namespace", "onerun"))
        return wrong(what, f"no worker was seen within {minutes} minutes; {advice}")
    counted = "1 worker" if len(workers) == 1 else f"{len(workers)} workers"
    return good(what, f"{counted} seen lately: {', '.join(sorted(workers))}")


def _without_pool(
    client: "SyncPrefectClient", ours: Sequence["DeploymentResponse"]
) -> Iterator[Diagnosis]:
    for deployment in ours:
        if deployment.work_pool_name is None:
            name = _full_name(client, deployment)
            yield wrong(f"deployment {name}", f"its work pool or queue was removed; {_again(name)}")


def _without_flow(
    client: "SyncPrefectClient", ours: Sequence["DeploymentResponse"]
) -> Iterator[Diagnosis]:
    """Yield the deployments whose flow does not import.

    It takes seconds, so a health check leaves it out.
    """
    problems = {entrypoint: _import_problem(entrypoint) for entrypoint in _entrypoints(ours)}
    for deployment in ours:
        if problem := problems[str(deployment.entrypoint)]:
            name = _full_name(client, deployment)
            message = f"{deployment.entrypoint} does not import here ({problem}); {_again(name)}"
            yield wrong(f"deployment {name}", message)


def _again(full_name: str) -> str:
    """Return how a deployment is written again, or removed."""
    own = "one of your own by its `python -m deployments.deploy RECIPE`"
    delete = f"one that is not wanted any more: `prefect deployment delete {full_name}`"
    return f"{DEPLOY} writes those of prefect.yaml again, {own}; {delete}"


def _paused_queues(
    client: "SyncPrefectClient", deployments: Sequence["DeploymentResponse"]
) -> Iterator[Diagnosis]:
    used = {(each.work_pool_name, each.work_queue_name) for each in deployments}
    for pool_name, queue in sorted((pool, queue) for pool, queue in used if pool and queue):
        if client.read_work_queue_by_name(queue, work_pool_name=pool_name).is_paused:
            command = f"prefect work-queue resume {queue} --pool {pool_name}"
            yield wrong(f"work queue {queue} of pool {pool_name}", f"is paused; `{command}`")


def _entrypoints(deployments: Sequence["DeploymentResponse"]) -> set[str]:
    return {str(each.entrypoint) for each in deployments}


def _import_problem(entrypoint: str) -> str:
    """Return why a flow run could not import its flow; empty when it could."""
    from prefect.flows import load_flow_from_entrypoint

    try:
        load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    # an import runs any code, and whatever it raises is the finding
    except Exception as error:  # noqa: BLE001
        first, *_ = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {first}"
    return ""


def _full_name(client: "SyncPrefectClient", deployment: "DeploymentResponse") -> str:
    return f"{client.read_flow(deployment.flow_id).name}/{deployment.name}"
