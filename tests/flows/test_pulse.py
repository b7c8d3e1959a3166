"""The pulse of a flow that works: its heart on the run, its process at Prefect; also while Prefect does not answer."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.training.ownership import owned_run
from flows.training.pulse import Pulse, pulse
from onerun.domain import names
from onerun.domain.reconcile.seen import Process
from onerun.processes.identity import this_process
from onerun.tracking.ownership import end_run
from onerun.tracking.runs import client, set_tags


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tags(run_id: str) -> dict[str, str]:
    found: dict[str, str] = client().get_run(run_id).data.tags
    return found


def test_prefect_is_told_which_process_works_on_the_flow_run(prefect_api: str) -> None:
    @flow
    def training() -> str:
        with pulse(flow_run.id, flow_run.run_count):
            pass
        return str(flow_run.id)

    key = training()
    with get_client(sync_client=True) as api:
        seen = api.read_flow_run(UUID(key))
    assert Process.from_json(str(seen.labels[names.LABEL_PROCESS])) == this_process()
    assert seen.labels[names.LABEL_RUN_COUNT] == seen.run_count == 1


@pytest.mark.usefixtures("tracking_uri")
def test_p1_a_run_that_was_ended_while_its_owner_lives_reads_running_again() -> None:
    key = str(uuid4())
    with temporary_settings(
        {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    ):
        beating = Pulse(key, 1, look=60, every=timedelta(seconds=0.05))
    with owned_run(f"pulse {key[:8]}", key, "a name", "d", {}) as run, beating.of(run.run_id):
        set_tags(run.run_id, {names.TAG_HEARTBEAT: "2001-01-01T00:00:00+00:00"})
        beating.start()
        until(lambda: not tags(run.run_id)[names.TAG_HEARTBEAT].startswith("2001"))
        end_run(run.run_id, "KILLED", "somebody took it for dead")
        until(lambda: client().get_run(run.run_id).info.status == "RUNNING")
    assert client().get_run(run.run_id).info.status == "FINISHED"
    set_tags(run.run_id, {names.TAG_HEARTBEAT: "-"})
    beating.stop()
    assert tags(run.run_id)[names.TAG_HEARTBEAT] == "-", "no beat after the end"
    assert "its owner lives" in tags(run.run_id)["onerun.reconciled.withdrawn"]
