"""prefect.yaml as a whole: written to the server, and what other deployments take from it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from onerun.config.mistakes import Mistake, Mistakes

HOME = Path(__file__).parents[1]
FILE = HOME / "prefect.yaml"
ENTRYPOINT = "flows.train.train"
CHECKOUT = "checkout"  # the step whose stdout the pull steps ask for


def deploy_all(report: Callable[[str], None]) -> int:
    """Run `prefect deploy --all`, asking nothing. Return how many deployments were written.

    Raises: Mistakes, with what Prefect wrote.
    """
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    path = os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=HOME, env=environment, capture_output=True, text=True)
    if done.returncode:
        wrote = (done.stderr or done.stdout).strip()[-3000:]
        raise Mistakes([Mistake("prefect.yaml", f"cannot be deployed\n{wrote}")])
    written = done.stdout.count("successfully created")
    report(f"deployed {written} deployments of prefect.yaml")
    return written


def document() -> dict[str, Any]:
    """Read prefect.yaml."""
    import yaml

    read: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return read


def trainings() -> list[str]:
    """Return the names of the deployments of prefect.yaml that train."""
    entries = document()["deployments"]
    return [entry["name"] for entry in entries if entry["entrypoint"] == ENTRYPOINT]


def pull_steps() -> list[dict[str, Any]]:
    """Return what a worker does before it imports a flow, as `prefect deploy` writes it here."""
    from prefect.utilities.templating import apply_values

    found = {CHECKOUT: {"stdout": str(HOME)}}
    steps = apply_values(document()["pull"], found, remove_notset=False)
    return cast("list[dict[str, Any]]", steps)


def version() -> str:
    """Return what `git describe` prints for the checkout, or for the source of its image."""
    command = ["git", "describe", "--always", "--tags", "--dirty"]
    unknown = os.environ.get("ONERUN_COMMIT", "unversioned")
    try:
        done = subprocess.run(command, cwd=HOME, capture_output=True, text=True)
    except FileNotFoundError:  # no git, as in an image
        return unknown
    return done.stdout.strip() or unknown
