"""The work pool that prefect.yaml names; `python -m deployments.pools` makes a missing one.

Every server has its own pool of that one name. Whoever comes first decides its type: a worker on a
machine with a checkout (`python -m deployments.worker`, or Prefect's own `prefect worker start
--pool onerun`) makes it a pool of processes, a cluster's worker one of Kubernetes Jobs. So one
prefect.yaml serves all servers, and `prefect deploy --all` needs no option.
"""

import sys
from datetime import datetime

from flows.command_line.prefect_address import with_prefect
from onerun.commands.exit import exit_code
from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.profile import check_profile
from onerun.domain.names import WORK_POOL
from settings.profile import PrefectProfile, load_profile

DESCRIPTION = "Flow runs as processes of a worker on a machine that has the checkout."
NO_SERVER = (
    "is not set; start a server (`prefect server start`) and `export "
    "PREFECT_API_URL=http://127.0.0.1:4200/api`, or let `make up` do both"
)


def use_profile(name: str | None) -> PrefectProfile:
    """Load the profile and set its variables; call this before Prefect is imported."""
    profile = with_prefect(load_profile(name))
    profile.apply()
    return profile


def need_server(profile: PrefectProfile) -> None:
    """Raise Mistakes when no Prefect server is named, or the named one does not answer."""
    if profile.prefect_api_url is None:
        raise Mistakes([Mistake("PREFECT_API_URL", NO_SERVER)])
    mistakes = [each for each in check_profile(profile) if each.key.startswith("PREFECT_")]
    if mistakes:
        raise Mistakes(mistakes)


def make_process_pool(name: str = WORK_POOL) -> bool:
    """Make the pool whose workers run each flow run in a process. Return whether it was missing."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(
        name=name, type="process", description=DESCRIPTION, base_job_template=template
    )
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return False
    return True


def need_pool(name: str, kind: str | None = None) -> bool:
    """Make sure of the pool: prefect.yaml's is made where it is missing, any other must be there.

    Args:
        kind: the type that its workers must have, such as process; None for any.
    Returns: whether it was made. Raises: Mistakes for an unknown name or another type.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        known = {pool.name: pool.type for pool in client.read_work_pools()}
    if name not in known:
        if name == WORK_POOL:
            return make_process_pool()
        there = f"there are {', '.join(known)}" if known else "no pool exists yet"
        make = f"`prefect work-pool create {name} --type process` makes it"
        near = did_you_mean(name, known)
        raise Mistakes([Mistake("--pool", f"no work pool {name!r}{near}; {there}; {make}")])
    if kind not in (None, known[name]):
        reason = f"work pool {name!r} is of type {known[name]}, and this worker is of type {kind}"
        make = f"`prefect work-pool create NAME --type {kind}` makes one that --pool can name"
        raise Mistakes([Mistake("--pool", f"{reason}; {make}")])
    return False


def workers_seen(pool: str, since: datetime) -> list[str]:
    """Return the names of the pool's workers that were heard of at or after `since`."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(pool)
    heard = [(worker.name, worker.last_heartbeat_time) for worker in workers]
    return [name for name, last in heard if last and last >= since]


def _make() -> dict[str, object]:
    need_server(use_profile(None))
    made = make_process_pool()
    print(
        f"made the work pool {WORK_POOL}" if made else f"the work pool {WORK_POOL} is there already"
    )
    return {"pool": WORK_POOL, "made": made}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(f"makes the work pool {WORK_POOL} on the Prefect server of PREFECT_API_URL")
        raise SystemExit(0 if sys.argv[1] in ("-h", "--help") else 2)
    raise SystemExit(exit_code(_make, as_json=False, interrupted="interrupted"))
