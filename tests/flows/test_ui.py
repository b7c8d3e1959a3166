"""What is said within a run reaches that run's log at Prefect; what is said elsewhere does not trouble anybody."""

import logging
import time
import warnings

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.handlers import APILogWorker
from prefect.runtime import flow_run

from flows.ui import LogUi
from onerun.engine.events import StageEvent, StageState


def test_stages_and_programs_speak_in_the_flow_run_s_log(prefect_api: str) -> None:
    @flow
    def training() -> str:
        finished = StageState.FINISHED
        LogUi().show(StageEvent("train", finished, seconds=1.25, summary="on 7 rows"))
        logging.getLogger("onerun.program").info("epoch 1")
        return str(flow_run.id)

    run = training()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logging.getLogger("onerun").info("said outside of any run")
    APILogWorker.drain_all(timeout=10)
    wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        for _ in range(50):
            said = [log.message for log in client.read_logs(wanted)]
            if "epoch 1" in said:
                break
            time.sleep(0.1)
    assert "train done in 1.2 s: on 7 rows" in said and "epoch 1" in said
    assert "said outside of any run" not in said
