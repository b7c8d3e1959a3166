"""Runs one command and measures its whole process tree, children that outlive it included.

    python -m benchmarks.meter RESULT.json COMMAND ...

It becomes the subreaper of everything below it (Linux), so that an orphan's CPU time is counted as well: what is waited
for adds to RUSAGE_CHILDREN. Memory is the sum of PSS, which counts a shared page once.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SHORTEST_PAUSE = 0.03  # seconds between two looks at memory
SHARE = 0.03  # of one core that looking may take
LONGEST_LINGERING = 30.0  # seconds


def main(result: str, *command: str) -> int:
    """Returns: the command's exit code; its measures are in the file `result`."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot become a subreaper")
    peak = Peak()
    started = time.perf_counter()
    code = subprocess.Popen(command).wait()
    wall = time.perf_counter() - started
    lingering = _reap()
    peak.stop()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    measures = {
        "code": code,
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": peak.bytes,
    }
    Path(result).write_text(json.dumps(measures | {"lingering": lingering}))
    return code


class Peak:
    """Looks at the tree's memory again and again, in a thread of its own."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        pause = 0.0
        while not self._over.wait(pause):
            started = time.thread_time()
            self.bytes = max(self.bytes, sum(_pss(pid) for pid in descendants(os.getpid())))
            pause = max(SHORTEST_PAUSE, (time.thread_time() - started) / SHARE)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()


def descendants(pid: int) -> Iterator[int]:
    """Yields: all processes below `pid`, in every thread's name."""
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = [int(child) for child in children.read_text().split()]
        except OSError:  # ended meanwhile
            continue
        for child in found:
            yield child
            yield from descendants(child)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # ended meanwhile
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _reap() -> float:
    """Wait for orphans. Returns: how long, in seconds."""
    started = time.perf_counter()
    while time.perf_counter() - started < LONGEST_LINGERING:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            break
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
