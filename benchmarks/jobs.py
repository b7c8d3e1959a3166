"""The jobs to measure, and how each side is started: its command, its folder, its environment."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import table_of

HERE = Path(__file__).parent
ROOT = HERE.parent
CALIFORNIA = ROOT / ".." / "shared" / "data" / "california-housing.csv"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True)
class Job:
    """A recipe, its table, who runs it, and how many times its floor it may take: wall and CPU, memory."""

    name: str
    rows: int  # of a made table; 0: the California housing table
    sides: tuple[str, ...]
    limits: dict[str, dict[str, float]]  # side -> measure or "bare" -> highest ratio (or bytes)

    def source(self, work: Path) -> Path:
        """Returns: the table, made when it is not there. Raises: FileNotFoundError."""
        self.need_table()
        if self.rows:
            return table_of(self.rows, work / "tables").resolve(strict=True)
        return CALIFORNIA.resolve()

    def need_table(self) -> None:
        """Raise FileNotFoundError where the table is one that cannot be made, and is missing."""
        if not self.rows and not CALIFORNIA.exists():
            raise FileNotFoundError(
                f"the California housing table is missing: {CALIFORNIA.resolve()}. It is the 1990 census table "
                "of 20,640 districts (longitude, latitude, ..., median_house_value, ocean_proximity) as a CSV, which many "
                "data portals offer; put it there, or measure made tables alone: --jobs million"
            )


SMALL = {
    "product, server up": {"floor": 1.25, "bare": 0.85, "peak": 1.3},
    "product, no server": {"floor": 1.8, "bare": 1.2, "peak": 1.3},
    "product, without Prefect": {"floor": 0.6, "peak": 1.3},
}
ALL = ("product, server up", "product, no server", "product, without Prefect", "floor", "bare")
JOBS = {
    job.name: job
    for job in (
        Job("california", 0, ALL, SMALL),
        Job("california-plain", 0, ALL, SMALL),
        Job(
            "million",
            1_000_000,
            (
                "product, server up",
                "product, no server",
                "floor",
            ),  # pyfunc refuses bare's categories as a champion
            {
                "product, server up": {"floor": 1.05, "peak": 1.0},
                "product, no server": {"floor": 1.15, "peak": 1.0},
            },
        ),
        Job(
            "ten-million",
            10_000_000,
            ("product, server up", "floor"),
            {"product, server up": {"floor": 1.05, "peak bytes": 4e9}},
        ),
    )
}


def run(job: Job, side: str, work: Path, prefect_url: str) -> dict[str, Any]:
    """Run one side once. Returns: wall, cpu, peak, and what it printed. Raises: RuntimeError with its last words."""
    folder = work / job.name / side.replace(", ", "-").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    result = folder.with_suffix(".json")
    command = [
        sys.executable,
        "-m",
        "benchmarks.meter",
        str(result),
        sys.executable,
        *_arguments(job, side, work),
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder, side, work, prefect_url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"{job.name}, {side}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )
    measures: dict[str, Any] = json.loads(result.read_text())
    return measures | {"printed": json.loads(done.stdout.strip().splitlines()[-1])}


def _arguments(job: Job, side: str, work: Path) -> list[str]:
    recipe, source = str(HERE / "recipes" / f"{job.name}.yaml"), str(job.source(work))
    if side == "product, without Prefect":
        return ["-m", "onerun", "train", recipe, "--data", source, "--json"]
    if side.startswith("product"):
        return ["-m", "flows.train", "--recipe", recipe, "--data", source, "--json"]
    return [str(HERE / f"{side}.py"), recipe, source, "work"]


def _environment(folder: Path, side: str, work: Path, prefect_url: str) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "PREFECT_", "ONERUN_"))
    }
    return {
        **kept,
        **QUIET,
        "PYTHONPATH": str(ROOT),
        "PREFECT_HOME": str(work / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        **({"PREFECT_API_URL": prefect_url} if side.endswith("server up") else {}),
    }


def keep_prepared(job: Job, work: Path) -> None:
    """After the warm-up: what every later run starts from, a store with a champion and no snapshot."""
    for folder in _folders(job, work):
        for scratch in (folder / ".onerun", folder / "work"):
            shutil.rmtree(scratch, ignore_errors=True)
        shutil.rmtree(folder.with_suffix(".prepared"), ignore_errors=True)
        shutil.copytree(folder, folder.with_suffix(".prepared"), symlinks=True)


def restore_prepared(job: Job, work: Path) -> None:
    """Before every run, at the same place: MLflow's artifact addresses are absolute."""
    for folder in _folders(job, work):
        shutil.rmtree(folder)
        shutil.copytree(folder.with_suffix(".prepared"), folder, symlinks=True)


def _folders(job: Job, work: Path) -> list[Path]:
    return [
        path for path in (work / job.name).iterdir() if path.is_dir() and path.suffix != ".prepared"
    ]
