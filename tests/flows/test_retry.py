"""`--retry`: the same flow run once more, and what cannot be gone on with."""

from typing import Any

import pytest
from prefect import flow
from prefect.runtime import flow_run

from flows.training.retry import retried
from onerun.config.mistakes import Mistakes
from onerun.domain.errors import StoreUnreachable


def test_a_flow_run_that_failed_is_gone_on_with(prefect_api: str) -> None:
    tries: list[str] = []

    @flow(name="a training")
    def training(word: str) -> dict[str, Any]:
        tries.append(str(flow_run.id))
        if len(tries) == 1:
            raise StoreUnreachable("cut off")
        return {"word": word}

    with pytest.raises(StoreUnreachable):
        training("x")
    assert retried(training, tries[0], {"word": "x"}) == {"word": "x"}
    assert tries[0] == tries[1]
    with pytest.raises(Mistakes, match="has state Completed; only one that failed or died"):
        retried(training, tries[0], {"word": "x"})
    with pytest.raises(Mistakes, match="is not a flow run of another"):
        retried(training.with_options(name="another"), tries[0], {"word": "x"})


@pytest.mark.parametrize("flow_run_id", ["nonsense", "7f9dde1b-1b91-4a03-909b-a2395f1e4838"])
def test_no_such_flow_run(prefect_api: str, flow_run_id: str) -> None:
    @flow
    def training() -> dict[str, Any]:
        return {}

    with pytest.raises(Mistakes, match=f"--retry: no flow run '{flow_run_id}'"):
        retried(training, flow_run_id, {})
