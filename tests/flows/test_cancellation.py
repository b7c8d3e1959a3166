"""A flow that works says at Prefect which process works on it."""

from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.training.cancellation import ends_when_cancelled
from onerun.domain import names
from onerun.domain.reconcile.seen import Process
from onerun.processes.identity import this_process


def test_prefect_knows_which_process_works_on_the_flow_run(prefect_api: str) -> None:
    @flow
    def training() -> str:
        with ends_when_cancelled(str(flow_run.id), flow_run.run_count):
            pass
        return str(flow_run.id)

    key = training()
    with get_client(sync_client=True) as api:
        seen = api.read_flow_run(UUID(key))
    assert Process.from_json(str(seen.labels[names.LABEL_PROCESS])) == this_process()
    assert seen.labels[names.LABEL_RUN_COUNT] == seen.run_count == 1
