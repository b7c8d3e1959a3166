"""The environment of a training program: it finds the run there, and its Python attaches to it
(sitecustomize.py).
"""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from onerun.config.budget import of_our_processes, of_programs
from onerun.retry import budget


def environment(run_id: str, experiment_id: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment (addresses and credentials included), the run, and what is
    `given`.

    `python` in PATH is the one that runs this, whether or not its environment was activated.
    """
    path = _prepended(str(Path(__file__).parent), "PYTHONPATH")
    programs = _prepended(str(Path(sys.executable).parent), "PATH")
    inherited = dict(os.environ)
    inherited.pop("MLFLOW_EXPERIMENT_NAME", None)
    run = {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": experiment_id, "ONERUN_RUN_ID": run_id}
    run["ONERUN_MLFLOW_VERSION"] = version("mlflow")
    paths = {"PATH": programs, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return inherited | _retry_settings() | run | dict(given) | paths


def _prepended(folder: str, variable: str) -> str:
    present = os.environ.get(variable)
    return f"{folder}{os.pathsep}{present}" if present else folder


def _retry_settings() -> dict[str, str]:
    """Return how long the program's own MLflow and boto retry, where the user has not set it."""
    ours, settings = of_our_processes(budget()), of_programs(budget())
    for name in list(settings):
        if os.environ.get(name) not in (None, ours.get(name)):
            del settings[name]
    return settings
