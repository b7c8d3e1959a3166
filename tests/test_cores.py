"""How many threads a computation uses: by the cores that are this process's and idle, and by the size of the table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from onerun.processes import cores

ROOT = Path(__file__).parents[1]
LARGE = 20_000_000  # cells


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Eight cores, all of them idle, no quota. Return the folder of its cgroup."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cores, "CGROUP", tmp_path)
    monkeypatch.setattr(cores, "_running", lambda: 1)
    return tmp_path


@pytest.mark.parametrize(
    ("cells", "threads"), [(0, 1), (165_120, 1), (1_999_999, 1), (3_000_000, 3), (LARGE, 8)]
)
def test_a_small_table_takes_one_thread(machine: Path, cells: int, threads: int) -> None:
    assert cores.thread_count(cells) == threads


@pytest.mark.parametrize(("running", "threads"), [(1, 8), (2, 7), (8, 1), (40, 1)])
def test_cores_that_others_use_are_left_to_them(
    machine: Path, monkeypatch: pytest.MonkeyPatch, running: int, threads: int
) -> None:
    monkeypatch.setattr(cores, "_running", lambda: running)
    assert cores.thread_count(LARGE) == threads


def test_the_quota_of_a_container_counts_in_both_versions_of_cgroups(machine: Path) -> None:
    (machine / "cpu.max").write_text("max 100000\n")
    assert cores.thread_count(LARGE) == 8
    (machine / "cpu.max").write_text("250000 100000\n")
    assert cores.thread_count(LARGE) == 2
    (machine / "cpu.max").write_text("50000 100000\n")
    assert cores.thread_count(LARGE) == 1
    (machine / "cpu.max").unlink()
    (machine / "cpu").mkdir()
    (machine / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (machine / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores.thread_count(LARGE) == 3
    (machine / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.thread_count(LARGE) == 8


def test_what_a_person_says_wins(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert cores.thread_count(10) == 5


THREADS = """
import os
import numpy, lightgbm
from onerun.processes.cores import threads_for
def count():
    return len(os.listdir("/proc/self/task"))
x = numpy.random.default_rng(0).normal(size=(5000, 8))
before = count()
with threads_for(x.size):
    model = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, x.sum(1), params={"verbose": -1}), 5)
    model.predict(x[:1])
small = count() - before
lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, x.sum(1), params={"verbose": -1}), 5)
print(small, count() - before)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has no second thread")
def test_lightgbm_starts_no_second_thread_for_a_small_table() -> None:
    environment = {name: value for name, value in os.environ.items() if "OMP" not in name}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env={**environment, "PYTHONPATH": str(ROOT)}, check=True,
        text=True, capture_output=True,
    )  # fmt: skip
    small, unlimited = map(int, done.stdout.split())
    assert small == 0
    assert unlimited > 0, "the check itself sees threads"
