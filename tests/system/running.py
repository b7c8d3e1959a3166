"""A whole stack for a test: real processes on free ports, started and ended by the command that people use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.servers import asked, free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0  # seconds; the machine may be busy


def until(reached: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Returns: the first true answer. Raises: AssertionError when there is none."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if answer := reached():
            return answer
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen within {patience:.0f} s")


@dataclass(frozen=True)
class RunningStack:
    """The stack of one folder."""

    folder: Path
    environment: Mapping[str, str]

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `python -m deployments.stack ...`."""
        line = [sys.executable, "-m", "deployments.stack", *arguments]
        return subprocess.run(
            line,
            cwd=self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=700,
        )

    @contextmanager
    def worker(
        self, name: str, *arguments: str, **more: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """One more worker, as on another machine: a working folder and a scratch folder of its own.

        Prefect 3.8's worker now and then does not hear the SIGTERM that comes just as a flow run ends: what `make down`
        does then is done here, too.
        """
        folder = self.folder / name
        folder.mkdir()
        log = (folder / "worker.log").open("ab")
        variables = {**self.environment, "ONERUN_WORK": str(folder / "scratch"), **more}
        line = [
            sys.executable,
            "-m",
            "deployments.worker",
            "--name",
            name,
            "--limit",
            "2",
            *arguments,
        ]
        started = subprocess.Popen(
            line, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()

    @property
    def api(self) -> str:
        """Prefect's."""
        return self.environment["PREFECT_API_URL"]

    @property
    def mlflow(self) -> MlflowClient:
        """A client of the stack's server."""
        return MlflowClient(self.environment["MLFLOW_TRACKING_URI"])

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """Returns: what Prefect's API answers."""
        answer = asked(method, f"{self.api}{path}", **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, deployment: str, **parameters: Any) -> UUID:
        """Returns: a new flow run of a deployment, as its page in the UI makes one."""
        found = self.ask("GET", f"/deployments/name/{deployment}")
        body = {"parameters": found["parameters"] | parameters, "state": {"type": "SCHEDULED"}}
        return UUID(
            self.ask("POST", f"/deployments/{found['id']}/create_flow_run", json=body)["id"]
        )

    def state(self, flow_run: UUID) -> Any:
        """Returns: the flow run's state."""
        return self.ask("GET", f"/flow_runs/{flow_run}")["state"]

    def ended(self, flow_run: UUID, patience: float = PATIENCE) -> Any:
        """Returns: the state that it ended in."""
        return until(lambda: final(self.state(flow_run)), f"the end of {flow_run}", patience)

    def retry(self, flow_run: UUID) -> None:
        """What the button of that name in the UI does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        self.ask("POST", f"/flow_runs/{flow_run}/set_state", json={"state": state, "force": True})

    def runs(self, flow_run: UUID | None = None) -> list[Run]:
        """Returns: the MLflow runs (of one flow run)."""
        client = self.mlflow
        asked = f"tags.`onerun.flow_run_id` = '{flow_run}'" if flow_run else ""
        return list(
            client.search_runs([each.experiment_id for each in client.search_experiments()], asked)
        )


def final(state: Any) -> Any:
    """Returns: the state when the flow run has ended in it, else None."""
    return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None


@contextmanager
def running(folder: Path, **more: str) -> Iterator[RunningStack]:
    """Yields: the stack, up; it is down afterwards."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "ONERUN_WORK": str(folder / "work"),
        **more,
    }
    stack = RunningStack(folder, environment)
    try:
        done = stack.command("up")
        assert done.returncode == 0, done.stderr
        yield stack
    finally:
        stack.command("down")
