"""The worker outlives what Prefect's own does not: a flow run that comes back before its process was seen to end."""

import asyncio
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Scheduled
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from deployments.prefect_worker import leave_what_is_held
from deployments.worker import command


@pytest.mark.parametrize("ours", [True, False])
def test_a_flow_run_that_comes_back_at_once_is_taken_later(
    ours: bool, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BaseWorker, "_submit_scheduled_flow_runs", BaseWorker._submit_scheduled_flow_runs)
    if ours:
        leave_what_is_held()
    pool = f"held-{ours}"
    flow_run = asyncio.run(_scheduled(pool))

    async def look() -> None:
        """A worker looks for work while it still holds a place for the flow run."""
        async with ProcessWorker(work_pool_name=pool, limit=2) as worker:
            worker.limiter.acquire_on_behalf_of_nowait(flow_run)
            found = await worker._get_scheduled_flow_runs()
            assert [each.flow_run.id for each in found] == [flow_run]
            if ours:
                assert await worker._submit_scheduled_flow_runs(found) == []
            else:
                with pytest.raises(RuntimeError, match="already holding"):
                    await worker._submit_scheduled_flow_runs(found)

    asyncio.run(look())


async def _scheduled(pool: str) -> UUID:
    from flows.reconcile import reconcile

    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        flow = await client.create_flow(reconcile)
        deployment = await client.create_deployment(flow, "held", work_pool_name=pool)
        run = await client.create_flow_run_from_deployment(deployment, state=Scheduled())
        return run.id


def test_the_worker_is_prefects_with_that_change() -> None:
    assert command("local", None, 2)[1:] == [
        *("-m", "deployments.prefect_worker", "worker", "start", "--pool", "local", "--limit", "2")
    ]
