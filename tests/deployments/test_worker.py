"""The worker outlives what Prefect's own does not: a flow run that comes back before its process was seen to end.

And its flow runs outlive its end long enough to say so.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.states import Scheduled
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from deployments.prefect_worker import FLOW_RUNS_END, leave_what_is_held
from deployments.worker import command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("ours", [True, False])
def test_a_flow_run_that_comes_back_at_once_is_taken_later(
    ours: bool, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        BaseWorker, "_submit_scheduled_flow_runs", BaseWorker._submit_scheduled_flow_runs
    )
    if ours:
        leave_what_is_held()
    pool = f"held-{ours}"
    deployment, flow_run = asyncio.run(_scheduled(pool))

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

    try:
        asyncio.run(look())
    finally:  # the server is also that of other tests, which ask whether all pools have workers
        asyncio.run(_removed(pool, deployment))


async def _removed(pool: str, deployment: UUID) -> None:
    async with get_client() as client:
        await client.delete_deployment(deployment)
        await client.delete_work_pool(pool)


async def _scheduled(pool: str) -> tuple[UUID, UUID]:
    """Returns: the deployment, and its flow run."""
    from flows.reconcile import reconcile

    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        flow = await client.create_flow(reconcile)
        deployment = await client.create_deployment(flow, "held", work_pool_name=pool)
        run = await client.create_flow_run_from_deployment(deployment, state=Scheduled())
        return deployment, run.id


CHILD = """
import signal, sys, time
def end(*_):
    time.sleep(1)  # to tell two servers
    open(sys.argv[1] + ".said", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + ".ready", "w").close()
time.sleep(600)
"""
WORKER = """
import os, subprocess, sys, time
from deployments.prefect_worker import end_flow_runs_first
end_flow_runs_first()
from prefect.utilities.processutils import setup_signal_handlers_worker
setup_signal_handlers_worker(os.getpid(), "the worker", print)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
try:
    time.sleep(600)
except KeyboardInterrupt:  # what Prefect makes of either signal
    child.kill()
    print("killed", child.wait())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_stopped_asks_its_flow_runs_first(number: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    command = [sys.executable, "-c", WORKER, CHILD, str(mark)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    worker = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while not Path(f"{mark}.ready").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        worker.send_signal(number)
        said, _ = worker.communicate(timeout=120)
    finally:
        worker.kill()
    assert Path(f"{mark}.said").exists() and said.endswith("killed 0\n"), (
        "it had ended by itself before"
    )
    assert f"Received {signal.Signals(number).name}" in said, "the rest is Prefect's"


def test_the_worker_is_prefects_with_that_change() -> None:
    assert command("onerun", None, 2)[1:] == [
        *("-m", "deployments.prefect_worker", "worker", "start", "--pool", "onerun", "--limit", "2")
    ]


def test_compose_gives_it_the_time_that_it_gives_its_flow_runs() -> None:
    services = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text())["services"]
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) >= FLOW_RUNS_END + 10
