"""The environment of a training program: it finds the run there, and its Python attaches to it (sitecustomize.py)."""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from onerun.config.budget import of_our_processes, of_programs
from onerun.retry import budget


def environment(run_id: str, experiment_id: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment (addresses and credentials included), the run, and what is `given`.

    `python` is the one that runs this, whether or not its environment was activated.
    """
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    programs = os.pathsep.join(
        filter(None, [str(Path(sys.executable).parent), os.environ.get("PATH")])
    )
    inherited = {
        name: value for name, value in os.environ.items() if name != "MLFLOW_EXPERIMENT_NAME"
    }
    run = {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": experiment_id, "ONERUN_RUN_ID": run_id}
    run["ONERUN_MLFLOW_VERSION"] = version("mlflow")
    waits = _patience()
    return {
        **inherited,
        **waits,
        **run,
        **given,
        "PATH": programs,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
    }


def _patience() -> dict[str, str]:
    """How the program's own MLflow and boto wait, where the user has not said it."""
    ours, theirs = of_our_processes(budget()), of_programs(budget())
    return {
        name: value
        for name, value in theirs.items()
        if os.environ.get(name) in (None, ours.get(name))
    }
