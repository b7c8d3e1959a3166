"""Flow runs that a worker took and that do not begin are named, with what their worker said of them."""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import LogCreate, WorkPoolCreate
from prefect.states import Cancelling, InfrastructurePending, Pending, Running

from flows.checking.prefect_checks import starts
from flows.reconciling.flow_runs import OBSERVER, FlowRuns
from onerun.domain.monitoring import series
from onerun.domain.monitoring.stores import of_running
from onerun.domain.reconcile.seen import ReconcilePolicy
from onerun.reconcile.survey import plan
from onerun.tracking.runs import client

SAID = "Image pull failed for container 'prefect-job': Kubernetes cannot pull the container image."
NOW = timedelta(minutes=-1)  # Prefect's clock is read from a header that may lag a second or two
HOUR = timedelta(hours=1)
POOL = "whose-pods-do-not-start"


@flow(name="maintain")
def any_flow() -> None:
    """Its flow runs are made by hand; not only trainings wait."""


@pytest.fixture
def prefect(prefect_api: str, tracking_uri: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as api:
        yield api


@pytest.fixture
def waiting(prefect: SyncPrefectClient) -> Iterator[UUID]:
    """Yields: a flow run whose pod is pending."""
    from prefect.exceptions import ObjectAlreadyExists

    with suppress(ObjectAlreadyExists):
        prefect.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    deployment = prefect.create_deployment(
        prefect.create_flow(any_flow), "not-started", work_pool_name=POOL
    )
    made = prefect.create_flow_run_from_deployment(deployment, state=Pending())
    prefect.set_flow_run_state(made.id, InfrastructurePending(message="pod is pending"), force=True)
    yield made.id
    prefect.delete_deployment(deployment)  # the server is also that of other tests
    prefect.delete_flow_run(made.id)


def say(prefect: SyncPrefectClient, flow_run: UUID, name: str, message: str) -> None:
    line = LogCreate(
        name=name,
        level=logging.ERROR,
        message=message,
        timestamp=datetime.now(UTC),
        flow_run_id=flow_run,
    )
    prefect.create_logs([line])


def named(prefect: SyncPrefectClient, after: timedelta) -> dict[str, str]:
    """Returns: flow run id -> why it has not begun."""
    return {each.flow_run.flow_run_id: each.why for each in FlowRuns(prefect).not_started(after)}


def test_what_does_not_begin_is_named_with_what_its_worker_reported(
    prefect: SyncPrefectClient, waiting: UUID
) -> None:
    assert str(waiting) not in named(prefect, HOUR), "a pod may take a while"
    assert f"prefect.io/flow-run-id={waiting}" in named(prefect, NOW)[str(waiting)]
    say(prefect, waiting, "prefect.flow_runs.worker", "of something else")
    say(prefect, waiting, OBSERVER, SAID)
    assert named(prefect, NOW)[str(waiting)] == SAID


def test_what_has_begun_is_not_and_what_is_cancelled_before_it_began_is(
    prefect: SyncPrefectClient, waiting: UUID
) -> None:
    prefect.set_flow_run_state(waiting, Cancelling(), force=True)
    assert str(waiting) in named(prefect, NOW), "nothing but a worker ends it"
    prefect.set_flow_run_state(waiting, Running(), force=True)
    assert str(waiting) not in named(prefect, NOW)
    prefect.set_flow_run_state(waiting, Cancelling(), force=True)
    assert str(waiting) not in named(prefect, NOW), "its own process hears that"


def test_reconciler_exporter_and_doctor_name_it(prefect: SyncPrefectClient, waiting: UUID) -> None:
    say(prefect, waiting, OBSERVER, SAID)
    client().create_experiment("not started")  # a store that is not there yet is not made
    seen = plan(FlowRuns(prefect), ReconcilePolicy(slow_start=NOW))
    line = next(line for line in seen.lines() if str(waiting) in line)
    assert f"in pool {POOL} has been InfrastructurePending for" in line and SAID in line
    assert str(waiting) in {row["which"] for row in seen.rows()}
    assert any(str(waiting) == each.flow_run_id for each in seen.report().flow_runs_not_started)
    assert json.dumps(seen.report().model_dump(mode="json"))
    ((_, count),) = of_running(seen)[series.NOT_STARTED]
    assert count == len(seen.not_started) >= 1
    for asked, state in ((None, "wrong"), (POOL, "wrong"), ("another", "note")):
        (finding,) = [each for each in starts(prefect, asked, NOW) if str(waiting) in each.detail]
        assert finding.state == state and SAID.rstrip(".") in finding.detail
        assert f"prefect flow-run cancel {waiting}" in finding.detail
    assert not [each for each in starts(prefect, None) if str(waiting) in each.detail]
