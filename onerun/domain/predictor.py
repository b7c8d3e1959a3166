"""Predictions for a raw table. This one file is shipped inside every logged model.

It imports nothing of this project, so that a model works where onerun is not installed. Training
encodes with the same `Encoder`, so that training and prediction cannot differ.
"""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SPEC_FILE = "columns.json"
# Below, a second thread of LightGBM costs more CPU time than it saves: threads spin while they
# wait for each other.
FEW_ROWS = 10_000
ESTIMATOR_FILE = "estimator.pkl"
TRUE = frozenset({"true", "t", "yes", "y", "on", "1", "1.0"})
FALSE = frozenset({"false", "f", "no", "n", "off", "0", "0.0"})


class Encoder:
    """Encodes raw columns as the float matrix of an estimator, column by column.

    Numbers stay, booleans become 0 and 1, dates days since 1970 (with a fraction), categories the
    position of their level. Missing values, levels that training never saw and infinities become
    NaN.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.columns: list[dict[str, Any]] = spec["columns"]
        self.dtype = np.dtype(spec["dtype"])
        self._missing = frozenset(spec["missing"])
        self._levels = [pd.Index(column.get("levels", []), dtype="str") for column in self.columns]

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the (rows, columns) matrix, NaN where missing.

        Raises:
            ValueError: A text is not a number or date.
        """
        matrix = np.empty((len(frame), len(self.columns)), self.dtype, order="F")
        for position, column in enumerate(self.columns):
            matrix[:, position] = self.encode_column(position, frame[column["name"]])
        return matrix

    def encode_column(self, position: int, values: pd.Series) -> np.ndarray:
        """Return the (rows,) column of the matrix at `position`."""
        kind = self.columns[position]["kind"]
        if kind == "category":
            return _codes(values, self._levels[position]).astype(self.dtype)
        if kind == "boolean":
            return self._booleans(values)
        try:
            if kind == "date":
                found = _days(self._known(values))
            else:
                found = self._numbers(values)
        except (ValueError, TypeError) as error:
            name = self.columns[position]["name"]
            raise ValueError(
                f"column {name!r} was a {kind} in training and now holds something else: {error}"
            ) from error
        # a number too large for 32 bits becomes infinite, which counts as missing
        with np.errstate(over="ignore"):
            numbers = found.astype(self.dtype, copy=False)
        if np.isfinite(numbers).all():
            return numbers
        return np.where(np.isfinite(numbers), numbers, np.nan)

    def _numbers(self, values: pd.Series) -> np.ndarray:
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
            return values.to_numpy()
        if values.dtype.kind in "iufb":
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        return pd.to_numeric(self._known(values)).to_numpy(dtype=np.float64, na_value=np.nan)

    def _booleans(self, values: pd.Series) -> np.ndarray:
        if values.dtype.kind in "iufb":
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.where(np.isnan(numbers), np.nan, numbers != 0).astype(self.dtype)
        codes, uniques = pd.factorize(values)
        known = dict.fromkeys(TRUE, 1.0) | dict.fromkeys(FALSE, 0.0)
        booleans = [known.get(str(unique).strip().lower(), np.nan) for unique in uniques]
        return np.array([*booleans, np.nan], self.dtype)[codes]

    def _known(self, values: pd.Series) -> pd.Series:
        """Replace texts that mean a missing value by missing values."""
        if values.dtype.kind != "O":
            return values
        return values.astype(object).mask(values.isin(list(self._missing)), None)


def _codes(values: pd.Series, levels: pd.Index) -> np.ndarray:
    """Return (rows,) positions in `levels`, NaN for values that are missing or not among them."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, uniques = values.cat.codes.to_numpy(), values.cat.categories
    else:
        codes, uniques = pd.factorize(values)
    texts: Any = uniques
    if not isinstance(uniques.dtype, pd.StringDtype):
        texts = [as_text(unique) for unique in uniques]
    # snapshots hold texts without the blanks around them; a raw table still has them
    positions = levels.get_indexer(pd.Index(texts, dtype="str").str.strip()).astype(np.float64)
    positions[positions < 0] = np.nan
    return np.append(positions, np.nan)[codes]  # code -1, a missing value, finds the NaN at the end


def as_text(level: Any) -> str:
    """Return a level as text: 3, 3.0 and "3" are the same, since missing values make floats of
    integers.
    """
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)


def _days(values: pd.Series) -> np.ndarray:
    if values.dtype.kind != "M":
        values = pd.to_datetime(values, utc=True, format="ISO8601")
    if getattr(values.dtype, "tz", None) is not None:
        values = values.dt.tz_convert(None)
    moments = values.to_numpy("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 86_400_000_000)


class Predictor:
    """An encoder, an optional preprocessing step and an estimator: predicts for raw rows."""

    def __init__(self, spec: dict[str, Any], prepare: Any, estimator: Any) -> None:
        self.spec, self.prepare, self.estimator = spec, prepare, estimator
        self.encoder = Encoder(spec)
        self.classes: list[Any] | None = spec["classes"]

    @classmethod
    def load(cls, spec: Path, estimator: Path) -> "Predictor":
        """Read what training left: the columns and, pickled, (preprocessing or None, estimator)."""
        with estimator.open("rb") as file:
            prepare, fitted = pickle.load(file)
        return cls(json.loads(spec.read_text(encoding="utf-8")), prepare, fitted)

    def save(self, folder: Path) -> None:
        """Write what `load` reads, under `SPEC_FILE` and `ESTIMATOR_FILE`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SPEC_FILE).write_text(json.dumps(self.spec, ensure_ascii=False), encoding="utf-8")
        with (folder / ESTIMATOR_FILE).open("wb") as file:
            pickle.dump((self.prepare, self.estimator), file, protocol=5)

    def predict_frame(self, frame: pd.DataFrame, probabilities: bool = False) -> np.ndarray:
        """Return (rows,) numbers or labels; with `probabilities` (rows, classes), in order of
        `classes`.
        """
        matrix = self.encoder.encode(frame)
        if self.prepare is not None:
            matrix = self.prepare.transform(matrix)
        if self.classes is None:
            return self._estimate(matrix)
        if probabilities:
            return self._probabilities(matrix)
        labels: np.ndarray = np.array(self.classes)[self._class_codes(matrix)]
        return labels

    def _estimate(self, matrix: np.ndarray) -> np.ndarray:
        """Return the estimator's output for the encoded rows; for few of them, in one thread."""
        if self.spec["booster"] and len(matrix) < FEW_ROWS:
            return np.asarray(self.estimator.predict(matrix, num_threads=1))
        return np.asarray(self.estimator.predict(matrix))

    def _class_codes(self, matrix: np.ndarray) -> np.ndarray:
        if self.spec["booster"]:
            codes: np.ndarray = self._probabilities(matrix).argmax(axis=1)
            return codes
        return self._estimate(matrix).astype(np.int64)

    def _probabilities(self, matrix: np.ndarray) -> np.ndarray:
        if not self.spec["booster"]:
            if not hasattr(self.estimator, "predict_proba"):
                raise ValueError(f"{type(self.estimator).__name__} gives labels, not probabilities")
            return np.asarray(self.estimator.predict_proba(matrix))
        scores = np.asarray(self.estimator.predict(matrix))
        if scores.ndim == 2:
            return scores
        return np.column_stack([1 - scores, scores])


def _serve() -> None:
    """Pass the model to MLflow, which runs this file as a module of its own when it loads (or
    saves) a model.
    """
    from mlflow.models import set_model
    from mlflow.pyfunc.model import PythonModel, PythonModelContext

    class Served(PythonModel):
        def load_context(self, context: PythonModelContext) -> None:
            files = context.artifacts
            self.predictor = Predictor.load(Path(files["columns"]), Path(files["estimator"]))

        def predict(
            self,
            context: PythonModelContext,
            model_input: pd.DataFrame,
            params: dict[str, Any] | None = None,
        ) -> Any:
            probabilities = bool((params or {}).get("probabilities", False))
            found = self.predictor.predict_frame(model_input, probabilities)
            if not probabilities or self.predictor.classes is None:
                return found
            return pd.DataFrame(
                found,
                columns=[str(name) for name in self.predictor.classes],
                index=model_input.index,
            )

    set_model(Served())


if __name__.startswith("code_model_"):  # the name MLflow gives to a model's code
    _serve()
