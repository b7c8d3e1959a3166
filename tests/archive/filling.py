"""A store with something of everything."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    Metric,
    Param,
)


def fill(
    uri: str, root: Path, experiments: int = 2, runs: int = 3, odd: bool = True
) -> dict[str, list[str]]:
    """Returns: experiment id -> its runs' ids. Files lie below `root`. `odd`: with NaN and infinity as metrics."""
    client = MlflowClient(uri, uri)
    made: dict[str, list[str]] = {}
    for number in range(experiments):
        place = (root / f"e{number}").as_uri()
        experiment = client.create_experiment(
            f"houses {number}", artifact_location=place, tags={"team": "geo ü"}
        )
        made[experiment] = [_run(client, experiment, each, root, odd) for each in range(runs)]
        client.set_tag(made[experiment][-1], "mlflow.parentRunId", made[experiment][0])
        client.delete_run(made[experiment][1])
        _register(client, made[experiment][0], number)
    client.delete_experiment(
        client.create_experiment("gone", artifact_location=(root / "gone").as_uri())
    )
    return made


def _run(client: MlflowClient, experiment: str, number: int, root: Path, with_odd: bool) -> str:
    run_id = str(
        client.create_run(
            experiment, start_time=1_700_000_000_000 + number, run_name=f"run {number}"
        ).info.run_id
    )
    points = [Metric("loss", 1 / (step + 3), 1_700_000_000_000 + step, step) for step in range(20)]
    odd = (
        [Metric("odd", value, 1_700_000_000_000, 0) for value in (float("nan"), float("inf"))]
        if with_odd
        else []
    )
    client.log_batch(
        run_id,
        metrics=[*points, *odd],
        params=[Param("depth", str(number)), Param("empty", "x" * 500)],
    )
    client.set_tag(run_id, "note", "several\nlines; ü")
    client.log_text(run_id, f"report of {number}", "plots/a b/ü.txt")
    client.log_text(run_id, "", "empty.txt")
    context = [InputTag("mlflow.data.context", "training")]
    client.log_inputs(
        run_id, [DatasetInput(Dataset("table", "digest1", "local", '{"uri": "x"}'), context)]
    )
    model = _model(client, experiment, run_id, root)
    client.log_outputs(run_id, [LoggedModelOutput(model, 0)])
    client.log_inputs(run_id, models=[LoggedModelInput(model)])
    client.log_metric(
        run_id, "r2", 0.5, step=0, model_id=model, dataset_name="table", dataset_digest="digest1"
    )
    client.set_terminated(
        run_id, "FAILED" if number == 2 else "FINISHED", end_time=1_700_000_100_000
    )
    return run_id


def _model(client: MlflowClient, experiment: str, run_id: str, root: Path) -> str:
    model = client.create_logged_model(
        experiment, "model", run_id, tags={"a": "b"}, params={"q": "1"}
    )
    folder = root / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(f"flavors: {{}}\nrun_id: {run_id}\n")
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _register(client: MlflowClient, run_id: str, number: int) -> None:
    model = client.get_run(run_id).outputs.model_outputs[0].model_id
    if number == 0:
        client.create_registered_model(
            "houses", tags={"onerun.move.1": '{"to": "1"}'}, description="Prices"
        )
    tags = {"onerun.run_id": run_id}
    version = client.create_model_version(
        "houses", f"models:/{model}", run_id, tags=tags, model_id=model
    )
    client.set_registered_model_alias("houses", "champion", version.version)
