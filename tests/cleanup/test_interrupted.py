"""A clean-up that is killed anywhere loses nothing, and the next one finishes it; two at once do not meet."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from onerun.commands.maintain import COMMAND
from onerun.store.protocol import open_store
from onerun.tracking.runs import client
from tests.cleanup.conftest import DYING, POSTGRESQL, SQLITE, MakeRun, log_model, on
from tests.cleanup.test_clean_up import NOW, OF_RUNS, clean_up, policy, rows, runs_left

main = COMMAND.main

ROOT = Path(__file__).parents[2]
CLEAN_UP = """
from onerun.domain.cleanup.plan import BatchSizer
from onerun.cleanup import removal
from onerun.cleanup import execution, journal
from onerun.store.sql import deletion
from tests.cleanup.test_clean_up import clean_up, policy

def die_at_second(function):
    calls = []
    def counted(*arguments, **named):
        calls.append(1)
        if len(calls) == 2:
            die()
        return function(*arguments, **named)
    return counted

def die_in_journals(function):
    import os
    def sync(file):
        if "/journals/" in os.readlink(f"/proc/self/fd/{{file}}"):
            die()
        return function(file)
    return sync

{patch}
clean_up(policy("hard_delete"))
"""
POINTS = {
    "before the archive": "execution.write_archive = die",
    "after the archive": "execution.write_archive = then_die(execution.write_archive)",
    "while the journal is written": "import os\nos.fsync = die_in_journals(os.fsync)",
    "after the journal": "journal.write = then_die(journal.write)",
    "rows away, not committed": "deletion._remove_rows = then_die(deletion._remove_rows)",
    "rows away, files there": "removal.remove = die",
    "half of the files away": "removal.remove = die_at_second(removal.remove)",
    "a folder is empty, but there": "removal._empty = then_die(removal._empty)",
    "all away, journal open": "journal.close = die",
    "rows of one batch away, the next one's under way": "execution.BatchSizer = lambda: BatchSizer(1)\nremoval.remove = die",
}


# The others belong to the long suite.
OFTEN = ("after the journal", "half of the files away", "a folder is empty, but there")


@pytest.mark.slow
@on(SQLITE, POSTGRESQL)
@pytest.mark.parametrize(
    "point",
    [point if point in OFTEN else pytest.param(point, marks=pytest.mark.long) for point in POINTS],
)
def test_the_next_one_finishes_what_a_killed_one_began(
    point: str, experiment: str, make_run: MakeRun, tmp_path: Path
) -> None:
    young, pinned = make_run(3, NOW), make_run(40, NOW, pin="1")
    log_model(young)
    before = {table: rows(table) for table in OF_RUNS}
    gone = [make_run(40, NOW), make_run(50, NOW)]
    models = [log_model(run) for run in gone]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    script = DYING + CLEAN_UP.format(patch=POINTS[point])
    killed = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, check=False, timeout=200
    )
    assert killed.returncode == -signal.SIGKILL
    assert runs_left(experiment) >= {young, pinned}
    for run in set(gone) & runs_left(experiment):  # whoever is still there is whole
        assert (tmp_path / "artifacts" / "houses" / run / "artifacts" / "data.bin").exists()
        assert client().get_run(run).data.metrics == {
            "rmse": pytest.approx(client().get_run(run).data.metrics["rmse"])
        }

    clean_up(policy("hard_delete"))
    assert {table: rows(table) for table in OF_RUNS} == before
    houses = tmp_path / "artifacts" / "houses"
    assert sorted(path.name for path in houses.iterdir()) == sorted([young, pinned, "models"])
    assert not any((houses / "models" / model).exists() for model in models)
    assert list((tmp_path / ".onerun" / "backups" / "journals").iterdir()) == []


@on(SQLITE, POSTGRESQL)
def test_two_at_once_do_not_meet(
    experiment: str, make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(40, NOW)
    asked = ["--policy", "action: soft_delete\nkeep: {last: 0}\n", "--apply", "--yes-really"]
    with open_store().exclusive_lock():
        assert main(asked) == 1
        assert "another clean-up" in capsys.readouterr().err
        assert len(runs_left(experiment, 1)) == 1
    assert main(asked) == 0
    assert not runs_left(experiment, 1)


@on(SQLITE, POSTGRESQL)
def test_trainings_meanwhile_are_whole(experiment: str, make_run: MakeRun) -> None:
    for _ in range(12):
        make_run(40, NOW)
    trained: list[str] = []
    over = threading.Event()

    def train() -> None:
        while not over.is_set() and len(trained) < 200:
            trained.append(make_run(0, int(time.time() * 1000)))

    training = threading.Thread(target=train)
    training.start()
    try:
        assert clean_up(policy("hard_delete")).done == 12
    finally:
        over.set()
        training.join()
    assert runs_left(experiment) == set(trained)
    for run in trained:
        found = client().get_run(run)
        assert (found.info.status, found.data.params, len(found.inputs.dataset_inputs)) == (
            "FINISHED",
            {"depth": "3"},
            1,
        )
        assert len(client().get_metric_history(run, "rmse")) == 3
