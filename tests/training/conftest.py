"""Snapshots as ingest leaves them, recipes in a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onerun.config.recipe import Recipe
from onerun.domain.columns import stored_type
from onerun.domain.references import Snapshot

MakeSnapshot = Callable[[pd.DataFrame], Snapshot]
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def snapshot_of(tmp_path: Path) -> MakeSnapshot:
    def make(frame: pd.DataFrame) -> Snapshot:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        table = table.cast(
            pa.schema([(field.name, stored_type(field.type)) for field in table.schema])
        )
        path = tmp_path / "snapshot" / "table.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata(None), path)
        columns = {field.name: str(field.type) for field in table.schema}
        return Snapshot(
            uri=str(path), digest="0" * 64, rows=len(frame), columns=columns, source="test"
        )

    return make


@pytest.fixture
def recipe_of() -> MakeRecipe:
    def make(
        target: str, estimator: str | None = "lightgbm.LGBMRegressor", **sections: Any
    ) -> Recipe:
        model = (
            {}
            if estimator is None
            else {"model": {"estimator": estimator, **sections.pop("model", {})}}
        )
        data = {"source": "test", "target": target, **sections.pop("data", {})}
        return Recipe.model_validate({"data": data, **model, **sections})

    return make


@pytest.fixture
def houses(california: Path) -> pd.DataFrame:
    return pd.read_csv(california)


@pytest.fixture
def ugly() -> pd.DataFrame:
    """A table as they come: odd names, missing values, columns without anything in them."""
    rows = 400
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "color, [of] {it}": random.choice(["red", " blue", 'gr"een', "Türkis", None], rows),
            'size: "x"': random.normal(size=rows),
            "many levels": [f"level {number}" for number in range(rows)],
            "constant": 1.0,
            "nothing": pd.Series([None] * rows, dtype="float64"),
            "no text": pd.Series([None] * rows, dtype="str"),
            "whole": pd.array(
                [None if number % 7 == 0 else number for number in range(rows)], dtype="Int64"
            ),
            "flag": pd.array(
                [None if number % 5 == 0 else number % 2 == 0 for number in range(rows)],
                dtype="boolean",
            ),
            "sold": pd.to_datetime(
                ["2024-02-29", None, "1969-12-31", "2030-01-01 12:00"] * (rows // 4),
                format="ISO8601",
            ),
            "endless": np.where(np.arange(rows) % 50 == 0, np.inf, 1.0),
            "the target": random.normal(size=rows),
        }
    )
