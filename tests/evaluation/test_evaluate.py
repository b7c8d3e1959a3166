"""Evaluate on a real MLflow store: the logged model, the champion on the same rows, and what the run keeps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, root_mean_squared_error

from onerun.config.evaluation import CLASSIFICATION_METRICS, REGRESSION_METRICS
from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Recipe
from onerun.data import snapshots
from onerun.domain.columns import stored_type
from onerun.domain.errors import DataError, ModelUnusable
from onerun.domain.references import Evaluation, Snapshot, TrainedModel
from onerun.domain.splits import TEST
from onerun.evaluation.evaluate import evaluate
from onerun.tracking import models, registry, runs
from onerun.tracking.provenance import record_provenance
from onerun.training.train import train

Evaluated = tuple[Evaluation, TrainedModel, Snapshot, Recipe]


def snapshot_of(table: pa.Table | pd.DataFrame, folder: Path) -> Snapshot:
    """Returns: a snapshot as ingest leaves it."""
    arrow = (
        table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    )
    arrow = arrow.cast(pa.schema([(field.name, stored_type(field.type)) for field in arrow.schema]))
    folder.mkdir(parents=True, exist_ok=True)
    pa.parquet.write_table(arrow, folder / "table.parquet")
    columns = {field.name: str(field.type) for field in arrow.schema}
    return Snapshot(
        uri=str(folder / "table.parquet"),
        digest="0" * 64,
        rows=len(arrow),
        columns=columns,
        source="x.csv",
    )


def recipe_of(estimator: str, target: str = "target", **more: Any) -> Recipe:
    params = more.pop("params", {"n_estimators": 20} if "LGBM" in estimator else {})
    return Recipe.model_validate(
        {
            "name": more.pop("name", "evaluated"),
            "data": {"source": "x.csv", "target": target, **more.pop("data", {})},
            "split": {"by": "random"},
            "model": {"estimator": estimator, "params": params},
            **more,
        }
    )


@pytest.fixture
def trained(run_id: str, tmp_path: Path) -> Callable[..., Evaluated]:
    """Returns: a function that trains and evaluates a table in the test's run."""

    def of(table: pa.Table | pd.DataFrame, recipe: Recipe) -> Evaluated:
        snapshot = snapshot_of(table, tmp_path / "snapshots" / "0")
        model = train(run_id, recipe, snapshot, tmp_path / "work")
        return evaluate(run_id, recipe, snapshot, model, tmp_path / "work"), model, snapshot, recipe

    return of


def artifacts(run_id: str, folder: str = "") -> set[str]:
    return {item.path for item in runs.client().list_artifacts(run_id, folder)}


def text_of(run_id: str, artifact: str) -> str:
    return Path(runs.client().download_artifacts(run_id, artifact)).read_text(encoding="utf-8")


def crown(model: TrainedModel, run_id: str, name: str = "evaluated") -> None:
    """The model becomes the champion."""
    version = registry.make_version(name, model.model_id, run_id)
    registry.move_alias(
        name, "champion", version, registry.version_of_alias(name, "champion"), "test", run_id
    )


def another_run(run_id: str) -> str:
    experiment = runs.client().get_run(run_id).info.experiment_id
    return str(runs.client().create_run(experiment).info.run_id)


def test_california_housing(
    california: Path, trained: Callable[..., Evaluated], run_id: str
) -> None:
    gates = [
        {"metric": "r2", "min": 0.5},
        {"better_than": "champion"},
        {"better_than": "baseline", "confidence": 0.95},
    ]
    slices = {"slices": ["ocean_proximity", "median_income"]}
    recipe = recipe_of("lightgbm.LGBMRegressor", "median_house_value", gates=gates, evaluate=slices)
    evaluation, model, snapshot, _ = trained(pa.csv.read_csv(california), recipe)
    assert evaluation.all_gates_held
    assert evaluation.metrics["r2"] > 0.7
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    frame = snapshots.rows(snapshot, list(snapshot.columns), parts == TEST).to_pandas()
    served = models.load_model(model.model_uri).predict(frame.drop(columns="median_house_value"))
    assert evaluation.metrics["rmse"] == pytest.approx(
        root_mean_squared_error(frame["median_house_value"], served)
    )
    assert artifacts(run_id) >= {"evaluation.json", "report.html", "plots"}
    plots = {Path(path).stem for path in artifacts(run_id, "plots")}
    assert plots >= {"predicted_vs_actual", "residuals", "importance"}
    kept = json.loads(text_of(run_id, "evaluation.json"))
    assert {part["value"] for part in kept["slices"] if part["column"] == "ocean_proximity"} >= {
        "INLAND",
        "NEAR BAY",
    }
    assert kept["importance"]["kind"] == "gain"
    logged = runs.client().get_run(run_id).data.metrics
    assert logged["rmse"] == evaluation.metrics["rmse"]
    assert {f"baseline_{name}" for name in REGRESSION_METRICS} <= set(logged)


@pytest.mark.parametrize(
    ("load", "estimator", "labels"),
    [
        (load_breast_cancer, "lightgbm.LGBMClassifier", True),
        (load_breast_cancer, "sklearn.linear_model.LogisticRegression", False),
        (load_wine, "sklearn.ensemble.RandomForestClassifier", True),
    ],
)
def test_classification(
    load: Any, estimator: str, labels: bool, trained: Callable[..., Evaluated], run_id: str
) -> None:
    bundle = load(as_frame=True)
    frame = (
        bundle.frame.assign(target=bundle.target_names[bundle.target]) if labels else bundle.frame
    )
    evaluation, model, snapshot, recipe = trained(
        frame, recipe_of(estimator, gates=[{"metric": "accuracy", "min": 0.8}])
    )
    assert (
        set(evaluation.metrics) == set(evaluation.baseline_metrics) == set(CLASSIFICATION_METRICS)
    )
    assert evaluation.primary == "log_loss"
    assert evaluation.all_gates_held
    test = frame[snapshots.parts(snapshot, recipe.data, recipe.split) == TEST]
    table = models.load_model(model.model_uri).predict(
        test.drop(columns="target"), params={"probabilities": True}
    )
    assert evaluation.metrics["log_loss"] == pytest.approx(
        log_loss(test["target"], table, labels=sorted(frame["target"].unique()))
    )
    assert {Path(path).stem for path in artifacts(run_id, "plots")} >= {
        "confusion_matrix",
        "roc",
        "precision_recall",
        "calibration",
    }


def test_a_classifier_without_probabilities_is_judged_by_its_labels(
    trained: Callable[..., Evaluated], run_id: str
) -> None:
    frame = load_wine(as_frame=True).frame
    evaluation, *_ = trained(
        frame, recipe_of("sklearn.svm.LinearSVC", gates=[{"metric": "log_loss", "max": 1.0}])
    )
    assert evaluation.primary == "accuracy"
    assert set(evaluation.metrics) == {"accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"}
    assert "needs probabilities" in evaluation.gates[0].reason


def test_the_champion_is_scored_on_the_same_rows(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    name = f"champion {tmp_path.name}"
    frame = load_diabetes(as_frame=True).frame
    gates = [{"better_than": "champion", "confidence": 0.9}]
    weak = recipe_of("sklearn.dummy.DummyRegressor", name=name, gates=gates)
    first, model, snapshot, _ = trained(frame, weak)
    assert first.gates[0].reason == "no champion yet"
    crown(model, run_id, name)
    second_run = another_run(run_id)
    strong = recipe_of("sklearn.linear_model.Ridge", name=name, gates=gates, params={"alpha": 0.1})
    second_model = train(second_run, strong, snapshot, tmp_path / "second")
    second = evaluate(second_run, strong, snapshot, second_model, tmp_path / "second")
    assert (second.champion_version, second.champion_metrics) == ("1", first.metrics)
    assert second.gates[0].held
    assert "the champion's (version 1)" in second.gates[0].reason
    assert runs.client().get_run(second_run).data.metrics["champion_rmse"] == first.metrics["rmse"]
    crown(second_model, second_run, name)
    again = evaluate(second_run, strong, snapshot, second_model, tmp_path / "second")
    assert not again.gates[0].held
    assert "equals" in again.gates[0].reason


def test_a_champion_that_may_have_seen_the_test_rows_is_told_at_the_gate(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    name = f"champion {tmp_path.name}"
    gates = [{"better_than": "champion"}]
    first = recipe_of("sklearn.linear_model.Ridge", name=name, gates=gates)
    _, model, snapshot, _ = trained(load_diabetes(as_frame=True).frame, first)
    record_provenance(run_id, first, {}, 1, tmp_path / "work")
    crown(model, run_id, name)
    second_run = another_run(run_id)
    second = first.model_copy(update={"split": first.split.model_copy(update={"seed": 7})})
    evaluation = evaluate(
        second_run, second, snapshot, train(second_run, second, snapshot, tmp_path / "2"), tmp_path
    )
    assert (
        "split.seed 42, now 7): it may have learned from these test rows"
        in evaluation.gates[0].reason
    )


def test_a_champion_that_needs_other_columns_holds_the_gate_back(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    name = f"other columns {tmp_path.name}"
    frame = load_diabetes(as_frame=True).frame
    recipe = recipe_of("sklearn.linear_model.Ridge", name=name, gates=[{"better_than": "champion"}])
    _, model, _, _ = trained(frame, recipe)
    crown(model, run_id, name)
    second_run = another_run(run_id)
    snapshot = snapshot_of(frame.drop(columns="bmi"), tmp_path / "snapshots" / "1")
    narrow = train(second_run, recipe, snapshot, tmp_path / "second")
    evaluation = evaluate(second_run, recipe, snapshot, narrow, tmp_path / "second")
    assert not evaluation.gates[0].held
    assert "needs columns that this table does not have: bmi" in evaluation.gates[0].reason
    assert (evaluation.champion_version, evaluation.champion_metrics) == ("1", None)
    assert "could not be scored" in text_of(second_run, "report.html")


def test_a_champion_of_another_task_holds_the_gate_back(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    name = f"other task {tmp_path.name}"
    frame = load_wine(as_frame=True).frame
    _, model, _, _ = trained(frame, recipe_of("sklearn.linear_model.Ridge", name=name))
    crown(model, run_id, name)
    second_run, snapshot = another_run(run_id), snapshot_of(frame, tmp_path / "snapshots" / "1")
    recipe = recipe_of(
        "sklearn.naive_bayes.GaussianNB", name=name, gates=[{"better_than": "champion"}]
    )
    classifier = train(second_run, recipe, snapshot, tmp_path / "second")
    evaluation = evaluate(second_run, recipe, snapshot, classifier, tmp_path / "second")
    assert not evaluation.gates[0].held
    assert "it was trained for regression, and this is classification" in evaluation.gates[0].reason


def test_a_champion_whose_files_are_gone_holds_the_gate_back(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    name = f"gone {tmp_path.name}"
    frame = load_diabetes(as_frame=True).frame
    recipe = recipe_of("sklearn.linear_model.Ridge", name=name, gates=[{"better_than": "champion"}])
    _, model, snapshot, _ = trained(frame, recipe)
    crown(model, run_id, name)
    second_run = another_run(run_id)
    second = train(second_run, recipe, snapshot, tmp_path / "second")
    (models.fetch_model(model.model_uri, tmp_path) / "artifacts" / "estimator.pkl").write_bytes(
        b"broken"
    )
    evaluation = evaluate(second_run, recipe, snapshot, second, tmp_path / "second")
    assert not evaluation.gates[0].held
    assert "champion (version 1) cannot be scored" in evaluation.gates[0].reason


def foreign(run_id: str, model: Any, snapshot: Snapshot, folder: Path) -> TrainedModel:
    """Logs a model of another make, as a training command leaves it."""
    import mlflow.pyfunc
    import mlflow.sklearn

    if hasattr(model, "fit"):
        mlflow.sklearn.save_model(
            model, str(folder), pip_requirements=[], serialization_format="cloudpickle"
        )
    else:
        mlflow.pyfunc.save_model(str(folder), python_model=model, pip_requirements=[])
    model_id = models.log_model(run_id, folder)
    return TrainedModel(model_id=model_id, model_uri=f"models:/{model_id}", rows={"test": 36})


@pytest.mark.filterwarnings("ignore")  # MLflow's advice on type hints and signatures
def test_a_scikit_learn_model_of_another_make_is_asked_for_its_probabilities(
    run_id: str, tmp_path: Path
) -> None:
    frame = load_wine(as_frame=True).frame
    snapshot = snapshot_of(frame, tmp_path / "snapshots" / "0")
    model = LogisticRegression(max_iter=5000).fit(frame.drop(columns="target"), frame["target"])
    recipe = recipe_of(
        "sklearn.linear_model.LogisticRegression", evaluate={"explain": {"rows": 30}}
    )
    evaluation = evaluate(
        run_id,
        recipe,
        snapshot,
        foreign(run_id, model, snapshot, tmp_path / "m"),
        tmp_path / "work",
    )
    assert set(evaluation.metrics) == set(CLASSIFICATION_METRICS)
    assert json.loads(text_of(run_id, "evaluation.json"))["importance"]["kind"] == "permutation"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda frame: [1.0], "1 rows for"),
        (lambda frame: np.full(len(frame), np.nan), "no finite number in"),
        (lambda frame: ["many"] * len(frame), "a regression needs numbers"),
        (lambda frame: frame["no such column"], "cannot predict the test part: KeyError"),
    ],
)
def test_a_model_of_no_use_is_told_in_words(
    answer: Any, words: str, run_id: str, tmp_path: Path
) -> None:
    import mlflow.pyfunc

    class Model(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            return answer(model_input)

    snapshot = snapshot_of(load_diabetes(as_frame=True).frame, tmp_path / "snapshots" / "0")
    trained = foreign(run_id, Model(), snapshot, tmp_path / "m")
    with pytest.raises(ModelUnusable, match=words):
        evaluate(
            run_id, recipe_of("sklearn.linear_model.Ridge"), snapshot, trained, tmp_path / "work"
        )


def test_ugly_tables_are_judged(trained: Callable[..., Evaluated], run_id: str) -> None:
    """A rare class, an all-null and a constant column, booleans with missing values, dates, odd names, weights."""
    rng = np.random.default_rng(0)
    rows = 300
    frame = pd.DataFrame(
        {
            'a, "b" [é] <i>': rng.normal(size=rows),
            "all null": np.full(rows, np.nan),
            "constant": 1,
            "flag": pd.Series(rng.choice([1.0, 0.0, np.nan], rows)).astype("boolean"),
            "day": pd.date_range("2024-01-01", periods=rows),
            "text": pd.Series(rng.choice([0, 1, 2], rows)).map({0: " x", 1: "y"}).astype("str"),
            "weight": rng.uniform(0.5, 2, rows),
        }
    )
    frame["target"] = np.where(frame.iloc[:, 0] > 0, " yes", "no")
    frame.loc[[5, 6], "target"] = "rare"
    slices = ['a, "b" [é] <i>', "flag", "day", "text", "all null", "constant"]
    recipe = recipe_of(
        "lightgbm.LGBMClassifier", data={"weight": "weight"}, evaluate={"slices": slices}
    )
    evaluation, *_ = trained(frame, recipe)
    assert evaluation.metrics["accuracy"] > 0.8
    found = json.loads(text_of(run_id, "evaluation.json"))["slices"]
    assert {part["column"] for part in found} == set(slices)


def test_a_slice_that_the_table_lacks_names_the_near_miss(
    trained: Callable[..., Evaluated],
) -> None:
    recipe = recipe_of("sklearn.linear_model.Ridge", evaluate={"slices": ["bmj"]})
    with pytest.raises(
        DataError, match=r"evaluate\.slices: the table has no column 'bmj'; did you mean bmi\?"
    ):
        trained(load_diabetes(as_frame=True).frame, recipe)


def test_a_metric_of_the_other_task_is_a_mistake(trained: Callable[..., Evaluated]) -> None:
    recipe = recipe_of("sklearn.linear_model.Ridge", evaluate={"primary": "accuracy"})
    with pytest.raises(Mistakes, match="accuracy measures classification, and this is regression"):
        trained(load_diabetes(as_frame=True).frame, recipe)


def test_again_gives_the_same(
    trained: Callable[..., Evaluated], run_id: str, tmp_path: Path
) -> None:
    recipe = recipe_of(
        "sklearn.linear_model.Ridge", gates=[{"better_than": "baseline", "confidence": 0.95}]
    )
    first, model, snapshot, _ = trained(load_diabetes(as_frame=True).frame, recipe)
    told = text_of(run_id, "report.html")
    assert evaluate(run_id, recipe, snapshot, model, tmp_path / "elsewhere") == first
    assert text_of(run_id, "report.html") == told
    assert runs.client().get_run(run_id).info.status == "RUNNING"


def test_groups_are_resampled_whole(trained: Callable[..., Evaluated], run_id: str) -> None:
    """The same rows twenty times over: with their groups known, the bootstrap is not fooled by the copies."""
    frame = load_diabetes(as_frame=True).frame.head(60)
    copies = pd.concat([frame.assign(person=np.arange(60))] * 20, ignore_index=True)
    gates = [{"better_than": "baseline", "confidence": 0.99}]
    params = {"max_depth": 1}
    alone = recipe_of(
        "sklearn.tree.DecisionTreeRegressor", gates=gates, data={"drop": ["person"]}, params=params
    )
    together = alone.model_copy(
        update={
            "data": alone.data.model_copy(update={"group": "person"}),
            "split": alone.split.model_copy(update={"by": "group"}),
        }
    )
    evaluation, *_ = trained(copies, together)
    assert not evaluation.gates[0].held, evaluation.gates[0].reason
