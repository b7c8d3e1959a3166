"""Two stores of a test's own: one that is filled, one that is empty."""

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest

from onerun.tracking.database import make_whole
from tests.archive.filling import fill


class Store(NamedTuple):
    """A filled store: its address, where its files lie, experiment id -> ids of its runs."""

    uri: str
    files: Path
    runs: dict[str, list[str]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns: MLflow's database without a row, to be copied (making one takes seconds)."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    make_whole(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def filled(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A filled store that no test changes."""
    folder = tmp_path_factory.mktemp("filled")
    shutil.copy(empty_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder}/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "MLFLOW_TRACKING_URI", uri
        )  # MLflow makes a client of its own when a version is registered
        return Store(uri, folder / "files", fill(uri, folder / "files"))


PLACES = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}


@pytest.fixture
def store(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A filled SQLite store of this test's own, set in the environment."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(filled.uri.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    shutil.copytree(filled.files, tmp_path / "files")
    with contextlib.closing(sqlite3.connect(tmp_path / "mlflow.db")) as database, database:
        for table, column in PLACES.items():
            change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(change, [str(filled.files.parent), str(tmp_path)])
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return Store(uri, tmp_path / "files", filled.runs)


@pytest.fixture
def empty(empty_database: Path, tmp_path: Path) -> str:
    """Returns: the address of an empty SQLite store."""
    shutil.copy(empty_database, tmp_path / "other.db")
    return f"sqlite:///{tmp_path}/other.db"
