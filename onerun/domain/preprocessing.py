"""What happens to the encoded matrix before a scikit-learn estimator sees it. Plain scikit-learn parts only.

The matrix is what `onerun.domain.predictor.Encoder` makes: numbers, and categories as codes, NaN where missing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from onerun.config.recipe import Categorical, Numeric, Preprocess

MOST_DENSE_LEVELS = (
    100  # more one-hot columns than this are kept sparse, where the estimator takes that
)
HISTOGRAM_BINS = (
    255  # scikit-learn's histogram boosting takes no more levels than this as categories
)
Levels = Sequence[int | None]  # per column: its number of levels, or None when it is no category
SCALERS = {"standard": "StandardScaler", "minmax": "MinMaxScaler", "robust": "RobustScaler"}


def takes_missing_values(estimator: Any) -> bool:
    """Return whether it is a tree (or many) that handles NaN itself, so that nothing needs to be done to the matrix."""
    from sklearn.utils import get_tags

    library, *rest = type(estimator).__module__.split(".")
    if library in ("lightgbm", "xgboost", "catboost"):
        return True
    return rest[0] in ("tree", "ensemble") and bool(get_tags(estimator).input_tags.allow_nan)


def wanted_dtype(estimator: Any) -> str:
    """Return the dtype the estimator works in, so that it makes no copy: trees mostly in 32 bits."""
    histogram = type(estimator).__name__.startswith("HistGradientBoosting")
    return "float32" if takes_missing_values(estimator) and not histogram else "float64"


def use_native_categories(estimator: Any, levels: Levels) -> None:
    """Tell the estimator which columns are categories, where it has a word for that."""
    name, library = type(estimator).__name__, type(estimator).__module__.partition(".")[0]
    if name.startswith("HistGradientBoosting"):
        few = [
            position
            for position, count in enumerate(levels)
            if count is not None and 0 < count <= HISTOGRAM_BINS
        ]
        estimator.set_params(categorical_features=few or None)
    if library == "xgboost":
        estimator.set_params(
            enable_categorical=True, feature_types=["q" if n is None else "c" for n in levels]
        )


def plan(
    preprocess: Preprocess | None, estimator: Any, levels: Levels
) -> tuple[Any, Levels | None]:
    """Decide what is done to the matrix; when the recipe does not say, what suits the estimator.

    Returns: an unfitted ColumnTransformer, or None when the matrix goes as it is; and the levels of the resulting
    columns, as far as they are categories to the estimator, or None when they are all numbers to it.
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
    return _columns(parts, sparse), [*[None] * len(numbers), *counts] if native else None


def _columns(parts: list[tuple[str, list[Any], list[int]]], sparse: bool) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline

    chains = [
        (name, make_pipeline(*steps) if steps else "passthrough", where)
        for name, steps, where in parts
        if where
    ]
    return ColumnTransformer(chains, sparse_threshold=1.0 if sparse else 0.0)


def _sparse(preprocess: Preprocess, estimator: Any, counts: Sequence[int]) -> bool:
    """Many one-hot columns stay sparse, where the estimator takes that."""
    from sklearn.utils import get_tags

    many = preprocess.categorical.encode == "onehot" and sum(counts) > MOST_DENSE_LEVELS
    return many and bool(get_tags(estimator).input_tags.sparse)


def _number_steps(numeric: Numeric) -> list[Any]:
    from sklearn import preprocessing
    from sklearn.impute import SimpleImputer

    strategy = {"zero": "constant"}.get(numeric.impute, numeric.impute)
    imputer = SimpleImputer(
        strategy=strategy,
        fill_value=0 if strategy == "constant" else None,
        keep_empty_features=True,
    )
    scaler = SCALERS.get(numeric.scale)
    return [imputer] * (strategy != "none") + ([getattr(preprocessing, scaler)()] if scaler else [])


def _category_steps(categorical: Categorical, counts: Sequence[int], sparse: bool) -> list[Any]:
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    steps: list[Any] = []
    if categorical.impute == "most_frequent":
        steps.append(SimpleImputer(strategy="most_frequent", keep_empty_features=True))
    if categorical.impute == "constant" or categorical.encode == "ordinal":
        steps.append(
            SimpleImputer(strategy="constant", fill_value=-1, keep_empty_features=True)
        )  # a level of its own
    if categorical.encode == "onehot":
        stands_for_missing = [-1.0] if categorical.impute == "constant" else []
        levels = [
            np.array([*stands_for_missing, *np.arange(count, dtype=float), np.nan])
            for count in counts
        ]
        steps.append(
            OneHotEncoder(categories=levels, handle_unknown="ignore", sparse_output=sparse)
        )
    return steps
