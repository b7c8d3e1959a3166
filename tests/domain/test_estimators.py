"""Mistakes about the estimator are found before any data is read."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onerun.config.recipe import Recipe
from onerun.domain.estimators import check_model, make_estimator, task_of


def recipe(estimator: str, params: dict[str, Any] | None = None, **sections: Any) -> Recipe:
    model = {"estimator": estimator, "params": params or {}, **sections.pop("model", {})}
    return Recipe.model_validate(
        {"data": {"source": "x", "target": "y"}, "model": model, **sections}
    )


def told(*args: Any, **named: Any) -> list[str]:
    return [str(mistake) for mistake in check_model(recipe(*args, **named))]


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        ("os.system", "os.system is not among the allowed estimators: sklearn.*, lightgbm.*"),
        ("sklearnx.Ridge", "not among the allowed"),
        ("sklearn.linear_models.Ridge", "cannot import sklearn.linear_models"),
        ("sklearn.linear_model.Rigde", "has no Rigde; did you mean Ridge?"),
        (
            "sklearn.preprocessing.StandardScaler",
            "is not an estimator: a class with fit, predict and get_params",
        ),
        ("sklearn.utils.shuffle", "is not an estimator"),
        ("sklearn.linear_model._base.LinearModel", "is only the base of others"),
        ("sklearn.pipeline.Pipeline", "is made of other estimators (steps)"),
        (
            "sklearn.model_selection.GridSearchCV",
            "is made of other estimators (estimator, param_grid)",
        ),
        ("sklearn.cluster.KMeans", "is neither a regressor nor a classifier"),
        ("lightgbm.LGBMRanker", "is neither a regressor nor a classifier"),
    ],
)
def test_not_an_estimator(estimator, words):
    [message] = told(estimator)
    assert message.startswith("model.estimator: ") and words in message


@pytest.mark.parametrize(
    ("estimator", "params", "message"),
    [
        (
            "lightgbm.LGBMRegressor",
            {"num_leafs": 3},
            "model.params.num_leafs: not a parameter of lightgbm.LGBMRegressor; did you mean num_leaves?",
        ),
        (
            "sklearn.linear_model.Ridge",
            {"alhpa": 3},
            "model.params.alhpa: not a parameter of sklearn.linear_model.Ridge; did you mean alpha?",
        ),
    ],
)
def test_a_wrong_parameter_has_a_near_miss(estimator, params, message):
    assert told(estimator, params) == [message]


@pytest.mark.parametrize(
    "name", ["num_leaves", "eta", "feature_fraction", "num_boost_round", "min_data_in_leaf"]
)
def test_lightgbm_takes_its_own_names_and_aliases(name):
    assert told("lightgbm.LGBMRegressor", {name: 1}) == []


def test_a_wrong_value_is_refused_by_scikit_learn_itself():
    [message] = told("sklearn.linear_model.Ridge", {"alpha": -1.0})
    assert (
        message.startswith("model.params: sklearn.linear_model.Ridge refuses them")
        and "alpha" in message
    )


def test_the_task_is_read_from_the_estimator_and_must_agree():
    assert task_of(recipe("lightgbm.LGBMClassifier")) == "classification"
    assert task_of(recipe("sklearn.linear_model.Ridge")) == "regression"
    assert told("sklearn.linear_model.Ridge", task="classification")[0].startswith(
        "task: sklearn.linear_model.Ridge is"
    )
    assert told("sklearn.cluster.KMeans", task="classification")[0].startswith(
        "model.estimator: sklearn.cluster"
    )


def test_early_stopping_and_native_categories_need_an_estimator_that_has_them():
    assert told("sklearn.linear_model.Ridge", model={"early_stopping": 5})[0].startswith(
        "model.early_stopping"
    )
    native = {"categorical": {"encode": "native"}}
    assert told("sklearn.linear_model.Ridge", preprocess=native)[0].startswith(
        "preprocess.categorical.encode"
    )
    assert told("lightgbm.LGBMRegressor", preprocess=native, model={"early_stopping": 5}) == []


@pytest.mark.parametrize(
    ("estimator", "params", "added"),
    [
        ("lightgbm.LGBMRegressor", {}, {"random_state": 42}),
        ("lightgbm.LGBMRegressor", {"seed": 7}, {}),
        ("sklearn.ensemble.RandomForestRegressor", {"random_state": 7}, {}),
        ("sklearn.linear_model.LinearRegression", {}, {}),
    ],
)
def test_the_seed_is_added_where_it_is_taken(estimator, params, added):
    assert make_estimator(recipe(estimator, params))[1] == added


def test_a_check_imports_only_the_estimators_library():
    code = (
        "import sys; from tests.domain.test_estimators import recipe; from onerun.domain.estimators import check_model;"
        "check_model(recipe('sklearn.linear_model.Ridge'));"
        "print([name for name in ('lightgbm', 'mlflow', 'prefect', 'matplotlib') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"
