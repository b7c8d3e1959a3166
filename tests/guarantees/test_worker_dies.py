"""The Prefect worker that started the training dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import PATIENCE, Training, waited, working_in

TRAINS = "onerun.training.local:fit:before:wait"


class Worked(Training):
    """A flow run of a deployment with a work pool of its own, and real workers that take it up."""

    def __init__(self, training: Training) -> None:
        self.pool = f"pool-{uuid4().hex[:8]}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._make_pool()
        super().__init__(training.folder, training.recipe, training.tracking_uri)

    def _make_pool(self) -> None:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.workers.process import ProcessWorker

        template = ProcessWorker.get_default_base_job_template()
        with get_client(sync_client=True) as client:
            client.create_work_pool(
                WorkPoolCreate(name=str(self.pool), type="process", base_job_template=template)
            )

    def worker(self, planted: str = "") -> "subprocess.Popen[bytes]":
        """Starts a worker of the pool."""
        place = self.folder / "workers"
        place.mkdir(exist_ok=True)
        given = {
            name: value
            for name, value in self.environment(planted).items()
            if name != "PREFECT__FLOW_RUN_ID"
        }
        command = [
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            str(self.pool),
            "--type",
            "process",
        ]
        with (self.folder / f"log-worker-{len(self.workers)}.txt").open("wb") as log:
            worker = subprocess.Popen(
                command, cwd=place, env=given | {"PREFECT_WORKER_QUERY_SECONDS": "1"}, stdout=log, stderr=log,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip
        self.workers.append(worker)
        return worker


@pytest.fixture
def worked(training: Callable[..., Training]) -> Iterator[Worked]:
    """Returns: a training for workers; whatever of them is left ends with the test."""
    one = Worked(training())
    yield one
    one.go_on()
    for worker in one.workers:
        worker.kill()
        worker.wait()
    for pid in working_in(one.folder):
        os.kill(pid, signal.SIGKILL)


@cell(
    "P1 P2",
    "SIGKILL to the worker while it trains",
    "a run that goes on to its end",
    "nothing to do",
)
def test_p1_the_training_outlives_its_killed_worker(
    worked: Worked, undisturbed: Callable[..., Facts]
) -> None:
    wanted, worker = undisturbed(), worked.worker(TRAINS)
    assert waited(worked.struck), worked.said()
    worker.kill()
    worker.wait()
    worked.go_on()
    assert waited(lambda: worked.state() == "COMPLETED" and not working_in(worked.folder)), (
        worked.said()
    )
    assert violations(worked, Expected(wanted, attempts=1)) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=cell(
            "P1 P2", f"{name} to the worker while it trains", "a run that reads RUNNING; no process",
            "by the reconciler"))
        for name in ("SIGTERM", "SIGINT")
    ],
)  # fmt: skip
def test_p1_p2_a_worker_that_is_stopped_ends_its_training(
    worked: Worked, undisturbed: Callable[..., Facts], recovery: Recovery, name: str
) -> None:
    wanted, worker = undisturbed(), worked.worker(TRAINS)
    assert waited(worked.struck), worked.said()
    worker.send_signal(getattr(signal, name))
    worker.wait(PATIENCE)
    assert waited(lambda: not working_in(worked.folder)), worked.said()
    with recovery:
        worked.reconcile()
    assert violations(worked, Expected(wanted, status="KILLED")) == [], worked.said()
    before = facts(worked)
    worked.ask_to_retry()
    worked.worker()
    assert waited(lambda: worked.state() == "COMPLETED" and not working_in(worked.folder)), (
        worked.said()
    )
    assert violations(worked, Expected(wanted, before, attempts=2)) == []
