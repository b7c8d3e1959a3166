"""What looks for broken promises finds them: each is broken by hand once."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import SECRET, Training

Broken = Callable[[MlflowClient, str, Training], object]


def another_run(client: MlflowClient, run_id: str, _: Training, **tags: str) -> None:
    experiment = client.get_run(run_id).info.experiment_id
    client.set_terminated(client.create_run(experiment, tags=tags).info.run_id)


def ledger_of(client: MlflowClient, change: Callable[[str, str], tuple[str, str]]) -> None:
    tags = client.get_registered_model("diabetes").tags
    for key, text in sorted(tags.items()):
        if "champion" in text:
            client.set_registered_model_tag("diabetes", *change(key, text))


def metric_again(client: MlflowClient, run_id: str, key: str) -> None:
    value = client.get_run(run_id).data.metrics[key]
    client.log_batch(run_id, metrics=[Metric(key, value, 7, 0)])


def parameter_gone(store: Path) -> None:
    with sqlite3.connect(store) as database:
        database.execute("delete from params where key = 'split.seed'")


BREAKS: dict[str, tuple[Broken, str]] = {
    "a phantom": (another_run, "a phantom"),
    "a second run of the flow run": (
        lambda client, run_id, one: another_run(
            client, run_id, one, **{"onerun.flow_run_id": str(one.flow_run_id)}
        ),
        "2 runs carry the flow run's id",
    ),
    "still running": (
        lambda client, run_id, _: client.update_run(run_id, "RUNNING"),
        "has status RUNNING",
    ),
    "failed": (lambda client, run_id, _: client.set_terminated(run_id, "FAILED"), "reads FAILED"),
    "a second version": (
        lambda client, run_id, _: client.create_model_version("diabetes", "x", run_id),
        "2 versions were made of the run",
    ),
    "a second logged model": (
        lambda client, run_id, _: client.create_logged_model(
            client.get_run(run_id).info.experiment_id, "m", run_id
        ),
        "logged models of the run",
    ),
    "a second move": (
        lambda client, *_: ledger_of(client, lambda key, text: (f"{key}x", text)),
        "alias moves",
    ),
    "an announcement": (
        lambda client, *_: ledger_of(
            client, lambda key, text: (key, text.replace('"done"', '"announced"'))
        ),
        "an announcement that nobody settled",
    ),
    "an alias that wandered": (
        lambda client, *_: client.delete_registered_model_alias("diabetes", "champion"),
        "champion points at None",
    ),
    "a parameter gone": (
        lambda _client, _id, one: parameter_gone(one.folder / "mlflow.db"),
        "split.seed is missing",
    ),
    "a conflict": (
        lambda client, run_id, _: client.set_tag(run_id, "a:attempt2", "1"),
        "conflicting parameters",
    ),
    "a metric twice": (
        lambda client, run_id, _: metric_again(client, run_id, "rmse"),
        "metric rmse is",
    ),
    "a stage twice": (
        lambda client, run_id, _: metric_again(client, run_id, "seconds_train"),
        "train was finished and ran again",
    ),
    "a stage with another result": (
        lambda client, run_id, _: client.set_tag(run_id, "onerun.stage.ingest", "{}"),
        "ingest was finished and ran again",
    ),
    "a stage without a record": (
        lambda client, run_id, _: client.delete_tag(run_id, "onerun.stage.promote"),
        "are recorded as finished",
    ),
    "an artifact too many": (
        lambda client, run_id, _: client.log_text(run_id, "x", "x.txt"),
        "artifact x.txt",
    ),
    "a secret in a tag": (
        lambda client, run_id, _: client.set_tag(run_id, "t", f"a {SECRET}"),
        "P7: a secret is in",
    ),
    "a secret in a file": (
        lambda _client, _id, one: (one.folder / "f").write_text(SECRET),
        "P7: a secret is in f",
    ),
    "a secret at Prefect": (
        lambda *_: Path(os.environ["PREFECT_HOME"], "f").write_text(SECRET),
        "P7: a secret is in f",
    ),
}


def test_every_broken_promise_is_found(
    training: Callable[..., Training], undisturbed: Callable[..., Facts]
) -> None:
    wanted, whole = undisturbed(), training()
    assert whole.run() == 0, whole.said()
    before = facts(whole)
    assert before.run is not None
    assert violations(whole, Expected(wanted, before, attempts=1)) == []
    good = (whole.folder / "mlflow.db").read_bytes()
    missed = {}
    for name, (broken, said) in BREAKS.items():
        broken(MlflowClient(whole.tracking_uri), before.run.info.run_id, whole)
        found = violations(whole, Expected(wanted, before, attempts=1))
        if not any(said in line for line in found):
            missed[name] = found
        put_back(whole, good)
    assert missed == {}


def put_back(whole: Training, good: bytes) -> None:
    """The database as it was, in place: MLflow keeps its connections."""
    with (
        sqlite3.connect(":memory:") as memory,
        sqlite3.connect(whole.folder / "mlflow.db", timeout=60) as database,
    ):
        memory.deserialize(good)
        memory.backup(database)
    for path in (
        whole.folder / "f",
        Path(os.environ["PREFECT_HOME"], "f"),
        *whole.folder.glob("mlruns/**/x.txt"),
    ):
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_an_end_without_a_reason_is_found(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], status: str
) -> None:
    one, wanted = training(), undisturbed()
    client = MlflowClient(one.tracking_uri)
    run = client.create_run("0", tags={"onerun.flow_run_id": str(one.flow_run_id)})
    client.set_terminated(run.info.run_id, status)
    assert "P1: the run does not say why it ended" in violations(
        one, Expected(wanted, status=status)
    )
