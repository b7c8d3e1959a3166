"""What the doctor looks at in Prefect: versions, schedules, flow runs and the database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.checking import databases
from flows.reconciling.flow_runs import FlowRuns
from onerun.config.addresses import synchronous
from onerun.domain.diagnosis import Diagnosis, good, note, schema, versions, wrong
from onerun.domain.reconcile.seen import SLOW_START

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

PAGE = 200  # as many as Prefect's server returns at once
LATELY = timedelta(minutes=2)  # a worker sends a heartbeat every 30 seconds


def version(client: "SyncPrefectClient") -> Diagnosis:
    """Compare the versions of client and server."""
    import prefect

    return versions("Prefect server", prefect.__version__, client.api_version())


def all_deployments(client: "SyncPrefectClient") -> "Iterator[DeploymentResponse]":
    """Yield each deployment, the newest first, so that one that is made meanwhile hides none."""
    from prefect.client.schemas.sorting import DeploymentSort

    offset = 0
    while page := client.read_deployments(
        limit=PAGE, offset=offset, sort=DeploymentSort.CREATED_DESC
    ):
        yield from page
        offset += len(page)


def schedules(client: "SyncPrefectClient") -> list[Diagnosis]:
    """Check that every active schedule has made flow runs; the server looks every minute."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType

    since = datetime.now(UTC) - LATELY
    scheduled = [
        deployment
        for deployment in all_deployments(client)
        if not deployment.paused
        and any(_is_on(schedule, since) for schedule in deployment.schedules)
    ]
    if not scheduled:
        return []
    waiting = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    )
    served = {
        run.deployment_id for run in client.read_flow_runs(flow_run_filter=waiting, limit=200)
    }
    idle = sorted(deployment.name for deployment in scheduled if deployment.id not in served)
    if len(idle) == len(scheduled):
        message = (
            "no schedule makes flow runs; look at the server's log, and that it runs the versions "
            "of requirements.lock"
        )
        return [wrong("schedules", message)]
    message = f"{len(scheduled)} deployments with schedules, flow runs wait for their time"
    return [good("schedules", message)]


def _is_on(schedule: Any, since: datetime) -> bool:
    return bool(schedule.active and schedule.created and schedule.created < since)


def starts(
    client: "SyncPrefectClient", required_pool: str | None, after: timedelta = SLOW_START
) -> list[Diagnosis]:
    """Return what a worker took and what does not begin: on Kubernetes its pod cannot start.

    Where a pool is required, what waits in the others is a note.
    """
    found = []
    for each in FlowRuns(client).not_started(after):
        message = (
            f"{each.line}: {each.why.rstrip('.')}. "
            f"`prefect flow-run cancel {each.flow_run.flow_run_id}` ends it"
        )
        diagnosis = wrong if required_pool in (None, each.pool) else note
        found.append(diagnosis("flow run", message))
    return found


def database(address: str) -> Diagnosis:
    """Compare the schema of a database with the migrations of the Prefect installed here."""
    import prefect.server.database as home
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine

    kind = address.partition("+")[0]
    folder = Path(str(home.__file__)).parent / "_migrations"
    script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions" / kind)])
    with databases.errors_as_mistakes(databases.PREFECTS, address):
        engine = create_engine(synchronous(address))
        try:
            with engine.connect() as connection:
                current = MigrationContext.configure(connection).get_current_revision()
        finally:
            engine.dispose()
    newest = script.get_current_head() or ""
    return schema("Prefect database", current, newest, "prefect server database upgrade")
