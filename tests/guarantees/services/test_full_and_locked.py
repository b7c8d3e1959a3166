"""MLflow's database is locked by somebody else, or a disk is full."""

import os
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.guarantees import trainings
from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.services.here import TrainingHere, never, when_called
from tests.guarantees.trainings import RECIPE
from tests.servers import MlflowServer

FIT = "onerun.training.local.fit"
MAKE, MOVE = "onerun.tracking.models._make", "onerun.promotion.promote._move"
FILE = "MLflow's SQLite file"
WAITS, TOLD = "a training that waits", "a run that reads RUNNING, which is told"


class Lock:
    """Somebody who writes to an SQLite file and does not come to an end."""

    def __init__(self, file: Path) -> None:
        self._store = sqlite3.connect(
            file, timeout=60, check_same_thread=False, isolation_level=None
        )

    def hold(self) -> None:
        self._store.execute("BEGIN EXCLUSIVE")

    def hold_for(self, seconds: float) -> None:
        self.hold()
        threading.Timer(seconds, self.release).start()

    def release(self) -> None:
        self._store.execute("ROLLBACK")
        self._store.close()


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            MAKE,
            marks=cell(
                "P1 P2", "MLflow's SQLite file is locked for 25 s in train", WAITS, "by itself"
            ),
        ),
        pytest.param(
            MOVE,
            marks=cell(
                "P1 P2", "MLflow's SQLite file is locked for 25 s in promote", WAITS, "by itself"
            ),
        ),
    ],
)
def test_p1_p2_a_locked_database(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    function: str,
) -> None:
    disturbed, lock = here(), Lock(tmp_path / "mlflow.db")
    when_called(monkeypatch, function, lambda: lock.hold_for(25))  # SQLite itself waits for 20
    with recovery:
        assert disturbed.run(ONERUN_RETRY_BUDGET="60s") == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, attempts=1)) == []


@cell("P1 P2", "the MLflow server's database is locked for 25 s in train", WAITS, "by itself")
def test_p1_p2_a_server_whose_database_is_locked(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    disturbed, lock = here(server.uri), Lock(server.folder / "server.db")
    when_called(monkeypatch, MAKE, lambda: lock.hold_for(25))
    with recovery:
        assert disturbed.run(ONERUN_RETRY_BUDGET="90s") == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, attempts=1)) == []


@cell("P1 P2 P5", f"{FILE} is locked for longer than the budget", TOLD, "by a retry")
def test_p1_p2_a_database_that_stays_locked(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    disturbed, lock = here(), Lock(tmp_path / "mlflow.db")
    when_called(monkeypatch, MAKE, lock.hold)
    assert disturbed.run(ONERUN_RETRY_BUDGET="1s") == 1
    lock.release()
    assert "database is locked" in disturbed.said()
    assert "still reads RUNNING" in disturbed.said()
    before = facts(disturbed)
    never(monkeypatch, FIT)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []


class Disk:
    """A small disk that can be filled up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\1" * 4096)
            except OSError:
                return

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], stderr=subprocess.DEVNULL
    )
    if not mounted:
        pytest.skip("mounting a small disk needs root")
    yield Disk(folder)
    subprocess.run(
        ["umount", "--lazy", folder], check=True
    )  # connections to a database on it may be open


def retried_without_training(
    disturbed: TrainingHere,
    wanted: Facts,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    disk.make_room()
    before = facts(disturbed)
    never(monkeypatch, FIT)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []


@cell(
    "P1 P2 P5",
    "the artifacts' disk is full as train uploads the model",
    "a FAILED run, the model kept",
    "by a retry",
)
def test_p2_a_full_disk_of_artifacts(
    here: Callable[..., TrainingHere],
    wanted: Facts,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    disturbed = here()
    MlflowClient(disturbed.tracking_uri).create_experiment(
        "diabetes", artifact_location=disk.folder.as_uri()
    )
    when_called(monkeypatch, "onerun.tracking.models._point_to", disk.fill)
    assert disturbed.run() == 1
    assert "no space left" in disturbed.said()
    retried_without_training(disturbed, wanted, disk, monkeypatch, recovery)


@cell("P1 P2 P5", f"the disk of {FILE} is full as train makes the logged model", TOLD, "by a retry")
def test_p2_a_full_disk_of_the_database(
    here: Callable[..., TrainingHere],
    template_store: Path,
    wanted: Facts,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    trainings.new_store(template_store, disk.folder)
    disturbed = here(f"sqlite:///{disk.folder}/mlflow.db")
    when_called(monkeypatch, MAKE, disk.fill)
    assert disturbed.run() == 1
    assert "no space left on the disk of MLflow at sqlite:///" in disturbed.said()
    assert "still reads RUNNING" in disturbed.said()
    retried_without_training(disturbed, wanted, disk, monkeypatch, recovery)


@cell(
    "P1 P2 P5",
    "the work folder's disk is full as train saves the model",
    "a FAILED run",
    "by a retry",
)
def test_p2_a_full_disk_of_scratch_files(
    template_store: Path,
    tmp_path: Path,
    prefect_api: str,
    wanted: Facts,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
) -> None:
    trainings.new_store(template_store, tmp_path)
    given = {"ONERUN_WORK": str(disk.folder), "ONERUN_STORE": str(tmp_path / "store")}
    disturbed = TrainingHere(tmp_path, RECIPE, given=given)
    when_called(monkeypatch, "onerun.tracking.models.save_model", disk.fill)
    begun = time.monotonic()
    assert disturbed.run() == 1
    assert "space left" in disturbed.said()
    assert time.monotonic() - begun < 120  # nothing is waited for
    disk.make_room()
    before = facts(disturbed)
    with recovery:
        disturbed.ask_to_retry()
        assert disturbed.run() == 0, disturbed.said()
    assert violations(disturbed, Expected(wanted, before, attempts=2)) == []
