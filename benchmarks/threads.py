"""How many threads LightGBM should use: `python -m benchmarks.threads [--busy N]`.

Fits 200 trees on a small table (20,640 x 8) and a large one (1,000,000 x 20), with one thread, with two, and with as many as
`onerun.processes.cores` says, in turn; beside N processes that keep a core busy each. Medians of wall and CPU seconds.
"""

import argparse
import multiprocessing
import os
import statistics
import time

import lightgbm
import numpy as np

from onerun.processes.cores import thread_count

TABLES = {"20,640 x 8": (20_640, 8, 200), "1,000,000 x 20": (1_000_000, 20, 30)}
SETTINGS = ("one", "two", "rule")


def spin() -> None:
    """Keep one core busy for ever."""
    while True:
        sum(range(10_000))


def fit(x: np.ndarray, y: np.ndarray, trees: int, threads: int) -> tuple[float, float]:
    """Return wall and CPU seconds of one fit."""
    data = lightgbm.Dataset(x, y, params={"num_threads": threads, "verbose": -1})
    parameters = {"objective": "regression", "num_threads": threads, "verbose": -1}
    wall, cpu = time.perf_counter(), time.process_time()
    lightgbm.train(parameters, data, num_boost_round=trees)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", type=int, default=0, help="processes that keep a core busy")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(asked.busy)]
    for process in others:
        process.start()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {asked.busy} busy processes")
    random = np.random.default_rng(0)
    for name, (rows, columns, trees) in TABLES.items():
        x = random.normal(size=(rows, columns))
        y = x @ random.normal(size=columns) + random.normal(size=rows)
        found: dict[str, list[tuple[float, float]]] = {setting: [] for setting in SETTINGS}
        chosen = []
        for _ in range(asked.rounds):
            for setting in SETTINGS:
                threads = {"one": 1, "two": 2}.get(setting) or thread_count(rows * columns)
                if setting == "rule":
                    chosen.append(threads)
                found[setting].append(fit(x, y, trees, threads))
        for setting, times in found.items():
            wall, cpu = (statistics.median(each[i] for each in times) for i in (0, 1))
            print(f"{name:<16} {setting:<5} wall {wall:6.2f} s  CPU {cpu:6.2f} s")
        print(f"{name:<16} the rule chose {chosen}")
    for process in others:
        process.terminate()


if __name__ == "__main__":
    main()
