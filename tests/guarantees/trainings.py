"""Trainings as a worker starts them: real processes, each with a store and a folder of its own, and secrets to lose."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.processes import alive

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).parent / "planted"
PATIENCE = 600.0  # seconds; a busy machine is no broken promise

RECIPE = """\
name: diabetes
data: {source: "sklearn:diabetes", target: target}
model: {estimator: sklearn.linear_model.Ridge}
evaluate: {explain: {rows: 20}}
gates: [{metric: r2, min: 0.1}]
register: {aliases: [newest], description: "of the guarantees", tags: {team: tests}}
"""
SECRET = "pl4nted-s3cret"  # in all of the values below
SECRETS = {
    "AWS_ACCESS_KEY_ID": f"key-{SECRET}",
    "AWS_SECRET_ACCESS_KEY": f"s3-{SECRET}",
    "AWS_SESSION_TOKEN": f"session-{SECRET}",
    "MLFLOW_TRACKING_USERNAME": "me",
    "MLFLOW_TRACKING_PASSWORD": f"mlflow-{SECRET}",
    "PREFECT_API_AUTH_STRING": f"me:prefect-{SECRET}",
}


def hears_signals() -> None:
    """Runs in the child: a shell's background job, such as this test run may be, has its children ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Training:
    """One flow run of the deployed training, and the folder and store that it works with."""

    pool: str | None = None  # of workers

    def __init__(self, folder: Path, recipe: str = RECIPE, tracking_uri: str | None = None) -> None:
        """`tracking_uri`: of a server; by default the folder's own SQLite store."""
        self.folder, self.recipe = folder, recipe
        self.tracking_uri = tracking_uri or f"sqlite:///{folder}/mlflow.db"
        self.flow_run_id = self._deployed()
        self._started = 0

    def again(self) -> "Training":
        """Returns: another flow run with the same recipe, folder and store."""
        return Training(self.folder, self.recipe, self.tracking_uri)

    def _deployed(self) -> UUID:
        """Returns: a flow run of a deployment by module entrypoint, as `prefect deploy` makes one."""
        from prefect.client.orchestration import get_client

        from flows.train import train

        with get_client(sync_client=True) as client:
            deployment = client.create_deployment(
                client.create_flow(train), name=self.folder.name, entrypoint="flows.train.train",
                pull_steps=self._pull_steps(), work_pool_name=self.pool,
            )  # fmt: skip
            return client.create_flow_run_from_deployment(
                deployment, parameters={"recipe": self.recipe}
            ).id

    def _pull_steps(self) -> list[dict[str, Any]]:
        """Without them a worker and a pod copy the folder and train in the copy."""
        return [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(self.folder)}}
        ]

    def environment(self, planted: str = "", **more: str) -> dict[str, str]:
        """What a process worker gives it; `planted`: see planted/sitecustomize.py."""
        path = os.pathsep.join([str(ROOT), str(PLANTED)] if planted else [str(ROOT)])
        given = {
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "PREFECT__FLOW_RUN_ID": str(self.flow_run_id),
        }
        faults = {"PLANTED": planted, "PLANTED_STRUCK": str(self.folder / "struck")}
        return {**os.environ, **SECRETS, **given, **faults, "PYTHONPATH": path, **more}

    def struck(self) -> list[float]:
        """Returns: when planted faults struck, seconds since the epoch."""
        path = self.folder / "struck"
        return (
            [float(line.split()[0]) for line in path.read_text().splitlines()]
            if path.exists()
            else []
        )

    def start(self, planted: str = "", **more: str) -> "subprocess.Popen[bytes]":
        """Starts what a process worker starts for a flow run; what it says lands in log-N.txt."""
        self._started += 1
        with (self.folder / f"log-{self.flow_run_id}-{self._started}.txt").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect.engine"], cwd=self.folder, env=self.environment(planted, **more),
                stdout=log, stderr=log, preexec_fn=hears_signals,
            )  # fmt: skip

    def run(self, planted: str = "", **more: str) -> int:
        """Runs it to its end. Returns: the exit code, minus the signal's number when one ended it."""
        return self.start(planted, **more).wait(PATIENCE)

    def go_on(self) -> None:
        """Ends the waiting of a fault that is planted as `wait`."""
        (self.folder / "struck.go").touch()

    def said(self) -> str:
        """Returns: all that its processes said."""
        return "".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("log-*.txt"))
        )

    def state(self) -> str:
        """Returns: the state's type of the flow run as Prefect has it."""
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.flow_run_id).state_type.name  # type: ignore[union-attr]

    def ask_to_retry(self) -> None:
        """What the UI's retry button does; of a process that died without a word the worker says that it crashed."""
        from prefect.client.orchestration import get_client
        from prefect.states import AwaitingRetry, Crashed

        with get_client(sync_client=True) as client:
            if self.state() in ("RUNNING", "PENDING", "SCHEDULED"):
                client.set_flow_run_state(self.flow_run_id, Crashed(), force=True)
            client.set_flow_run_state(self.flow_run_id, AwaitingRetry(), force=True)

    def retry(self, **more: str) -> None:
        """Asks for it and runs it. Raises: AssertionError when it does not end well."""
        self.ask_to_retry()
        code = self.run(**more)
        assert code == 0, self.said()[-4000:]

    def reconcile(self) -> None:
        """Runs the reconciler on the training's store, as its deployment does. Raises: AssertionError."""
        command = [sys.executable, "-m", "flows.reconcile", "--apply"]
        given = {
            name: value
            for name, value in self.environment().items()
            if name != "PREFECT__FLOW_RUN_ID"
        }
        with (self.folder / "log-reconciler.txt").open("ab") as log:
            done = subprocess.run(
                command, cwd=self.folder, env=given, stdout=log, stderr=log, check=False
            )
        assert done.returncode == 0, self.said()[-4000:]


def new_store(template: Path, folder: Path) -> None:
    """Puts an empty MLflow database into `folder`: copying one is quicker than having its tables made."""
    shutil.copy(template, folder / "mlflow.db")


def waited(until: Callable[[], object], seconds: float = PATIENCE) -> bool:
    """Returns: whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if until():
            return True
        time.sleep(0.05)
    return False


def working_in(folder: Path) -> list[int]:
    """Returns: the processes whose working folder is `folder`: what a training left behind."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and entry.joinpath("cwd").resolve() == folder
                and alive(int(entry.name))
            ):
                found.append(int(entry.name))
        except OSError:  # is not there any more, or somebody else's
            continue
    return found
