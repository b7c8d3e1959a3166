"""LightGBM: native missing values and categories, one Dataset, early stopping, a learning curve
while it trains.

`lightgbm.train` and not the scikit-learn class: that one keeps the raw matrix alive until the last
tree.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onerun import progress
from onerun.config.recipe import Recipe
from onerun.domain.errors import TrainingFailed
from onerun.domain.estimators import aliases_of
from onerun.domain.preprocessing import Levels
from onerun.training.curve import Curve
from onerun.training.table import EncodedPart, EncodedTable

if TYPE_CHECKING:
    from lightgbm import Booster, Dataset
    from lightgbm.callback import CallbackEnv

# parameters of the scikit-learn class alone
NOT_OF_TRAIN = ("n_estimators", "class_weight", "importance_type")
IN_ITS_SOURCE = re.compile(r"\s+at \S+, line \d+")  # where in LightGBM's C++ a check failed


def fit(
    recipe: Recipe, estimator: Any, table: EncodedTable, levels: Levels | None, curve: Curve
) -> "Booster":
    """Fit what the unfitted LGBM* `estimator` describes; the table's matrices are emptied
    meanwhile.

    Raises:
        TrainingFailed: With LightGBM's own message.
    """
    import lightgbm

    params = _params(recipe, estimator, table)
    categories = [position for position, count in enumerate(levels or ()) if count]
    try:
        training, validation = _datasets(estimator, table, params, categories)
        watched: dict[str, Any] = {}
        if validation is not None:
            watched = {"valid_sets": [validation], "valid_names": ["validation"]}
        return lightgbm.train(
            params,
            training,
            num_boost_round=estimator.n_estimators,
            **watched,
            callbacks=[_listener(curve)],
        )
    # its Python half raises the built-in ones
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        message = IN_ITS_SOURCE.sub("", str(error)).rstrip(" .\n")
        raise TrainingFailed(f"LightGBM refused: {message}; look at model.params") from error


def _params(recipe: Recipe, estimator: Any, table: EncodedTable) -> dict[str, Any]:
    """Return the parameters of `lightgbm.train`, with the scikit-learn class's defaults, as it
    would pass them.
    """
    assert recipe.model is not None
    path, given = recipe.model.estimator, recipe.model.params
    params: dict[str, Any] = {"verbosity": -1}
    for name, value in estimator.get_params().items():
        is_default = name not in given
        if name in NOT_OF_TRAIN or value is None:
            continue
        if is_default and given.keys() & aliases_of(path, name):
            continue  # the recipe sets it under another name
        params[name] = value
    classes = len(table.spec["classes"] or ())
    params.setdefault("objective", _objective(classes))
    if classes > 2:
        params.setdefault("num_class", classes)
    if params["objective"] == "regression" and not given.keys() & aliases_of(path, "metric"):
        params["metric"] = "rmse"
    if recipe.model.early_stopping:
        params["early_stopping_round"] = recipe.model.early_stopping
    return params


def _objective(classes: int) -> str:
    if not classes:
        return "regression"
    return "binary" if classes <= 2 else "multiclass"


def _datasets(
    estimator: Any, table: EncodedTable, params: dict[str, Any], categories: Sequence[int]
) -> tuple["Dataset", "Dataset | None"]:
    """Bin both parts at once and release the raw matrices, so that trees grow in the memory they
    took.
    """
    import lightgbm

    same = {
        "feature_name": _safe_names(table),
        "categorical_feature": list(categories),
        "params": params,
    }
    part = table.training
    training = lightgbm.Dataset(
        part.matrix, part.target, weight=_weight(estimator, part), **same
    ).construct()
    part.matrix = np.empty((0, 0), np.float32)
    if table.validation is None:
        return training, None
    part = table.validation
    validation = lightgbm.Dataset(
        part.matrix, part.target, reference=training, weight=part.weight, **same
    ).construct()
    part.matrix = np.empty((0, 0), np.float32)
    return training, validation


def _weight(estimator: Any, part: EncodedPart) -> np.ndarray | None:
    class_weight = getattr(estimator, "class_weight", None)
    if class_weight is None:
        return part.weight
    from sklearn.utils.class_weight import compute_sample_weight

    balanced = compute_sample_weight(class_weight, part.target)
    if part.weight is not None:
        balanced = balanced * part.weight
    return np.asarray(balanced)


def _safe_names(table: EncodedTable) -> list[str] | str:
    """Return names without JSON's special characters and blanks, which LightGBM refuses."""
    if len(table.spec["columns"]) != table.training.matrix.shape[1]:
        return "auto"
    safe = [re.sub(r"\W", "_", column["name"], flags=re.ASCII) for column in table.spec["columns"]]
    for position, name in enumerate(list(safe)):
        if safe.count(name) > 1:
            safe[position] = f"{name}_{position}"
    return safe


def _listener(curve: Curve) -> Callable[["CallbackEnv"], None]:
    def after_iteration(env: "CallbackEnv") -> None:
        progress.report("trees", env.iteration + 1, env.end_iteration)
        results = env.evaluation_result_list or ()
        curve.add({f"{part}_{metric}": value for part, metric, value, *_ in results})

    return after_iteration
