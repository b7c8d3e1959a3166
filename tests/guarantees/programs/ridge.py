"""A training program that does well, unless MISBEHAVE says how not to."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HOW, RUN, STORE = (
    os.environ.get("MISBEHAVE", ""),
    os.environ["ONERUN_RUN_ID"],
    os.environ["MLFLOW_TRACKING_URI"],
)
if HOW.startswith("has another MLflow"):  # as in an environment of the program's own
    sys.path.insert(0, str(Path(__file__).parent / "another_mlflow"))
    import another

    another.become(refusing=HOW.endswith("refuses"))

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402

SLEEPS = "import time; time.sleep(300)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


def child(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", code])


def struck(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(60)


def child_struck(name: str) -> None:
    grown = child(SLEEPS)
    grown.send_signal(getattr(signal, name))
    sys.exit(f"the child ended with {grown.wait()}")


def hangs() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child(SLEEPS)
    time.sleep(300)


def asks_for_more_memory_than_it_may() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, resource.RLIM_INFINITY))
    bytearray(8 * 2**30)


def eats_memory() -> None:
    """Within the control group whose process list CGROUP_PROCS names."""
    with open(os.environ["CGROUP_PROCS"], "w") as processes:  # noqa: PTH123
        processes.write(str(os.getpid()))
    eaten = [os.urandom(2**20) for _ in range(4000)]
    sys.exit(f"ate {len(eaten)} MB and lives")


def floods() -> None:
    for _ in range(300):  # megabytes
        sys.stdout.buffer.write(b"x" * 199 + b"\n" + b"y" * 1_000_000)


def ends_the_run() -> None:
    mlflow.end_run()
    mlflow.MlflowClient().set_terminated(RUN, "FAILED")


def ends_the_run_past_mlflow() -> None:
    with sqlite3.connect(STORE.removeprefix("sqlite:///"), timeout=60) as database:
        database.execute(
            "update runs set status = 'FINISHED', end_time = 1 where run_uuid = ?", [RUN]
        )


def starts_a_run_of_its_own() -> None:
    with mlflow.start_run(run_name="mine") as run:
        assert run.info.run_id == RUN


def starts_a_nested_run() -> None:
    with mlflow.start_run(nested=True):
        mlflow.log_metric("nested", 1)


def dies_in_a_nested_run() -> None:
    mlflow.start_run(nested=True)
    struck("SIGKILL")


def logs_in_conflict() -> None:
    mlflow.log_param("split.seed", 999)
    mlflow.log_params({"from_the_program": "2"})
    mlflow.MlflowClient().log_param(RUN, "name", "another")


BEFORE: dict[str, Callable[[], object]] = {
    **{name: lambda name=name: struck(name) for name in ("SIGKILL", "SIGTERM", "SIGINT")},
    **{
        f"child {name}": lambda name=name: child_struck(name)
        for name in ("SIGKILL", "SIGTERM", "SIGINT")
    },
    "leaves a child": lambda: child(DEAF),
    "exits 3": lambda: sys.exit(3),
    "exits 0": lambda: sys.exit(0),
    "hangs": hangs,
    "MemoryError": asks_for_more_memory_than_it_may,
    "out of memory": eats_memory,
    "floods": floods,
    "starts a run of its own": starts_a_run_of_its_own,
}
WITHIN: dict[str, Callable[[], object]] = {
    "ends the run": ends_the_run,
    "ends the run past MLflow": ends_the_run_past_mlflow,
    "starts a nested run": starts_a_nested_run,
    "dies in a nested run": dies_in_a_nested_run,
    "logs in conflict": logs_in_conflict,
}
assert HOW in {"", *BEFORE, *WITHIN} or HOW.startswith("has another MLflow")

BEFORE.get(HOW, lambda: None)()
mlflow.log_param("from_the_program", "1")
table = pd.read_parquet(os.environ["ONERUN_TRAIN_DATA"])
target = os.environ["ONERUN_TARGET"]
model = Ridge().fit(table.drop(columns=target), table[target])
WITHIN.get(HOW, lambda: None)()
mlflow.sklearn.save_model(model, os.environ["ONERUN_MODEL_DIR"], pip_requirements=[])
