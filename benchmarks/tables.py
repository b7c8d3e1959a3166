"""Measured figures as Markdown: medians, ratios beside their limits, stage times."""

import datetime
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.jobs import Job

BROKEN = "**too much**"
PEAK = "peak memory"
Results = Mapping[str, Sequence[Mapping[str, Any]]]


def section(job: Job, results: Results) -> str:
    """Returns: one job's table, its ratios and its stages."""
    lines = [
        f"### {job.name}",
        "",
        "| side | wall s | CPU s | peak MB | rmse |",
        "|---|---|---|---|---|",
        *(_row(side, runs) for side, runs in results.items()),
        "",
        *_ratios(job, results),
    ]
    return "\n".join([*lines, "", *_stages(results)])


def _median(runs: Sequence[Mapping[str, Any]], measure: str) -> float:
    return statistics.median(float(run[measure]) for run in runs)


def _row(side: str, runs: Sequence[Mapping[str, Any]]) -> str:
    spread = [
        f"{min(r[m] for r in runs):.1f}-{max(r[m] for r in runs):.1f}" for m in ("wall", "cpu")
    ]
    wall, cpu, peak = (_median(runs, measure) for measure in ("wall", "cpu", "peak"))
    rmse = runs[-1]["printed"]["metrics"]["rmse"]
    return f"| {side} | {wall:.1f} ({spread[0]}) | {cpu:.1f} ({spread[1]}) | {peak / 1e6:.0f} | {rmse:.6g} |"


def _ratios(job: Job, results: Results) -> list[str]:
    """Returns: a table of what was to be reached and what was."""
    rows = []
    for side, limits in job.limits.items():
        for against, limit in limits.items():
            rows += [
                f"| {side} | {what} | {_shown(what, reached)} | {_shown(what, limit)} "
                f"| {'yes' if reached <= limit else BROKEN} |"
                for what, reached in _reached(results, side, against)
            ]
    head = ["| side | measure | reached | at most | held |", "|---|---|---|---|---|"]
    return [*head, *rows] if rows else []


def _shown(what: str, number: float) -> str:
    return f"{number / 1e9:.2f} GB" if what == PEAK else f"{number:.2f}"


def _reached(results: Results, side: str, against: str) -> list[tuple[str, float]]:
    if side not in results:
        return []
    if against == "peak bytes":
        return [(PEAK, _median(results[side], "peak"))]
    if against == "peak":
        against, measures = "floor", ["peak"]
    else:
        measures = ["wall", "cpu"]
    if against not in results:
        return []
    return [
        (f"{m} ÷ {against}", _median(results[side], m) / _median(results[against], m))
        for m in measures
    ]


def _stages(results: Results) -> list[str]:
    """Returns: seconds of each step, as each side itself reports them."""
    lines = []
    for side, runs in results.items():
        reported = [run["printed"].get("seconds", {}) for run in runs]
        medians = {
            step: statistics.median(_wall(one.get(step, 0)) for one in reported)
            for step in reported[0]
        }
        lines.append(
            f"- {side}: " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in medians.items())
        )
    return ["Seconds of wall by step:", "", *lines] if lines else []


def _wall(seconds: Any) -> float:
    return float(seconds[0] if isinstance(seconds, list) else seconds)


def page(sections: Sequence[str], repeats: int) -> str:
    """Returns: docs/performance.md."""
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("prefect", "mlflow", "lightgbm", "pandas", "numpy")
    )
    return "\n".join(
        [
            "# What a training costs",
            "",
            "`make bench` runs the product, `benchmarks/floor.py` (the least that the job needs, in one script) and",
            "`benchmarks/bare.py` (the job as people write it) in turns, each on a store that has a champion and no",
            f"snapshot. Medians of {repeats}, smallest and largest in brackets. CPU and peak memory (PSS) are those of",
            "the whole process tree.",
            "",
            f"Measured {datetime.datetime.now(datetime.UTC):%Y-%m-%d} on {_machine()}; Python",
            f"{platform.python_version()}, {packages}.",
            "",
            "\n\n".join(sections),
            "",
        ]
    )


def _machine() -> str:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in facts if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB"
