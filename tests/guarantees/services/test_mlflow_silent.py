"""The MLflow server is silent for less than the retry budget, at every kind of request that a training makes."""

import signal
import threading
import time
from collections.abc import Callable

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, violations
from tests.guarantees.services.here import TrainingHere, when_called
from tests.guarantees.services.proxy import How, Proxy
from tests.servers import MlflowServer

BUDGET = "60s"
API = "/api/2.0/mlflow"
MOMENTS = {
    "as the flow run begins": f"GET {API}/experiments/search",
    "as the run is created": f"POST {API}/runs/create",
    "as ingest logs its snapshot": f"POST {API}/runs/log-inputs",
    "as train makes the logged model": f"POST {API}/logged-models$",
    "as train uploads the model": "PUT .*/artifacts/MLmodel",
    "as evaluate uploads its report": "PUT .*report.html",
    "as register makes the version": f"POST {API}/model-versions/create",
    "as promote moves the alias": f"POST {API}/registered-models/alias",
}
FAULTS: dict[How, tuple[str, dict[str, float]]] = {
    "refuse": ("MLflow refuses connections for 10 s", {"seconds": 10}),
    "500": ("MLflow answers 500 for 5 s", {"seconds": 5}),
    "lose the answer": (
        "MLflow does what is asked, three times, and its answer is lost",
        {"times": 3},
    ),
    "cut the answer": ("MLflow's answer is cut off in the middle, three times", {"times": 3}),
    "cut the request": ("a request to MLflow is cut off in the middle, three times", {"times": 3}),
}
ONE_CALL = {
    "as train makes the logged model",
    "as train uploads the model",
}  # for the faults that are all alike
WAITS = "a training that waits"


def cells() -> list[object]:
    return [
        pytest.param(
            how,
            at,
            id=f"{how}-{moment}".replace(" ", "-"),
            marks=cell("P1 P2 P7", f"{words}, {moment}", WAITS, "by itself"),
        )
        for how, (words, _) in FAULTS.items()
        for moment, at in MOMENTS.items()
        if how in ("refuse", "lose the answer") or moment in ONE_CALL
    ]


@pytest.mark.parametrize(("how", "at"), cells())
def test_p1_p2_a_silence_within_the_budget_costs_time(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    mlflow: Proxy,
    recovery: Recovery,
    how: How,
    at: str,
) -> None:
    disturbed = here(mlflow.uri)
    fault = mlflow.plan(how, at, **FAULTS[how][1])  # type: ignore[arg-type]
    assert disturbed.run(ONERUN_RETRY_BUDGET=BUDGET) == 0, disturbed.said()
    recovery.seconds.append(time.monotonic() - fault.begun)
    assert fault.hits >= 1
    mlflow.heal()
    assert violations(disturbed, Expected(wanted, attempts=1)) == []


HANGS = {
    "as the run is created": "onerun.tracking.lifecycle._make",
    "as train makes the logged model": "onerun.tracking.models._make",
    "as register makes the version": "onerun.tracking.registry._make_registered_model",
    "as promote moves the alias": "onerun.promotion.promote._move",
}


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            function,
            id=moment.replace(" ", "-"),
            marks=cell(
                "P1 P2 P7",
                f"MLflow hangs for 15 s, then does what was asked, {moment}",
                WAITS,
                "by itself",
            ),
        )
        for moment, function in HANGS.items()
    ],
)
def test_p1_p2_a_server_that_hangs_and_does_everything_later(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    function: str,
) -> None:
    def hang() -> None:
        server.signal(signal.SIGSTOP)
        threading.Timer(15, server.signal, [signal.SIGCONT]).start()

    disturbed = here(server.uri)
    when_called(monkeypatch, function, hang)
    with recovery:
        assert disturbed.run(ONERUN_RETRY_BUDGET="30s") == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, attempts=1)) == []


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            function,
            id=moment.replace(" ", "-"),
            marks=cell(
                "P1 P2 P7",
                f"MLflow is killed and started again 10 s later, {moment}",
                WAITS,
                "by itself",
            ),
        )
        for moment, function in HANGS.items()
        if moment in ("as train makes the logged model", "as promote moves the alias")
    ],
)
def test_p1_p2_a_server_that_is_stopped_and_started(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    function: str,
) -> None:
    back = threading.Timer(10, server.start)

    def stop() -> None:
        server.stop()
        back.start()

    disturbed = here(server.uri)
    when_called(monkeypatch, function, stop)
    try:
        with recovery:
            assert disturbed.run() == 0, disturbed.said()
    finally:
        back.join(120)
    assert violations(disturbed, Expected(wanted, attempts=1)) == []
