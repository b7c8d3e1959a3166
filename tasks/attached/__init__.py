"""The environment of a training program: it finds the run there, and its Python attaches to it (sitecustomize.py)."""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path


def environment(run_id: str, experiment_id: str, given: Mapping[str, str]) -> dict[str, str]:
    """Returns: this process's environment (addresses and credentials included), the run, and what is `given`.

    `python` is the one that runs this, whether or not its environment was activated.
    """
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    programs = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), os.environ.get("PATH")]))
    inherited = {name: value for name, value in os.environ.items() if name != "MLFLOW_EXPERIMENT_NAME"}
    run = {"MLFLOW_RUN_ID": run_id, "MLFLOW_EXPERIMENT_ID": experiment_id, "ONERUN_RUN_ID": run_id}
    run["ONERUN_MLFLOW_VERSION"] = version("mlflow")
    return {**inherited, **run, **given, "PATH": programs, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
