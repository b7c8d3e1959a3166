"""A store of its own for each test: maintenance looks at all of it."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from onerun.domain.cleanup.reason import Reason
from onerun.tracking.database import make_whole
from onerun.tracking.runs import client
from tests import servers

DAY = 86_400_000
DYING = """
import os, signal

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(function):
    def both(*arguments, **named):
        function(*arguments, **named)
        die()
    return both
"""  # the beginning of a script that is killed where it says so


SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"


def on(*stores: str) -> pytest.MarkDecorator:
    """Runs a test on each of these kinds of store; PostgreSQL is a matter of the long suites."""
    kinds = [
        pytest.param(kind, marks=pytest.mark.long) if kind == POSTGRESQL else kind
        for kind in stores
    ]
    return pytest.mark.parametrize("store_uri", kinds, indirect=True)


def fresh_database(address: str) -> str:
    from sqlalchemy import create_engine, text

    server = f"postgresql+psycopg://{servers.POSTGRES_USER}:{servers.POSTGRES_PASSWORD}@{address}"
    admin, name = (
        create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT"),
        f"maintenance_{uuid4().hex}",
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    make_whole(f"{server}/{name}")
    return f"{server}/{name}"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory, environment: Path) -> Path:
    """Returns: an SQLite store that holds nothing; making one takes seconds, copying it does not."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    make_whole(f"sqlite:///{file}")
    return file


@pytest.fixture
def store_uri(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Returns: the URI of a fresh store, set in the environment; its artifacts are below `tmp_path/artifacts`.

    On SQLite, or where a test is parametrized so on PostgreSQL.
    """
    if getattr(request, "param", "") == POSTGRESQL:
        uri = fresh_database(request.getfixturevalue("postgres"))
    else:
        shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
        uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture
def experiment(store_uri: str, tmp_path: Path) -> str:
    """Returns: the id of an experiment called houses."""
    return str(
        client().create_experiment(
            "houses", artifact_location=(tmp_path / "artifacts" / "houses").as_uri()
        )
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns: a store's folder; the archives go beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    return tmp_path / "mlruns"


MakeRun = Callable[..., str]


def texts(reasons: Mapping[str, Reason]) -> dict[str, str]:
    """Returns: what was skipped, and why as a person reads it."""
    return {identity: str(reason) for identity, reason in reasons.items()}


@pytest.fixture
def make_run(experiment: str, tmp_path: Path) -> MakeRun:
    """Returns: a function that makes a finished run with metrics, params, a tag, an input and an artifact."""

    def make(
        days: float, now: int, status: str = "FINISHED", experiment: str = experiment, **tags: Any
    ) -> str:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        mlflow, ended = client(), now - int(days * DAY)
        run = mlflow.create_run(experiment, start_time=ended - 1000, tags={"note": "x", **tags})
        metrics = [Metric("rmse", days, ended, step) for step in range(3)]
        mlflow.log_batch(run.info.run_id, metrics=metrics, params=[Param("depth", "3")])
        dataset = Dataset("d", f"digest{days}", "local", "{}")
        mlflow.log_inputs(
            run.info.run_id, [DatasetInput(dataset, [InputTag("context", "training")])]
        )
        artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
        artifacts.mkdir(parents=True, exist_ok=True)
        (artifacts / "data.bin").write_bytes(b"x" * 1000)
        if status != "RUNNING":
            mlflow.set_terminated(run.info.run_id, status, end_time=ended)
        return str(run.info.run_id)

    return make


def log_model(
    run_id: str, name: str = "model", register: str | None = None, experiment: str | None = None
) -> str:
    """Logs a model of 500 bytes to the run, and registers it where asked. Returns: its id."""
    mlflow = client()
    experiment = experiment or mlflow.get_run(run_id).info.experiment_id
    model = mlflow.create_logged_model(experiment, name, run_id, tags={"a": "b"})
    folder = Path(model.artifact_location.removeprefix("file://"))
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(b"m" * 500)
    mlflow.finalize_logged_model(model.model_id, "READY")
    if register:
        mlflow.create_registered_model(register)
        mlflow.create_model_version(register, f"models:/{model.model_id}", model_id=model.model_id)
    return str(model.model_id)
