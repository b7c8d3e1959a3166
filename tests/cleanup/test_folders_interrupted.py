"""A clean-up of folders that is killed anywhere loses nothing; the next one finishes it; two at once do not meet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from onerun.cleanup.maintenance import carry_out, planned
from onerun.commands.maintain import COMMAND
from onerun.config.loading import load_policy
from onerun.domain.archives import HEADER, MANIFEST
from onerun.store.protocol import open_store
from tests.cleanup.conftest import DYING
from tests.cleanup.file_stores import (
    POLICY,
    digests,
    logged_model,
    make_experiment,
    run_of,
    unreadable,
)

main = COMMAND.main

ROOT = Path(__file__).parents[2]
CLEAN_UP = """
import shutil
from onerun.cleanup import execution
from onerun.store.files import trash
from onerun.store.files.store import FileStore
from tests.cleanup.test_folders_interrupted import clean_up

def half(root):
    shutil.rmtree(sorted((root / trash.GOING).iterdir())[0])
    for path in sorted((root / trash.GOING).iterdir())[0].rglob("*"):
        if path.is_file():
            path.unlink()
    die()

{patch}
clean_up()
"""
POINTS = {
    "before the archive": "execution.write_archive = die",
    "after the archive": "execution.write_archive = then_die(execution.write_archive)",
    "a run moved, its models not": "trash.move_out = then_die(trash.move_out)",
    "a run and its models moved": "trash.move_run_out = then_die(trash.move_run_out)",
    "all runs moved": "trash.empty = die",
    "half of them removed": "trash.empty = half",
    "runs removed": "trash.empty = then_die(trash.empty)",
    "a damaged experiment moved": "FileStore._delete_experiment = then_die(FileStore._delete_experiment)",
}
OFTEN = "a run moved, its models not"


def clean_up() -> None:
    """In a folder that holds `mlruns`."""
    with planned(load_policy(POLICY), frozenset(), "mlruns") as what:
        carry_out(what, yes_really=False)


def killed(point: str, folder: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    script = DYING + CLEAN_UP.format(patch=POINTS[point])
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=environment, check=False, timeout=200
    )
    assert done.returncode == -signal.SIGKILL


def filled(root: Path) -> None:
    """Two runs that go, with two models each; one that stays, with one; a damaged experiment."""
    make_experiment(root, 1, {1: 60, 2: 60, 3: 3})
    for number, run in enumerate((1, 1, 2, 2, 3)):
        logged_model(root / "1", f"{run:032x}", number)
    unreadable(root, 4, 1)


def files(root: Path) -> dict[str, bytes]:
    return {
        name: content for name, content in digests(root).items() if not name.startswith(".onerun")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [point if point == OFTEN else pytest.param(point, marks=pytest.mark.long) for point in POINTS],
)
def test_the_next_one_finishes_what_a_killed_one_began(
    point: str, root: Path, tmp_path: Path
) -> None:
    filled(root)
    before = files(root)
    killed(point, tmp_path)
    there = files(root)
    assert there.items() <= before.items()
    for number in (1, 2, 3):  # a run that is still there is whole, and so are its models
        own = {name for name in before if name.startswith(f"1/{number:032x}/")}
        assert not run_of(root, 1, number).exists() or own <= there.keys()
    for number, owner in enumerate((1, 1, 2, 2, 3)):
        assert (root / "1" / "models" / f"m-{number:032x}").exists() or not run_of(
            root, 1, owner
        ).exists()

    clean_up()
    after = files(root)
    assert {name for name in after if "/models/" in name} == {
        f"1/models/m-{4:032x}/artifacts/MLmodel", f"1/models/m-{4:032x}/meta.yaml"
    }  # fmt: skip
    assert {path.name for path in (root / "1").iterdir()} == {"meta.yaml", "models", f"{3:032x}"}
    assert not (root / "4").exists()
    assert not (root / ".onerun-going").exists()

    archives = sorted((tmp_path / ".onerun" / "backups").glob("*.tar.gz"))
    for archive in archives:
        subprocess.run(["tar", "xzf", archive], cwd=root, check=True)
    restored = files(root)
    for name in (HEADER, MANIFEST):
        restored.pop(name)
    assert restored == before


@pytest.mark.slow
def test_what_was_brought_back_after_a_kill_is_not_finished(root: Path, tmp_path: Path) -> None:
    filled(root)
    before = files(root)
    killed(OFTEN, tmp_path)
    (archive,) = (tmp_path / ".onerun" / "backups").glob("*.tar.gz")
    subprocess.run(["tar", "xzf", archive], cwd=root, check=True)
    with open_store(str(root)).exclusive_lock():
        assert not (root / ".onerun-going").exists()
    restored = files(root)
    for name in (HEADER, MANIFEST):
        restored.pop(name)
    assert restored == before


def test_two_at_once_do_not_meet(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(root)
    before = files(root)
    with open_store(str(root)).exclusive_lock():
        assert main(["--policy", POLICY, "--store", str(root), "--apply"]) == 1
    assert "another clean-up" in capsys.readouterr().err
    assert files(root) == before
    assert main(["--policy", POLICY, "--store", str(root), "--apply"]) == 0
    assert not run_of(root, 1, 1).exists()
