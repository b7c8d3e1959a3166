"""Kill -9 anywhere: a backup is whole or not there, and a restore goes on where it was (P4)."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from onerun.archive import Selection, back_up, restore
from tests.archive.conftest import Store
from tests.archive.everything import everything
from tests.servers import ROOT

KILLED = """
import os, signal, sys
from onerun.archive import Selection, artifacts, back_up, restore
from onerun.archive.container import Writer
from onerun.archive.record_io import writer
writer.AT_ONCE = 3
points = {{"file": (artifacts, "write"), "record": (writer.RecordWriter, "write"), "member": (Writer, "add")}}
(where, name), at = points[{point!r}], {at}
original = getattr(where, name)
def counted(*arguments, **named):
    counted.calls += 1
    if counted.calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)
counted.calls = 0
setattr(where, name, counted)
{command}
"""


def killed(point: str, at: int, command: str) -> None:
    code = KILLED.format(point=point, at=at, command=command)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.long
@pytest.mark.parametrize(("point", "at"), [("file", 7), ("record", 2), ("record", 15)])
def test_p4_a_restore_that_is_killed(
    store: Store, empty: str, monkeypatch: pytest.MonkeyPatch, point: str, at: int
) -> None:
    before = everything(store.uri)
    archive = back_up(Selection(), "backups", "daily")
    shutil.rmtree(store.files)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", empty)
    killed(point, at, f"restore({archive.uri!r}, apply=True)")
    half = restore(archive.uri)
    assert half.new > 0
    assert not list(store.files.rglob("*.partial"))
    restore(archive.uri, apply=True)
    assert everything(empty) == before


@pytest.mark.slow
def test_p4_a_backup_that_is_killed(store: Store) -> None:
    killed("member", 9, "back_up(Selection(), 'backups', 'daily')")
    left = list(Path("backups").iterdir())
    assert [path.name.startswith(".onerun-archive-") for path in left] == [True]
    archive = back_up(Selection(), "backups", "daily")
    assert [path.name for path in Path("backups").iterdir()] == [Path(archive.uri).name], (
        "the dead one's is removed"
    )
    assert restore(archive.uri).new == 0


MEASURED = """
import resource
from onerun.archive import Selection, back_up, restore
restore(back_up(Selection(experiments=("0",)), "first", "x").uri)  # imports, caches
low = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
archive = back_up(Selection(), "backups", "daily")
restore(archive.uri)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - low)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_store(empty_database: Path, tmp_path: Path) -> None:
    """8,000 runs instead of 1,000 and a file of 200 MB instead of none: the same memory, give or take."""
    grown = [
        _grown(empty_database, tmp_path / str(runs), runs, size)
        for runs, size in ((1000, 0), (8000, 200_000_000))
    ]
    assert grown[1] < grown[0] + 40_000, f"kB more than at the beginning, small and large: {grown}"


def _grown(empty_database: Path, folder: Path, runs: int, size: int) -> int:
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    with sqlite3.connect(folder / "mlflow.db") as database:
        for experiment in range(2):
            database.execute(
                "INSERT INTO experiments (experiment_id, name, workspace, artifact_location, lifecycle_stage)"
                " VALUES (?, ?, 'default', ?, 'active')",
                [experiment, f"e{experiment}", (folder / f"e{experiment}").as_uri()],
            )
        ids = [f"{number:032x}" for number in range(runs)]
        places = [(each, (folder / "e1" / each / "artifacts").as_uri()) for each in ids]
        columns = "run_uuid, artifact_uri, experiment_id, status, source_type, lifecycle_stage"
        values = "(?, ?, 1, 'FINISHED', 'LOCAL', 'active')"
        database.executemany(f"INSERT INTO runs ({columns}) VALUES {values}", places)
        params = [("depth", "1" * 200, each) for each in ids] + [
            ("name", "x" * 200, each) for each in ids
        ]
        database.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", params)
        points = [("loss", 0.5, 1, step, 0, each) for each in ids for step in range(10)]
        database.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",
            points,
        )
    if size:
        file = folder / "e1" / ids[0] / "artifacts" / "large.bin"
        file.parent.mkdir(parents=True)
        with file.open("wb") as out:
            out.truncate(size)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[-1])
