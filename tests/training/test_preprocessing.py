"""Every way to preprocess trains on an ugly table and predicts rows it has never seen the like of."""

import itertools

import numpy as np
import pytest

from onerun.domain.preprocessing import MOST_DENSE_LEVELS
from onerun.training import local
from onerun.training.curve import Curve


def fitted(recipe, snapshot):
    return local.fit(recipe, snapshot, Curve(lambda *_: None)).predictor


@pytest.mark.parametrize(
    ("impute", "encode"),
    list(itertools.product(["none", "most_frequent", "constant"], ["onehot", "ordinal"])),
)
def test_categories(ugly, snapshot_of, recipe_of, impute, encode):
    preprocess = {"categorical": {"impute": impute, "encode": encode}}
    recipe = recipe_of("the target", "sklearn.linear_model.Ridge", preprocess=preprocess)
    raw = ugly.head(40).assign(**{"color, [of] {it}": "never seen", "many levels": None})
    assert np.isfinite(fitted(recipe, snapshot_of(ugly)).predict_frame(raw)).all()


@pytest.mark.parametrize("impute", ["mean", "median", "most_frequent", "zero"])
@pytest.mark.parametrize("scale", ["none", "standard", "minmax", "robust"])
def test_numbers(ugly, snapshot_of, recipe_of, impute, scale):
    preprocess = {"numeric": {"impute": impute, "scale": scale}}
    recipe = recipe_of("the target", "sklearn.linear_model.Ridge", preprocess=preprocess)
    assert np.isfinite(fitted(recipe, snapshot_of(ugly)).predict_frame(ugly.head(40))).all()


def test_numbers_left_alone_go_to_trees_as_they_are(ugly, snapshot_of, recipe_of):
    preprocess = {
        "numeric": {"impute": "none", "scale": "none"},
        "categorical": {"encode": "native"},
    }
    native = fitted(recipe_of("the target", preprocess=preprocess), snapshot_of(ugly))
    assert native.prepare is None
    omitted = fitted(recipe_of("the target"), snapshot_of(ugly))
    assert (native.predict_frame(ugly) == omitted.predict_frame(ugly)).all()


@pytest.mark.parametrize(
    "estimator", ["lightgbm.LGBMRegressor", "sklearn.ensemble.HistGradientBoostingRegressor"]
)
def test_native_categories_after_numbers_were_prepared(ugly, snapshot_of, recipe_of, estimator):
    recipe = recipe_of("the target", estimator, preprocess={"categorical": {"encode": "native"}})
    assert np.isfinite(fitted(recipe, snapshot_of(ugly)).predict_frame(ugly.head(40))).all()


def test_many_levels_stay_sparse_where_that_is_taken(ugly, snapshot_of, recipe_of):
    ridge = fitted(recipe_of("the target", "sklearn.linear_model.Ridge"), snapshot_of(ugly))
    matrix = ridge.prepare.transform(ridge.encoder.encode(ugly))
    assert matrix.shape[1] > MOST_DENSE_LEVELS and hasattr(matrix, "tocsr")
    boosting = fitted(
        recipe_of("the target", "sklearn.gaussian_process.GaussianProcessRegressor"),
        snapshot_of(ugly),
    )
    assert isinstance(boosting.prepare.transform(boosting.encoder.encode(ugly)), np.ndarray)


def test_the_rarest_levels_count_as_unseen(ugly, snapshot_of, recipe_of):
    preprocess = {"categorical": {"max_levels": 2}}
    recipe = recipe_of("the target", "sklearn.linear_model.Ridge", preprocess=preprocess)
    levels = [
        column.get("levels", []) for column in fitted(recipe, snapshot_of(ugly)).spec["columns"]
    ]
    assert max(map(len, levels)) == 2


def test_levels_come_from_the_training_part_alone(houses, snapshot_of, recipe_of):
    from onerun.data import snapshots
    from onerun.domain.splits import TRAINING

    recipe, snapshot = recipe_of("median_house_value"), snapshot_of(houses)
    parts = snapshots.parts(snapshot, recipe.data, recipe.split)
    houses.loc[parts != TRAINING, "ocean_proximity"] = "NOT IN TRAINING"
    table = snapshot_of(houses)
    levels = fitted(recipe, table).spec["columns"][-1]["levels"]
    assert "NOT IN TRAINING" not in levels and "INLAND" in levels


def test_xgboost_when_it_is_there(houses, snapshot_of, recipe_of):
    pytest.importorskip("xgboost", reason="xgboost is not installed (an optional extra)")
    curves: dict[str, list[float]] = {}
    curve = Curve(lambda values, first: curves.update(values))
    model = {"params": {"n_estimators": 300, "learning_rate": 0.3}, "early_stopping": 5}
    recipe = recipe_of("median_house_value", "xgboost.XGBRegressor", model=model)
    done = local.fit(recipe, snapshot_of(houses), curve)
    assert done.best_iteration is not None and len(curves["validation_rmse"]) < 300
    errors = houses.median_house_value - done.predictor.predict_frame(houses)
    assert 1 - errors.var() / houses.median_house_value.var() > 0.8
