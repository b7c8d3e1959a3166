"""Preprocessing of the encoded matrix before a scikit-learn estimator, with scikit-learn's own
parts only.

The matrix is what `onerun.domain.predictor.Encoder` makes: numbers, and categories as codes, NaN
where missing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onerun.config.recipe import Categorical, Numeric, Preprocess

# more one-hot columns than this stay sparse, where the estimator takes that
MOST_DENSE_LEVELS = 100
# scikit-learn's histogram boosting takes no more levels than this as categories
HISTOGRAM_BINS = 255
Levels = Sequence[int | None]  # per column: its number of levels, or None when it is no category
SCALERS = {"standard": "StandardScaler", "minmax": "MinMaxScaler", "robust": "RobustScaler"}


def takes_missing_values(estimator: Any) -> bool:
    """Return whether it is a tree (or many) that handles NaN itself, so that the matrix needs no
    preprocessing.
    """
    from sklearn.utils import get_tags

    library, *rest = type(estimator).__module__.split(".")
    if library in ("lightgbm", "xgboost", "catboost"):
        return True
    return rest[0] in ("tree", "ensemble") and bool(get_tags(estimator).input_tags.allow_nan)


def working_dtype(estimator: Any) -> str:
    """Return the dtype in which the estimator works, so that it makes no copy: trees mostly in 32
    bits.
    """
    is_histogram = type(estimator).__name__.startswith("HistGradientBoosting")
    if takes_missing_values(estimator) and not is_histogram:
        return "float32"
    return "float64"


def use_native_categories(estimator: Any, levels: Levels) -> None:
    """Tell the estimator which columns are categories, where it has a parameter for that."""
    name, library = type(estimator).__name__, type(estimator).__module__.partition(".")[0]
    if name.startswith("HistGradientBoosting"):
        few = [place for place, count in enumerate(levels) if 0 < (count or 0) <= HISTOGRAM_BINS]
        estimator.set_params(categorical_features=few or None)
    if library == "xgboost":
        types = ["q" if count is None else "c" for count in levels]
        estimator.set_params(enable_categorical=True, feature_types=types)


def plan(
    preprocess: Preprocess | None, estimator: Any, levels: Levels
) -> tuple[Any, Levels | None]:
    """Decide how to preprocess the matrix; without a section in the recipe, as suits the estimator.

    Returns an unfitted ColumnTransformer, or None when the matrix stays as it is; and the levels of
    the resulting columns where they are categories to the estimator, or None when they are all
    numbers to it.
    """
    if preprocess is None:
        if takes_missing_values(estimator):
            return None, levels
        preprocess = Preprocess()
    native = preprocess.categorical.encode == "native"
    numbers = [position for position, count in enumerate(levels) if count is None]
    categories = [position for position, count in enumerate(levels) if count is not None]
    counts = [count for count in levels if count is not None]
    number_steps = _number_steps(preprocess.numeric)
    if native and not number_steps:
        return None, levels
    sparse = _sparse(preprocess, estimator, counts)
    category_steps = [] if native else _category_steps(preprocess.categorical, counts, sparse)
    parts = [("numbers", number_steps, numbers), ("categories", category_steps, categories)]
    transformer = _transformer(parts, sparse)
    if not native:
        return transformer, None
    return transformer, [*[None] * len(numbers), *counts]


def _transformer(parts: list[tuple[str, list[Any], list[int]]], sparse: bool) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    chains = []
    for name, steps, columns in parts:
        if columns:
            chains.append((name, make_pipeline(*steps) if steps else "passthrough", columns))
    return ColumnTransformer(chains, sparse_threshold=1.0 if sparse else 0.0)


def _sparse(preprocess: Preprocess, estimator: Any, counts: Sequence[int]) -> bool:
    """Return whether there are many one-hot columns, and the estimator takes sparse matrices."""
    from sklearn.utils import get_tags

    many = preprocess.categorical.encode == "onehot" and sum(counts) > MOST_DENSE_LEVELS
    return many and bool(get_tags(estimator).input_tags.sparse)


def _number_steps(numeric: Numeric) -> list[Any]:
    from sklearn import preprocessing
    from sklearn.impute import SimpleImputer

    steps: list[Any] = []
    if numeric.impute == "zero":
        steps.append(SimpleImputer(strategy="constant", fill_value=0, keep_empty_features=True))
    elif numeric.impute != "none":
        steps.append(SimpleImputer(strategy=numeric.impute, keep_empty_features=True))
    scaler = SCALERS.get(numeric.scale)
    if scaler:
        steps.append(getattr(preprocessing, scaler)())
    return steps


def _category_steps(categorical: Categorical, counts: Sequence[int], sparse: bool) -> list[Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    steps: list[Any] = []
    if categorical.impute == "most_frequent":
        steps.append(SimpleImputer(strategy="most_frequent", keep_empty_features=True))
    if categorical.impute == "constant" or categorical.encode == "ordinal":
        # a level of its own
        steps.append(SimpleImputer(strategy="constant", fill_value=-1, keep_empty_features=True))
    if categorical.encode == "onehot":
        first = -1 if categorical.impute == "constant" else 0  # -1 stands for a missing value
        levels = [np.append(np.arange(first, count, dtype=float), np.nan) for count in counts]
        encoder = OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=sparse)
        steps.append(encoder)
    return steps
