"""A store is silent for longer than the retry budget: the training fails with what was tried, and a retry goes on."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.services.here import TrainingHere, never, when_called
from tests.guarantees.services.proxy import Proxy
from tests.servers import MlflowServer

API = "/api/2.0/mlflow"
TOLD = "a run that reads RUNNING, which is told"
FIT, JUDGE, TABLE = (
    "onerun.training.local.fit",
    "onerun.evaluation.evaluate.comparison.compare",
    "onerun.data.snapshot_writer._write_table",
)
AT_MLFLOW = {  # moment -> request, what a retry must not compute again
    "as ingest logs its snapshot": (f"POST {API}/runs/log-inputs", ()),
    "as train makes the logged model": (f"POST {API}/logged-models$", (FIT,)),
    "as train uploads the model": ("PUT .*/artifacts/MLmodel", (FIT,)),
    "as evaluate uploads its report": ("PUT .*report.html", (FIT, JUDGE)),
    "as register makes the version": (f"POST {API}/model-versions/create", (FIT, JUDGE)),
    "as promote moves the alias": (f"POST {API}/registered-models/alias", (FIT, JUDGE)),
}
AT_S3 = {
    "as ingest uploads its snapshot": ("PUT .*table.parquet", (TABLE,)),
    "as train reads its snapshot": ("GET .*table.parquet", ()),
    "as train uploads the model": ("PUT .*MLmodel", (FIT,)),
    "as evaluate uploads its report": ("PUT .*report.html", (FIT, JUDGE)),
}


def cells(moments: dict[str, tuple[str, tuple[str, ...]]], who: str, left: str) -> list[object]:
    return [
        pytest.param(
            *planned,
            id=moment.replace(" ", "-"),
            marks=cell(
                "P1 P2 P5 P7",
                f"{who} refuses for longer than the budget, {moment}",
                left,
                "by a retry",
            ),
        )
        for moment, planned in moments.items()
    ]


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(("at", "computed"), cells(AT_MLFLOW, "MLflow", TOLD))
def test_p1_p2_mlflow_and_a_retry_uploads_what_was_computed(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    mlflow: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    at: str,
    computed: tuple[str, ...],
) -> None:
    disturbed = here(mlflow.uri)
    mlflow.plan("refuse", at)
    assert disturbed.run(ONERUN_RETRY_BUDGET="2s") == 1
    said = disturbed.said()
    assert f"MLflow at {mlflow.uri} has not answered for " in said
    assert "still reads RUNNING" in said
    assert f"--retry {disturbed.flow_run_id}` goes on" in said
    mlflow.heal()
    before = facts(disturbed)
    assert [run.info.status for run in before.runs] == ["RUNNING"]
    never(monkeypatch, *computed)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []


@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(("at", "computed"), cells(AT_S3, "S3", "a FAILED run"))
def test_p1_p2_s3_and_a_retry_uploads_what_was_computed(
    in_s3: TrainingHere,
    wanted: Facts,
    s3: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    at: str,
    computed: tuple[str, ...],
) -> None:
    s3.plan("refuse", at)
    assert in_s3.run(ONERUN_RETRY_BUDGET="2s") == 1
    assert f"S3 at {s3.uri} has not answered for " in in_s3.said()
    s3.heal()
    before = facts(in_s3)
    assert [run.info.status for run in before.runs] == ["FAILED"]
    never(monkeypatch, *computed)
    with recovery:
        in_s3.ask_to_retry()
        assert in_s3.run() == 0, in_s3.said()
    assert violations(in_s3, Expected(wanted, before, attempts=2)) == []


PROGRAM = f"""\
name: diabetes
task: regression
data: {{source: "sklearn:diabetes", target: target}}
evaluate: {{explain: {{rows: 0}}}}
train: {{run_in: command, command: [{sys.executable}, program.py]}}
"""
SCRIPT = """
import os, mlflow, pandas as pd
from sklearn.linear_model import Ridge
table = pd.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
model = Ridge().fit(table.drop(columns="target"), table["target"])
mlflow.sklearn.save_model(model, os.environ["ONERUN_MODEL_DIR"], serialization_format="cloudpickle")
"""


@cell(
    "P1 P2 P5",
    "MLflow refuses for longer than the budget, as a program of the user's ends",
    TOLD,
    "by a retry",
)
@pytest.mark.usefixtures("once")
def test_p2_a_program_is_not_run_again(
    here: Callable[..., TrainingHere],
    tmp_path: Path,
    mlflow: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    (tmp_path / "program.py").write_text(SCRIPT)
    disturbed = TrainingHere(
        tmp_path, PROGRAM.replace("program.py", str(tmp_path / "program.py")), mlflow.uri
    )
    when_called(
        monkeypatch, "onerun.tracking.lifecycle.keep_running", lambda: mlflow.plan("refuse")
    )
    assert disturbed.run(ONERUN_RETRY_BUDGET="2s") == 1
    assert "has not answered for" in disturbed.said()
    mlflow.heal()
    never(monkeypatch, "onerun.processes.program.run")
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    now = facts(disturbed)
    assert [run.info.status for run in now.runs] == ["FINISHED"]
    assert [str(model.status) for model in now.models] == ["READY"]
    assert len(now.versions) == 1


@cell("P1 P2 P5", "MLflow is back when the training has given up", "a FAILED run", "by a retry")
@pytest.mark.usefixtures("once")
def test_p1_the_run_reads_failed_once_mlflow_is_back(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    mlflow: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    disturbed = here(mlflow.uri)
    mlflow.plan("500", f"POST {API}/logged-models$")
    when_called(monkeypatch, "onerun.engine.owner._end_after", mlflow.heal)
    assert disturbed.run(ONERUN_RETRY_BUDGET="2s") == 1
    before = facts(disturbed)
    assert [run.info.status for run in before.runs] == ["FAILED"]
    assert "has not answered for" in before.runs[0].data.tags["onerun.failure"]
    never(monkeypatch, FIT)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []


@cell(
    "P1 P2 P5",
    "MLflow is stopped for 5 minutes, the budget its default of 3",
    "a FAILED run",
    "by a retry",
)
@pytest.mark.timeout(900)
def test_p1_p2_five_minutes(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    back = threading.Timer(300, server.start)

    def stop() -> None:
        server.stop()
        back.start()

    disturbed = here(server.uri)
    when_called(monkeypatch, "onerun.tracking.models._make", stop)
    begun = time.monotonic()
    try:
        assert disturbed.run() == 1
        assert time.monotonic() - begun > 290
    finally:
        back.join(420)
    before = facts(disturbed)
    assert [run.info.status for run in before.runs] == ["FAILED"]
    never(monkeypatch, FIT)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []
