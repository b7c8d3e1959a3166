"""LightGBM: native missing values and categories, one Dataset, early stopping, a learning curve while it trains.

`lightgbm.train` and not the scikit-learn class: that one keeps the raw matrix alive until the last tree.
"""

import re
from collections.abc import Callable, Mapping, Sequence
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

NOT_OF_TRAIN = (
    "n_estimators",
    "class_weight",
    "importance_type",
)  # words of the scikit-learn class alone
IN_ITS_SOURCE = re.compile(r"\s+at \S+, line \d+")  # where in LightGBM's C++ a check failed


def fit(
    recipe: Recipe, estimator: Any, table: EncodedTable, levels: Levels | None, curve: Curve
) -> "Booster":
    """Fit what the unfitted LGBM* `estimator` describes; empties the table's matrices on the way.

    Raises: TrainingFailed with LightGBM's own words.
    """
    import lightgbm

    params = _params(recipe, estimator, table)
    categories = [position for position, count in enumerate(levels or ()) if count]
    try:
        training, validation = _datasets(estimator, table, params, categories)
        return lightgbm.train(
            params,
            training,
            num_boost_round=estimator.n_estimators,
            valid_sets=[] if validation is None else [validation],
            valid_names=[] if validation is None else ["validation"],
            callbacks=[_listener(curve)],
        )
    except (
        lightgbm.basic.LightGBMError,
        ValueError,
        TypeError,
    ) as error:  # its Python half raises the plain ones
        words = IN_ITS_SOURCE.sub("", str(error)).rstrip(" .\n")
        raise TrainingFailed(f"LightGBM refused: {words}; look at model.params") from error


def _params(recipe: Recipe, estimator: Any, table: EncodedTable) -> dict[str, Any]:
    """Return what `lightgbm.train` takes, defaults of the scikit-learn class included, as the class would pass it."""
    assert recipe.model is not None
    given = recipe.model.params
    params = {
        name: value
        for name, value in estimator.get_params().items()
        if name not in NOT_OF_TRAIN
        and value is not None
        and (name in given or not set(aliases_of(recipe.model.estimator, name)) & set(given))
    }
    objective, classes = _objective(table.spec)
    params.setdefault("objective", objective)
    if classes > 2:
        params.setdefault("num_class", classes)
    if params["objective"] == "regression" and not set(
        aliases_of(recipe.model.estimator, "metric")
    ) & set(given):
        params["metric"] = "rmse"
    if recipe.model.early_stopping:
        params["early_stopping_round"] = recipe.model.early_stopping
    return {"verbosity": -1} | params


def _objective(spec: Mapping[str, Any]) -> tuple[str, int]:
    classes = len(spec["classes"] or ())
    return ("multiclass" if classes > 2 else "binary") if classes else "regression", classes


def _datasets(
    estimator: Any, table: EncodedTable, params: dict[str, Any], categories: Sequence[int]
) -> tuple["Dataset", "Dataset | None"]:
    """Bin both parts at once and lets go of the raw matrices, so that trees grow in the memory they took."""
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
    return np.asarray(balanced if part.weight is None else balanced * part.weight)


def _safe_names(table: EncodedTable) -> list[str] | str:
    """LightGBM refuses JSON's special characters in names, and blanks; the true ones are in columns.json."""
    if len(table.spec["columns"]) != table.training.matrix.shape[1]:
        return "auto"
    safe = [re.sub(r"\W", "_", column["name"], flags=re.ASCII) for column in table.spec["columns"]]
    return [
        name if safe.count(name) == 1 else f"{name}_{position}"
        for position, name in enumerate(safe)
    ]


def _listener(curve: Curve) -> Callable[["CallbackEnv"], None]:
    def after_iteration(env: "CallbackEnv") -> None:
        progress.report("trees", env.iteration + 1, env.end_iteration)
        curve.add(
            {
                f"{part}_{metric}": value
                for part, metric, value, *_ in env.evaluation_result_list or ()
            }
        )

    return after_iteration
