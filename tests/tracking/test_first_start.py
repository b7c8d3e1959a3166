"""MLflow's database when a training is the first one: many at once, and killed while it is made."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPEN = "from onerun.tracking.runs import client; print(len(client().search_experiments()))"


def opening(folder: Path) -> "subprocess.Popen[str]":
    """A process that uses the folder's store, which may not be there yet."""
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-c", OPEN], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_first_trainings_at_once_share_one_whole_store(tmp_path: Path) -> None:
    processes = [opening(tmp_path) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == ["1\n"] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_threads_of_one_process_share_one_whole_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.tracking.runs import client

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: len(client().search_experiments()), range(3))) == [1, 1, 1]


@pytest.mark.slow
def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # SQLite's journal comes and goes
        return 0


def test_a_first_training_that_is_killed_leaves_no_half_store(tmp_path: Path) -> None:
    first = opening(tmp_path)
    deadline = time.monotonic() + 60
    while not any(map(size, tmp_path.iterdir())):
        assert first.poll() is None and time.monotonic() < deadline, "the store was never begun"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (tmp_path / "mlflow.db").exists()
    assert opening(tmp_path).communicate()[0] == "1\n"
