"""Flow runs that were cancelled while their pod could not start: their Job is deleted, and they are Cancelled."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import Cancelling, InfrastructurePending, Pending, Running

from deployments.kubernetes.worker import ITS_OWN, end_cancelled


@flow(name="maintain")
def any_flow() -> None:
    """Its flow runs are made by hand."""


@pytest.fixture
def prefect(prefect_api: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as api:
        yield api


def made_pool(prefect: SyncPrefectClient) -> str:
    name = f"cluster-{uuid4().hex[:8]}"
    with suppress(ObjectAlreadyExists):  # a busy server makes it and answers too late
        prefect.create_work_pool(WorkPoolCreate(name=name, type="process"))
    return name


def submitted(prefect: SyncPrefectClient, pool: str, begun: bool, job: str) -> UUID:
    """Returns: a flow run that a worker made a Job for, and that is being cancelled."""
    found = prefect.create_deployment(
        prefect.create_flow(any_flow), f"in-{pool}", work_pool_name=pool
    )
    made = prefect.create_flow_run_from_deployment(found, state=Pending())
    prefect.update_flow_run(made.id, infrastructure_pid=f"team-b:{job}")
    prefect.set_flow_run_state(made.id, InfrastructurePending(), force=True)
    if begun:
        prefect.set_flow_run_state(made.id, Running(), force=True)
    prefect.set_flow_run_state(made.id, Cancelling(), force=True)
    return made.id


def state(prefect: SyncPrefectClient, flow_run: UUID) -> str:
    found = prefect.read_flow_run(flow_run).state
    return str(found.name) if found else ""


def test_what_no_pod_ends_is_ended_once_and_in_this_pool_alone(prefect: SyncPrefectClient) -> None:
    pool, another = made_pool(prefect), made_pool(prefect)
    stuck = submitted(prefect, pool, begun=False, job="stuck")
    works = submitted(prefect, pool, begun=True, job="works")
    elsewhere = submitted(prefect, another, begun=False, job="elsewhere")
    deleted: list[tuple[str, str]] = []

    def delete(namespace: str, job: str) -> None:
        deleted.append((namespace, job))

    assert end_cancelled(prefect, pool, delete, ITS_OWN) == [str(stuck)]
    assert deleted == [("team-b", "stuck")]
    assert state(prefect, stuck) == "Cancelled"
    assert state(prefect, works) == state(prefect, elsewhere) == "Cancelling", "ends itself"
    assert end_cancelled(prefect, pool, delete, ITS_OWN) == []
    assert end_cancelled(prefect, pool, delete, timedelta(0)) == [str(works)], "it did not"
    assert deleted == [("team-b", "stuck"), ("team-b", "works")]


def test_what_cannot_be_deleted_stays_as_it_is_and_is_tried_again(
    prefect: SyncPrefectClient,
) -> None:
    pool = made_pool(prefect)
    stuck = submitted(prefect, pool, begun=False, job="stuck")

    def refuse(namespace: str, job: str) -> None:
        raise ConnectionError(job)

    with pytest.raises(ConnectionError):
        end_cancelled(prefect, pool, refuse)
    assert state(prefect, stuck) == "Cancelling"
    assert end_cancelled(prefect, pool, lambda namespace, job: None) == [str(stuck)]
