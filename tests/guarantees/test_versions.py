"""Parent, child and store are of different versions of MLflow."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guarantees.cells import cell
from tests.guarantees.holding import Expected, Facts, violations
from tests.guarantees.test_program_misbehaves import COMMAND
from tests.guarantees.trainings import PATIENCE, RECIPE, ROOT, Training

OLDER, NEWER = (
    "cc1f77228345",
    "ffffffffffff",
)  # a migration that MLflow knows, and one that it cannot know


def set_schema(folder: Path, revision: str) -> str:
    """Makes the store one of another MLflow. Returns: the revision that it had."""
    with sqlite3.connect(folder / "mlflow.db", timeout=60) as database:
        (before,) = database.execute("select version_num from alembic_version").fetchone()
        database.execute("update alembic_version set version_num = ?", [revision])
    return str(before)


@pytest.mark.parametrize(
    ("revision", "says"),
    [
        pytest.param(OLDER, "made by an older MLflow", marks=cell(
            "P1 P5", "the store was made by an older MLflow", "nothing: exit code 2 with what to run", "by a person")),
        pytest.param(NEWER, "made by a newer MLflow", marks=cell(
            "P1 P5", "the store was made by a newer MLflow", "nothing: exit code 2 with what to install",
            "by a person")),
    ],
)  # fmt: skip
def test_p5_the_store_is_of_another_version(
    training: Callable[..., Training], tmp_path: Path, prefect_server: str, revision: str, says: str
) -> None:
    store = training()
    before = set_schema(tmp_path, revision)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    given = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.train", "--recipe", "recipe.yaml"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, says in done.stderr, "Traceback" in done.stderr) == (2, True, False), (
        done.stderr
    )
    assert "MLFLOW_TRACKING_URI: " in done.stderr
    assert set_schema(tmp_path, before) == revision, "the database was migrated"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from runs").fetchone() == (0,)


@cell("P1 P2 P5", "the training program has another MLflow, which refuses the database", "a FAILED run that says so",
      "by a retry")  # fmt: skip
def test_p5_a_program_with_another_mlflow_is_told_which_to_install(
    training: Callable[..., Training], undisturbed: Callable[..., Facts]
) -> None:
    import mlflow

    wanted, struck = undisturbed(COMMAND), training(COMMAND)
    struck.run(MISBEHAVE="has another MLflow that refuses")
    assert (
        f"onerun: MLflow is 9.9.9 here and {mlflow.__version__} where the run is owned"
        in struck.said()
    )
    assert (
        f"cannot use the run's database: install mlflow=={mlflow.__version__} for it"
        in struck.said()
    )
    assert violations(struck, Expected(wanted, status="FAILED", attempts=1)) == []
    struck.retry()
    assert violations(struck, Expected(wanted, attempts=2)) == []


@cell(
    "P1 P2",
    "the training program has another MLflow that takes the database",
    "a line in the log",
    "nothing to do",
)
def test_p1_a_program_with_another_mlflow_that_fits_is_let_through(
    training: Callable[..., Training], undisturbed: Callable[..., Facts]
) -> None:
    wanted, struck = undisturbed(COMMAND), training(COMMAND)
    assert struck.run(MISBEHAVE="has another MLflow") == 0, struck.said()
    assert "onerun: MLflow is 9.9.9 here and " in struck.said()
    assert violations(struck, Expected(wanted, attempts=1)) == []
