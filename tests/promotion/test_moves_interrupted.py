"""A mover that is killed, and movers on several machines."""

import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from onerun.tracking import moves
from onerun.tracking.registry import ledger, make_version, move_alias, version_of_alias
from onerun.tracking.runs import client

KILLED_BEFORE = """
import os, signal, sys
from onerun.tracking import registry
from onerun.tracking.runs import client
def killed(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
{step} = killed
registry.move_alias({model!r}, "champion", "2", "1", "killed")
"""
INSIST = """
import sys
from onerun.domain.errors import AliasMoved
from onerun.tracking.registry import move_alias, version_of_alias
model, version = sys.argv[1:]
while True:
    try:
        move_alias(model, "champion", version, version_of_alias(model, "champion"), "race")
        break
    except AliasMoved:
        pass
"""


@pytest.fixture
def model(run_id: str) -> str:
    """Returns: a model with versions 1 (champion) to 4."""
    name = f"model {uuid4().hex[:8]}"
    experiment = client().get_run(run_id).info.experiment_id
    for _ in range(4):
        run = client().create_run(experiment).info.run_id
        make_version(
            name,
            client().create_logged_model(experiment, name="m", source_run_id=run).model_id,
            run,
        )
    move_alias(name, "champion", "1", None, "first")
    return name


def killed_before(step: str, model: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BEFORE.format(step=step, model=model)], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL


ROOT = Path(__file__).parents[2]


def test_p2_killed_between_announcing_and_moving(model: str) -> None:
    killed_before("type(client()).set_registered_model_alias", model)
    assert version_of_alias(model, "champion") == "1"
    assert [move.state for move in moves.entries(model).values()] == ["done", "announced"]
    move_alias(model, "champion", "3", "1", "next")
    assert [(move.from_version, move.to_version) for move in ledger(model)] == [
        (None, "1"),
        ("1", "3"),
    ]
    assert len(moves.entries(model)) == 2


def test_p2_killed_between_moving_and_recording(model: str) -> None:
    killed_before("registry.record", model)
    assert version_of_alias(model, "champion") == "2"
    assert move_alias(model, "champion", "2", "1", "killed") is None
    assert [(move.from_version, move.to_version) for move in ledger(model)] == [
        (None, "1"),
        ("1", "2"),
    ]
    assert client().get_model_version(model, "2").tags["onerun.previous.champion"] == "1"
    assert client().get_model_version(model, "1").tags["onerun.replaced_by.champion"] == "2"


def test_machines_that_share_no_lock_lose_no_move(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process has its own temporary folder and so its own lock, as pods on different machines have."""
    processes = []
    for version in ("2", "3", "4"):
        machine = tmp_path / version
        machine.mkdir()
        monkeypatch.setenv("TMPDIR", str(machine))
        processes.append(subprocess.Popen([sys.executable, "-c", INSIST, model, version], cwd=ROOT))
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    done = ledger(model, "champion")
    assert sorted(move.to_version for move in done) == ["1", "2", "3", "4"]
    assert [move.from_version for move in done][1:] == [move.to_version for move in done][:-1]
    assert version_of_alias(model, "champion") == done[-1].to_version
