"""How many threads a computation should use: by the cores that this process may use and that are
idle, and by the size of the work.

OpenMP's threads spin while they wait for each other. One that has to share its core makes all
others wait: on a busy machine two threads are slower than one and use several times its CPU time
(docs/performance.md has the figures).
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CELLS_PER_THREAD = 1_000_000  # of a table; a smaller share is not worth a thread
LOOKS, PAUSE = 3, 0.005  # how often, and seconds between: what runs at one moment may be luck
CGROUP = Path("/sys/fs/cgroup")


def thread_count(cells: int) -> int:
    """Return how many threads to use for a table of `cells` values (rows x columns): at least 1.

    The environment's OMP_NUM_THREADS, where a person set it, is obeyed.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if stated.isdecimal() and int(stated) > 0:
        return int(stated)
    by_size = cells // CELLS_PER_THREAD
    most = usable_cores()
    if by_size <= 1 or most <= 1:
        return 1
    return max(1, min(most, by_size, idle_cores()))


def usable_cores() -> int:
    """Return the cores that this process may use: by its affinity and the quota of its cgroup."""
    cores = float(os.cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return max(1, int(min(cores, _quota())))


def idle_cores() -> int:
    """Return how many cores only this process uses now; all of them where that is not known."""
    machine = os.cpu_count() or 1
    try:
        busy = min(_running() for _ in range(LOOKS))
    except (OSError, ValueError, StopIteration):  # no /proc: another system
        return machine
    return machine - max(0, busy - 1)  # this process is one of those that run


def _running() -> int:
    """Return how many threads of the whole machine run or could run at this moment."""
    time.sleep(PAUSE)
    lines = Path("/proc/stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("procs_running "))


def _quota() -> float:
    """Return the cores that the cgroup (version 2, then 1) allows; infinity without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return float(quota) / float(period) if quota != "max" else float("inf")
    except (OSError, ValueError):
        pass
    try:
        quota = (CGROUP / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (CGROUP / "cpu" / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if int(quota) > 0 else float("inf")
    except (OSError, ValueError):
        return float("inf")


@contextmanager
def threads_for(cells: int) -> Iterator[int]:
    """Limit the OpenMP threads of the loaded libraries to `thread_count` within the block.

    A parameter of the estimator's own (`n_jobs`, `num_threads`) wins: the libraries obey that
    first.
    """
    from threadpoolctl import threadpool_limits

    count = thread_count(cells)
    with threadpool_limits(limits=count, user_api="openmp"):
        yield count
