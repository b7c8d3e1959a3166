"""A healthy file store, generated once by MLflow itself; MLflow's empty database, made once."""

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from onerun.tracking.database import make_whole
from tests.archive.filling import fill
from tests.rescue.damage import Store


@pytest.fixture(autouse=True)
def file_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow opens the old kind of store only when told to."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A file store that no test changes: two experiments with three runs each, one in the trash."""
    root = tmp_path_factory.mktemp("healthy") / "mlruns"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_TRACKING_URI", root.as_uri())
        original = MlflowClient.create_experiment

        def inside(self: MlflowClient, name: str, artifact_location: str, tags: Any = None) -> str:
            return original(self, name, tags=tags)  # files lie where a file store keeps them

        patch.setattr(MlflowClient, "create_experiment", inside)
        made = fill(root.as_uri(), root.parent / "model", odd=False)
        first = next(iter(made))
        traced(root.as_uri(), first)
    return Store(root, first, made[first])


def traced(uri: str, experiment: str) -> None:
    """A trace with a span inside another one, metadata of all kinds, and what people said of it."""
    client = MlflowClient(uri, uri)
    mlflow.set_tracking_uri(uri)
    try:
        outer = client.start_trace(
            "ask", inputs={"question": "ü\nwhy"}, tags={"team": "geo"}, experiment_id=experiment
        )
        inner = client.start_span("think", outer.trace_id, parent_id=outer.span_id)
        client.end_span(inner.trace_id, inner.span_id, outputs=[1, 2])
        client.end_trace(outer.trace_id, outputs={"answer": 42})
        mlflow.flush_trace_async_logging()
        home = Path(uri.removeprefix("file://"), experiment, "traces", outer.trace_id)
        for of_this_machine in (home / "request_metadata").glob("mlflow.source.*"):
            of_this_machine.unlink()
        (home / "request_metadata" / "mlflow.trace.session").write_text("evening")
        (home / "request_metadata" / "mlflow.trace.tokenUsage").write_text(
            '{"input_tokens": 3, "total_tokens": 7}'
        )
        mlflow.log_feedback(
            trace_id=outer.trace_id, name="right", value=0.5, rationale="so", metadata={"by": "me"}
        )
        mlflow.log_expectation(trace_id=outer.trace_id, name="answer", value={"is": [42]})
    finally:
        mlflow.set_tracking_uri(None)


@pytest.fixture
def old(healthy: Store, tmp_path: Path) -> Store:
    """A copy of it, moved: what stands in its files about its place is true no more, as with real old stores."""
    shutil.copytree(healthy.root, tmp_path / "mlruns")
    return Store(tmp_path / "mlruns", healthy.experiment, healthy.runs)


@pytest.fixture
def quick_schema(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, schema: Path
) -> Iterator[None]:
    """MLflow's own tables, copied: making them anew takes seconds each time."""

    def copy(engine: Any) -> None:
        shutil.copyfile(schema, engine.url.database)

    monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", copy)
    yield


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: MLflow's database without a row."""
    file = tmp_path_factory.mktemp("schema") / "mlflow.db"
    make_whole(f"sqlite:///{file}")
    return file


@contextmanager
def rights_count() -> Iterator[None]:
    """Root reads and lists everything, whatever the rights of files say: for a while this thread does not (Linux)."""
    if os.geteuid() != 0:
        yield
        return
    system = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert system.capget(header, sets) == 0
    kept = sets[0]
    sets[0] = kept & ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert system.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = kept
        assert system.capset(header, sets) == 0
