"""The recipes that are shipped do what they say, from the command line, and pass their own gates."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def trained(folder: Path, prefect_api: str, recipe: str, *arguments: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "flows.train",
        "--recipe",
        str(ROOT / "recipes" / recipe),
        "--json",
        *arguments,
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": prefect_api}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("recipe", "metric", "least"),
    [
        ("diabetes.yaml", "r2", 0.4),
        ("breast-cancer.yaml", "roc_auc", 0.95),
        ("wine.yaml", "f1_macro", 0.9),
    ],
)
def test_a_bundled_table_becomes_a_champion(
    tmp_path: Path, prefect_server: str, recipe: str, metric: str, least: float
) -> None:
    result = trained(tmp_path, prefect_server, recipe)
    assert result["promoted"] and result["metrics"][metric] >= least


def test_california_housing_reaches_r2_of_082(
    tmp_path: Path, prefect_server: str, california: Path
) -> None:
    result = trained(tmp_path, prefect_server, "california-housing.yaml", "--data", str(california))
    assert result["promoted"] and result["metrics"]["r2"] >= 0.82
    assert result["snapshot"]["rows"] == 20_640
