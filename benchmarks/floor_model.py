"""The model that floor.py logs: takes the raw table, knows its own categories."""

import json
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    """A LightGBM booster and the codes of its categories."""

    def load_context(self, context: Any) -> None:
        """Read both artifacts."""
        import lightgbm

        with open(context.artifacts["columns"]) as file:  # noqa: PTH123
            self.columns: dict[str, dict[str, int] | None] = json.load(file)
        self.booster = lightgbm.Booster(model_file=context.artifacts["booster"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Returns: (rows,) predictions."""
        encoded = np.empty((len(model_input), len(self.columns)), np.float32, order="F")
        for position, (name, codes) in enumerate(self.columns.items()):
            column = model_input[name]
            encoded[:, position] = (
                column.map(codes).astype(np.float32) if codes is not None else column
            )
        return np.asarray(self.booster.predict(encoded))


set_model(Model())
