"""The least that the job needs: one script, one pass over the data, pinned requirements, batched logging.

    MLFLOW_TRACKING_URI=sqlite:///mlflow.db python benchmarks/floor.py RECIPE SOURCE FOLDER

Same steps, settings and outputs as the product; none of its retries, checks, or promises. Prints one JSON object.
"""

import base64
import contextlib
import hashlib
import html
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

BLOCK = 131_072
TRAINING, VALIDATION, TEST = 0, 1, 2
RESAMPLES, CELLS = 2_000, 1_000
clock: dict[str, tuple[float, float]] = {}


def lap(step: str) -> None:
    clock[step] = (time.perf_counter(), time.process_time())


def read(source: str, columns: list[str] | None = None) -> tuple[pa.Schema, Any]:
    """Returns: the schema, and the batches of the table; text as dictionary."""
    if source.endswith(".csv"):
        table = pa.csv.read_csv(
            source, convert_options=pa.csv.ConvertOptions(auto_dict_encode=True)
        )
        return table.schema, table.to_batches(BLOCK)
    schema = pq.read_schema(source)
    texts = [field.name for field in schema if not pa.types.is_floating(field.type)]
    file = pq.ParquetFile(source, read_dictionary=texts)
    return file.schema_arrow, file.iter_batches(BLOCK)


class Ingest:
    """One pass: digest, snapshot, split, and the float32 blocks that LightGBM reads."""

    def __init__(self, schema: pa.Schema, target: str, split: dict[str, Any], folder: Path) -> None:
        self.schema, self.target, self.split = schema, target, split
        self.codes: dict[str, dict[str, int] | None] = {
            field.name: {} if pa.types.is_dictionary(field.type) else None
            for field in schema
            if field.name != target
        }
        self.sha = hashlib.sha256(str(schema).encode())
        self.path = folder / "snapshot.parquet"
        self.rows = 0
        self.blocks: list[list[np.ndarray]] = [[], [], []]
        self.targets: list[list[np.ndarray]] = [[], [], []]
        self.test: list[pa.RecordBatch] = []

    def run(self, batches: Any) -> str:
        with pq.ParquetWriter(
            self.path, self.schema, compression="lz4", use_dictionary=self._texts()
        ) as writer:
            for batch in batches:
                writer.write_batch(batch)
                self._take(batch)
        return self.sha.hexdigest()

    def _texts(self) -> list[str]:
        return [name for name, codes in self.codes.items() if codes is not None]

    def _take(self, batch: pa.RecordBatch) -> None:
        block = np.empty((batch.num_rows, len(self.codes)), np.float32, order="F")
        hashes = np.zeros(batch.num_rows, np.uint64)
        for position, (name, known) in enumerate(self.codes.items()):
            column = batch.column(name)
            if known is None:
                values = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
            else:
                values = self._coded(column, known)
            self.sha.update(np.ascontiguousarray(values).data)
            hashes = (hashes ^ values.view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            block[:, position] = values
        target = (
            batch.column(self.target).to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        )
        self.sha.update(np.ascontiguousarray(target).data)
        self._part(batch, block, target, hashes)

    def _coded(self, column: pa.DictionaryArray, known: dict[str, int]) -> np.ndarray:
        table = np.array(
            [known.setdefault(text, len(known)) for text in column.dictionary.to_pylist()]
            + [np.nan]
        )
        return np.asarray(
            table[column.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)]
        )

    def _part(
        self, batch: pa.RecordBatch, block: np.ndarray, target: np.ndarray, hashes: np.ndarray
    ) -> None:
        places = (hashes >> np.uint64(11)) / 2.0**53
        test, validation = self.split["test"], self.split["validation"]
        parts = np.where(
            places < test, TEST, np.where(places < test + validation, VALIDATION, TRAINING)
        )
        for part in (TRAINING, VALIDATION, TEST):
            mask = parts == part
            self.blocks[part].append(block[mask])
            self.targets[part].append(target[mask])
        self.test.append(batch.filter(pa.array(parts == TEST)))
        self.rows += batch.num_rows


def expectations(source: Path, asked: list[dict[str, dict[str, Any]]], folder: Path) -> bool:
    import great_expectations as gx
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    columns = {arguments["column"] for one in asked for arguments in one.values()}
    frame = pq.read_table(source, columns=sorted(columns)).to_pandas()
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("table").add_dataframe_asset("table")
    suite = gx.ExpectationSuite("recipe")
    for one in asked:
        for name, arguments in one.items():
            kind = "".join(word.title() for word in name.split("_"))
            suite.add_expectation(getattr(gx.expectations, kind)(**arguments))
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    result = batch.validate(suite, result_format="SUMMARY")
    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))
    (folder / "expectations.html").write_text(page)
    (folder / "expectations.json").write_text(json.dumps(result.to_json_dict()))
    return all(
        one.success for one in result.results if one.expectation_config.severity != "warning"
    )


def train(recipe: dict[str, Any], ingest: Ingest) -> tuple[Any, dict[str, list[float]]]:
    import lightgbm

    params = {
        **recipe["model"]["params"],
        "objective": "regression",
        "metric": "rmse",
        "verbosity": -1,
    }
    trees = params.pop("n_estimators")
    texts = [position for position, codes in enumerate(ingest.codes.values()) if codes is not None]
    training, validation = (
        (ingest.blocks[part], np.concatenate(ingest.targets[part]))
        for part in (TRAINING, VALIDATION)
    )
    names = [name.replace(" ", "_") for name in ingest.codes]
    data = lightgbm.Dataset(
        *training, feature_name=names, categorical_feature=texts, params=params
    ).construct()
    ingest.blocks[TRAINING] = []
    curve: dict[str, Any] = {}
    booster = lightgbm.train(
        params,
        data,
        trees,
        valid_sets=[lightgbm.Dataset(*validation, reference=data, params=params)],
        callbacks=[
            lightgbm.early_stopping(recipe["model"]["early_stopping"], verbose=False),
            lightgbm.record_evaluation(curve),
        ],
    )
    return booster, curve["valid_0"]


def score(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    error = predicted - truth
    return {
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mae": float(np.mean(np.abs(error))),
        "r2": float(1 - np.sum(error**2) / np.sum((truth - truth.mean()) ** 2)),
        "median_absolute_error": float(np.median(np.abs(error))),
    }


def confidence(truth: np.ndarray, mine: np.ndarray, theirs: np.ndarray, margin: float) -> float:
    """Returns: share of paired resamples in which `mine` has the smaller RMSE by the margin."""
    rng = np.random.default_rng(1)
    cells = min(CELLS, len(truth))
    cell = rng.permutation(len(truth)) % cells
    counts = rng.multinomial(cells, np.full(cells, 1 / cells), RESAMPLES)
    errors = [counts @ np.bincount(cell, (predicted - truth) ** 2) for predicted in (mine, theirs)]
    return float(np.mean(np.sqrt(errors[0]) < np.sqrt(errors[1]) * (1 - margin)))


def plots(
    folder: Path,
    truth: np.ndarray,
    predicted: np.ndarray,
    curve: list[float],
    gains: dict[str, float],
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    some = np.random.default_rng(1).permutation(len(truth))[:5000]
    drawings = {
        "predicted": lambda axes: axes.scatter(truth[some], predicted[some], s=3),
        "residuals": lambda axes: axes.hist(predicted - truth, 60),
        "learning-curve": lambda axes: axes.plot(curve),
        "importance": lambda axes: axes.barh(list(gains), list(gains.values())),
    }
    for name, draw in drawings.items():
        figure = Figure(figsize=(6, 4))
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(title=name)
        draw(axes)
        figure.savefig(folder / f"{name}.png", dpi=100)


def report(
    folder: Path, what: dict[str, Any], test: pa.Table, truth: np.ndarray, predicted: np.ndarray
) -> None:
    worst = np.argsort(-np.abs(predicted - truth))[:20]
    frame = test.take(pa.array(worst)).to_pandas().assign(predicted=predicted[worst])
    pictures = [
        f'<img src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}">'
        for path in sorted(folder.glob("plots/*.png"))
    ]
    summary = html.escape(json.dumps(what, indent=1))
    text = f"<!doctype html><meta charset=utf-8><pre>{summary}</pre>{''.join(pictures)}{frame.to_html()}"
    (folder / "report.html").write_text(text)


def provenance(folder: Path, recipe_text: str) -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False
        ).stdout

    (folder / "recipe.yaml").write_text(recipe_text)
    (folder / "changes.diff").write_text(git("diff", "HEAD"))
    installed = sorted(
        f"{found.name}=={found.version}" for found in importlib.metadata.distributions()
    )
    (folder / "requirements.txt").write_text("\n".join(installed))
    return git("rev-parse", "HEAD").strip()


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    result: dict[str, str] = {}
    for key, value in values.items():
        result |= (
            flat(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {prefix + key: json.dumps(value)}
        )
    return result


def main(recipe_file: str, source: str, work: str) -> None:
    lap("start")
    recipe_text = Path(recipe_file).read_text()
    recipe = yaml.safe_load(recipe_text)
    name, folder = recipe["name"], Path(work) / str(os.getpid())
    (folder / "plots").mkdir(parents=True)
    commit = provenance(folder, recipe_text)
    lap("provenance")
    schema, batches = read(source)
    ingest = Ingest(schema, recipe["data"]["target"], recipe["split"], folder)
    digest = ingest.run(batches)
    snapshot = ingest.path.rename(Path(work) / f"{digest}.parquet")
    del batches
    lap("ingest")
    valid = not recipe["data"].get("expectations") or expectations(
        snapshot, recipe["data"]["expectations"], folder
    )
    lap("validate")
    booster, curves = train(recipe, ingest)
    lap("train")

    import mlflow
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    lap("import mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    run_id = client.create_run(experiment_id, tags={"mlflow.source.git.commit": commit}).info.run_id
    client.log_batch(run_id, params=[Param(key, value) for key, value in flat(recipe).items()])
    columns = [{"name": field.name, "type": str(field.type)} for field in schema]
    dataset = Dataset(
        Path(source).name, digest[:36], "local", json.dumps({"uri": str(snapshot)}),
        json.dumps({"mlflow_colspec": columns}), json.dumps({"num_rows": ingest.rows}),
    )  # fmt: skip
    client.log_inputs(
        run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    )
    lap("open run")

    truth = np.concatenate(ingest.targets[TEST])
    encoded = np.concatenate(ingest.blocks[TEST])
    predicted = booster.predict(encoded)
    test = pa.Table.from_batches(ingest.test)
    metrics = score(truth, predicted)
    baseline = np.full(len(truth), np.concatenate(ingest.targets[TRAINING]).mean())
    others = {"baseline": baseline}
    try:
        champion = client.get_model_version_by_alias(name, "champion")
    except mlflow.MlflowException:
        champion = None
    if champion:
        import mlflow.pyfunc

        raw = test.drop_columns([ingest.target]).to_pandas()
        model = mlflow.pyfunc.load_model(champion.source).unwrap_python_model()
        others["champion"] = model.predict(None, raw)
    gates = {
        f"better than {who}": confidence(truth, predicted, other, 0.2 if who == "baseline" else 0.0)
        > 0.95
        for who, other in others.items()
    }
    gates["r2"] = metrics["r2"] >= recipe["gates"][0]["min"]
    slices = {}
    for column in recipe["evaluate"]["slices"]:
        values = test.column(column).combine_chunks()
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        codes = values.indices.fill_null(-1).to_numpy()
        for code, level in enumerate(values.dictionary.to_pylist()):
            if (rows := np.flatnonzero(codes == code)).size:
                slices[f"{column}={level}"] = score(truth[rows], predicted[rows])
    lap("evaluate")
    gains = booster.feature_importance("gain").tolist()
    plots(
        folder / "plots",
        truth,
        predicted,
        curves["rmse"],
        dict(zip(ingest.codes, gains, strict=True)),
    )
    lap("plots")
    report(folder, {"metrics": metrics, "gates": gates, "slices": slices}, test, truth, predicted)
    rivals = {
        f"{who}_{key}": value
        for who, other in others.items()
        for key, value in score(truth, other).items()
    }
    now = int(time.time() * 1000)
    history = [
        Metric("validation_rmse", value, now, step) for step, value in enumerate(curves["rmse"])
    ]
    client.log_batch(
        run_id,
        metrics=[
            *history,
            *(Metric(key, value, now, 0) for key, value in (metrics | rivals).items()),
        ],
    )
    client.log_artifacts(run_id, str(folder))
    lap("record")

    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    booster.save_model(folder / "booster.txt")
    (folder / "columns.json").write_text(json.dumps(ingest.codes))
    pins = [
        f"{package}=={importlib.metadata.version(package)}"
        for package in ("mlflow", "lightgbm", "numpy", "pandas")
    ]
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("floor_model.py")),
            artifacts={
                "booster": str(folder / "booster.txt"),
                "columns": str(folder / "columns.json"),
            },
            signature=ModelSignature(
                Schema([ColSpec(AnyType(), column) for column in ingest.codes])
            ),
            input_example=test.slice(0, 5).drop_columns([ingest.target]).to_pandas(),
            pip_requirements=pins,
        )
    lap("log model")
    with contextlib.suppress(mlflow.MlflowException):
        client.create_registered_model(name)
    version = client.create_model_version(
        name, logged.model_uri, run_id, model_id=logged.model_id
    ).version
    if valid and (all(gates.values()) or champion is None):
        client.set_registered_model_alias(name, "champion", version)
    lap("register")
    times = list(clock.items())
    seconds = {
        step: [round(now[0] - before[0], 3), round(now[1] - before[1], 3)]
        for (_, before), (step, now) in pairwise(times)
    }
    print(json.dumps({"metrics": metrics, "gates": gates, "version": version, "seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
