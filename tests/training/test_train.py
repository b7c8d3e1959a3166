"""Training in the task itself: any table trains, the model works anywhere, again is safe (P2)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from onerun.domain import names
from onerun.domain.errors import DataError, Superseded, TrainingFailed
from onerun.tracking import models
from onerun.tracking.runs import client
from onerun.training.train import train

FEW = {"params": {"n_estimators": 20, "min_child_samples": 2}}


def test_learns_california_and_leaves_the_run_running(
    run_id, houses, snapshot_of, recipe_of, tmp_path
):
    recipe = recipe_of(
        "median_house_value", model={"params": {"n_estimators": 100}, "early_stopping": 20}
    )
    trained = train(run_id, recipe, snapshot_of(houses), tmp_path)
    predicted = models.load_model(trained.model_uri).predict(
        houses.drop(columns="median_house_value")
    )
    errors = predicted - houses.median_house_value
    assert 1 - errors.var() / houses.median_house_value.var() > 0.82
    run = client().get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params["model.params.random_state"] == "42"
    assert [output.model_id for output in run.outputs.model_outputs] == [trained.model_id]
    assert sum(trained.rows.values()) == len(houses)
    assert not (tmp_path / "training").exists()
    history = client().get_metric_history(run_id, "validation_rmse")
    assert [metric.step for metric in history] == list(range(len(history)))
    assert history[0].value > history[-1].value > 0


def test_p2_a_process_that_was_replaced_leaves_the_model_of_the_one_that_took_its_place(
    run_id, tmp_path
):
    (tmp_path / "MLmodel").write_text("flavors: {}\nmodel_uuid: x\n")
    mine, theirs = models._make(run_id), models._make(run_id)
    client().finalize_logged_model(mine.model_id, "READY")
    client().set_tag(run_id, names.TAG_PROCESS, "another process")
    with pytest.raises(Superseded):
        models.log_model(run_id, tmp_path)
    assert client().get_logged_model(theirs.model_id).status == "PENDING"
    client().delete_tag(run_id, names.TAG_PROCESS)
    assert models.log_model(run_id, tmp_path) == mine.model_id
    assert [model.model_id for model in models._ours(run_id)] == [mine.model_id]


def test_the_seed_makes_the_same_model_again(run_id, houses, snapshot_of, recipe_of, tmp_path):
    recipe = recipe_of(
        "median_house_value",
        model={"params": {"n_estimators": 20, "subsample": 0.5, "subsample_freq": 1}},
    )
    from onerun.training import local
    from onerun.training.curve import Curve

    fits = [local.fit(recipe, snapshot_of(houses), Curve(lambda *_: None)) for _ in range(2)]
    first, second = (fitted.predictor.predict_frame(houses.head(500)) for fitted in fits)
    assert (first == second).all()


@pytest.mark.parametrize(
    "estimator",
    [
        "lightgbm.LGBMRegressor",
        "sklearn.linear_model.Ridge",
        "sklearn.ensemble.RandomForestRegressor",
        "sklearn.ensemble.HistGradientBoostingRegressor",
        "sklearn.neighbors.KNeighborsRegressor",
        "sklearn.ensemble.GradientBoostingRegressor",
    ],
)
def test_ugly_columns_train_and_predict(run_id, ugly, snapshot_of, recipe_of, tmp_path, estimator):
    params = {"n_estimators": 5} if "ensemble" in estimator and "Hist" not in estimator else {}
    trained = train(
        run_id,
        recipe_of("the target", estimator, model={"params": params}),
        snapshot_of(ugly),
        tmp_path,
    )
    raw = ugly.drop(columns="the target").head(50).copy()
    raw["color, [of] {it}"] = "never seen"
    raw["sold"] = None
    predicted = models.load_model(trained.model_uri).predict(raw)
    assert predicted.shape == (50,) and np.isfinite(predicted).all()


@pytest.mark.parametrize(
    "estimator", ["lightgbm.LGBMClassifier", "sklearn.linear_model.LogisticRegression"]
)
@pytest.mark.parametrize("labels", [[" low", "high"], [0, 1, 7], [True, False]])
def test_labels_come_back_as_they_were(run_id, snapshot_of, recipe_of, tmp_path, estimator, labels):
    x = np.random.default_rng(0).normal(size=600)
    target = np.array(labels)[np.digitize(x, np.linspace(-0.5, 0.5, len(labels) - 1))]
    frame = pd.DataFrame({"x": x, "y": target})
    params = FEW["params"] if "lightgbm" in estimator else {}
    trained = train(
        run_id, recipe_of("y", estimator, model={"params": params}), snapshot_of(frame), tmp_path
    )
    model = models.load_model(trained.model_uri)
    found = model.predict(frame[["x"]])
    assert (found == target).mean() > 0.95
    assert {type(value) for value in found.tolist()} == {type(value) for value in labels}
    likely = model.predict(frame[["x"]], params={"probabilities": True})
    assert list(likely.columns) == [str(label) for label in sorted(labels)]
    assert np.allclose(likely.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("target", "estimator", "words"),
    [
        (["a"] * 100, "lightgbm.LGBMClassifier", "only 'a'"),
        (np.linspace(0, 1, 100) * np.pi, "lightgbm.LGBMClassifier", "use a regressor"),
        (["a", "b"] * 50, "lightgbm.LGBMRegressor", "use a classifier"),
        ([np.inf, 1.0] * 50, "lightgbm.LGBMRegressor", "infinite"),
    ],
)
def test_targets_that_do_not_fit_say_so(
    run_id, snapshot_of, recipe_of, tmp_path, target, estimator, words
):
    frame = pd.DataFrame({"x": range(100), "y": target})
    with pytest.raises(DataError, match=words):
        train(run_id, recipe_of("y", estimator), snapshot_of(frame), tmp_path)
    assert client().search_logged_models([client().get_run(run_id).info.experiment_id]) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            {"num_leaves": 1},
            r"^LightGBM refused: Check failed: \(num_leaves\) > \(1\); look at model.params$",
        ),
        ({"n_estimators": 0}, "LightGBM refused: Number of boosting rounds must be greater than 0"),
        ({"n_estimators": "ten"}, "LightGBM refused"),
    ],
)
def test_a_parameter_value_that_lightgbm_refuses_is_told(
    run_id, snapshot_of, recipe_of, tmp_path, params, words
):
    frame = pd.DataFrame({"x": range(100), "y": range(100)})
    with pytest.raises(TrainingFailed, match=words):
        train(run_id, recipe_of("y", model={"params": params}), snapshot_of(frame), tmp_path)


@pytest.mark.parametrize(
    "estimator", ["lightgbm.LGBMClassifier", "sklearn.linear_model.LogisticRegression"]
)
def test_class_weights_are_given_by_class(run_id, snapshot_of, recipe_of, tmp_path, estimator):
    frame = pd.DataFrame({"x": [1.0] * 400, "y": ["no", "no", "no", "yes"] * 100})
    recipe = recipe_of(
        "y", estimator, model={"params": {"class_weight": {"yes": 30}}}, split={"by": "random"}
    )
    trained = train(run_id, recipe, snapshot_of(frame), tmp_path)
    assert models.load_model(trained.model_uri).predict(frame[["x"]])[0] == "yes"
    wrong = recipe.model_copy(
        update={"model": recipe.model.model_copy(update={"params": {"class_weight": {"ye": 1}}})}
    )
    with pytest.raises(
        DataError, match="class_weight: the target has no class 'ye'; did you mean yes"
    ):
        train(client().create_run("0").info.run_id, wrong, snapshot_of(frame), tmp_path)


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("evaluate.slices", {"evaluate": {"slices": ["z"]}}),
        ("data.weight", {"data": {"weight": "z"}}),
    ],
)
def test_a_column_that_is_not_there_is_told_before_training(
    run_id, snapshot_of, recipe_of, tmp_path, key, sections
):
    frame = pd.DataFrame({"x": range(100), "y": range(100)})
    with pytest.raises(DataError, match=f"{key}: the table has no column 'z'"):
        train(run_id, recipe_of("y", **sections), snapshot_of(frame), tmp_path)


def test_xgboost_is_pinned_by_the_name_it_is_installed_under(
    run_id, snapshot_of, recipe_of, tmp_path
):
    pytest.importorskip("xgboost")
    frame = pd.DataFrame({"x": range(100), "y": range(100)})
    trained = train(run_id, recipe_of("y", "xgboost.XGBRegressor"), snapshot_of(frame), tmp_path)
    folder = models.fetch_model(trained.model_uri, tmp_path)
    pins = (folder / "requirements.txt").read_text()
    assert "xgboost==" in pins or "xgboost-cpu==" in pins


def test_of_thousands_of_columns_the_file_is_not_opened_for_each(
    run_id, snapshot_of, recipe_of, tmp_path, monkeypatch
):
    """Its footer, which grows with them, would be read thousands of times."""
    names = [f"column {number}" for number in range(2000)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2000)), columns=names).assign(
        y=range(60)
    )
    snapshot, opened, open_it = snapshot_of(frame), [], pq.ParquetFile
    monkeypatch.setattr(
        pq, "ParquetFile", lambda *given, **named: opened.append(1) or open_it(*given, **named)
    )
    train(run_id, recipe_of("y", model=FEW), snapshot, tmp_path)
    assert 1 <= len(opened) < 20


def test_weights_count_and_are_no_feature(run_id, snapshot_of, recipe_of, tmp_path):
    frame = pd.DataFrame({"x": [1.0] * 200, "y": [0.0, 1.0] * 100, "w": [1.0, 3.0] * 100})
    recipe = recipe_of(
        "y", "sklearn.dummy.DummyRegressor", data={"weight": "w"}, split={"by": "random"}
    )
    trained = train(run_id, recipe, snapshot_of(frame), tmp_path)
    assert models.load_model(trained.model_uri).predict(frame[["x"]])[0] == pytest.approx(
        0.75, abs=0.05
    )
    with pytest.raises(DataError, match="weight 'w' is missing, negative"):
        train(
            client().create_run("0").info.run_id,
            recipe,
            snapshot_of(frame.assign(w=-1.0)),
            tmp_path,
        )


def test_again_gives_the_same_model(run_id, houses, snapshot_of, recipe_of, tmp_path):
    recipe, snapshot = recipe_of("median_house_value", model=FEW), snapshot_of(houses)
    first = train(run_id, recipe, snapshot, tmp_path)
    assert train(run_id, recipe, snapshot, tmp_path) == first


def test_a_model_begun_by_a_killed_attempt_is_completed(
    run_id, houses, snapshot_of, recipe_of, tmp_path
):
    experiment = client().get_run(run_id).info.experiment_id
    tags = {models.TAG_OURS: "true"}
    begun = client().create_logged_model(experiment, "model", run_id, tags=tags).model_id
    trained = train(
        run_id, recipe_of("median_house_value", model=FEW), snapshot_of(houses), tmp_path
    )
    assert trained.model_id == begun
    found = client().search_logged_models([experiment])
    assert [(model.model_id, str(model.status)) for model in found] == [(begun, "READY")]


ELSEWHERE = """
import json, sys
import mlflow, pandas as pd
assert not any(name.split(".")[0] in ("onerun", "tasks", "settings") for name in sys.modules)
frame = pd.read_csv(sys.argv[2]).head(5)
frame["total_rooms"] = None
frame["housing_median_age"] = frame["housing_median_age"].astype(int)
frame["ocean_proximity"] = "ATLANTIS"
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps({"frame": model.predict(frame.drop(columns="median_house_value")).tolist()}))
"""


@pytest.fixture
def elsewhere(tmp_path: Path):
    """Runs Python code as a stranger would: another folder, nothing of this repository on its path."""

    def run(code: str, *arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[-1]

    return run


def test_the_model_works_where_the_repository_is_not(
    run_id, houses, california, snapshot_of, recipe_of, tmp_path, elsewhere
):
    trained = train(
        run_id, recipe_of("median_house_value", model=FEW), snapshot_of(houses), tmp_path
    )
    found = json.loads(elsewhere(ELSEWHERE, trained.model_uri, str(california)))
    assert len(found["frame"]) == 5 and min(found["frame"]) > 10_000
    requirements = (
        (models.fetch_model(trained.model_uri, tmp_path) / "requirements.txt").read_text().split()
    )
    assert [requirement.split("==")[0] for requirement in requirements] == [
        "mlflow",
        "lightgbm",
        "numpy",
        "pandas",
    ]


def test_it_answers_serving_input(run_id, houses, snapshot_of, recipe_of, tmp_path):
    from mlflow.models import Model, convert_input_example_to_serving_input
    from mlflow.pyfunc.scoring_server import _parse_json_data

    trained = train(
        run_id, recipe_of("median_house_value", model=FEW), snapshot_of(houses), tmp_path
    )
    folder = models.fetch_model(trained.model_uri, tmp_path)
    model = models.load_model(str(folder))
    example = Model.load(str(folder)).load_input_example(str(folder))
    assert len(example) == 5
    sent = convert_input_example_to_serving_input(example)
    parsed = _parse_json_data(sent, model.metadata, model.metadata.get_input_schema())
    assert np.allclose(model.predict(parsed.data), model.predict(example))


def test_no_time_goes_into_looking_through_what_is_installed(
    run_id, houses, snapshot_of, recipe_of, tmp_path
):
    """MLflow would, for a warning about pins that are taken from what is installed."""
    import importlib_metadata

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib_metadata, "packages_distributions", lambda: pytest.fail("it looked")
        )
        recipe = recipe_of("median_house_value", model={"params": {"n_estimators": 2}})
        trained = train(run_id, recipe, snapshot_of(houses), tmp_path)
    assert trained.model_uri.startswith("models:/m-")
