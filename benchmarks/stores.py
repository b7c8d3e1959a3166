"""Large MLflow stores in seconds: rows written in bulk into MLflow's own tables, one small file for each run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DAY = 86_400_000
CHUNK = 2_000  # runs written at a time


def fill(
    uri: str,
    artifacts: Path | None,
    runs: int,
    experiments: int,
    now: int,
    metrics: int = 10,
    params: int = 5,
) -> None:
    """Fill a fresh database. Half of the runs are 100 days old, the others one day; `artifacts`: None for no files."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
    from mlflow.store.tracking.dbmodels import models as m
    from sqlalchemy import insert

    engine = create_sqlalchemy_engine(uri)  # type: ignore[no-untyped-call]
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    root = artifacts or Path("/nonexistent")
    with engine.begin() as connection:
        rows = [_experiment(number, root, now) for number in range(1, experiments + 1)]
        connection.execute(insert(m.SqlExperiment), rows)
    for start in range(0, runs, CHUNK):
        numbers = range(start, min(start + CHUNK, runs))
        with engine.begin() as connection:
            connection.execute(
                insert(m.SqlRun), [_run(number, experiments, root, now) for number in numbers]
            )
            connection.execute(insert(m.SqlMetric), list(_metrics(numbers, metrics, now)))
            connection.execute(insert(m.SqlLatestMetric), list(_metrics(numbers, metrics, now)))
            connection.execute(insert(m.SqlParam), list(_texts(numbers, params, "param")))
            connection.execute(insert(m.SqlTag), list(_texts(numbers, 4, "tag")))
    engine.dispose()
    for number in range(runs if artifacts else 0):
        folder = root / str(_experiment_of(number, experiments)) / run_id(number) / "artifacts"
        folder.mkdir(parents=True)
        (folder / "model.bin").write_bytes(b"x" * 1000)


def run_id(number: int) -> str:
    """Returns: the id of a run, scattered as MLflow's are."""
    return f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}{number:016x}"


def _experiment_of(number: int, experiments: int) -> int:
    return number % experiments + 1


def _experiment(number: int, root: Path, now: int) -> dict[str, Any]:
    return {
        "experiment_id": number, "name": f"experiment {number}", "artifact_location": str(root / str(number)),
        "lifecycle_stage": "active", "creation_time": now, "last_update_time": now, "workspace": "default",
    }  # fmt: skip


def _run(number: int, experiments: int, root: Path, now: int) -> dict[str, Any]:
    ended = now - (100 if is_old(number, experiments) else 1) * DAY - number
    experiment = _experiment_of(number, experiments)
    return {
        "run_uuid": run_id(number), "name": f"run {number}", "source_type": "LOCAL", "source_name": "", "user_id": "me",
        "entry_point_name": "", "status": "FINISHED", "start_time": ended - 60_000, "end_time": ended,
        "source_version": "", "lifecycle_stage": "active", "experiment_id": experiment,
        "artifact_uri": f"{root}/{experiment}/{run_id(number)}/artifacts",
    }  # fmt: skip


def is_old(number: int, experiments: int) -> bool:
    """Whether the run goes: every second one of each experiment."""
    return (number // experiments) % 2 == 0


def _metrics(numbers: range, count: int, now: int) -> Iterator[dict[str, Any]]:
    for number in numbers:
        for key in range(count):
            value = math.sin(number * 7 + key)
            yield {
                "key": f"metric_{key}", "value": value, "timestamp": now, "step": 0, "is_nan": False,
                "run_uuid": run_id(number),
            }  # fmt: skip


def _texts(numbers: range, count: int, word: str) -> Iterator[dict[str, str]]:
    for number in numbers:
        for key in range(count):
            yield {
                "key": f"{word}_{key}",
                "value": f"value {number % 97}",
                "run_uuid": run_id(number),
            }
