"""A small real project in which every command with --json is run, in each way in which it can end cheaply."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from mlflow import MlflowClient

from tests.public import commands, shapes

ROOT = Path(__file__).parents[2]
DAY = 86_400_000  # milliseconds
RECIPE = """\
name: houses
data: {source: houses.csv, target: price, expectations: [{expect_column_values_to_not_be_null: {column: price}}]}
split: {by: random}
model: {estimator: lightgbm.LGBMRegressor, params: {n_estimators: 5}}
evaluate: {slices: [kind]}
gates: [{metric: r2, min: 0.1}, {better_than: champion}]
"""
PROGRAM = """\
name: program
task: regression
data: {source: houses.csv, target: price}
train: {run_in: command, command: [python, program.py]}
"""
LOOKS_AND_FAILS = (
    "import json, os; json.dump(dict(os.environ), open('found.json', 'w')); raise SystemExit(3)"
)
POLICY = "name: ours\nkeep: {last: 0}\nmax_delete: 100%\naction: hard_delete\n"
# Variables that a program may rely on; others are Prefect's.
TOLD = ("ONERUN_", "MLFLOW_", "AWS_", "PYTHON", "PATH")
EXPERIMENTS = {"Default", "houses", "program", "old", "old houses"}
OLD_RUN, OLD_EXPERIMENT = "a" * 32, "7"


class World:
    """A folder, and what each command printed in it: command -> ending -> samples."""

    def __init__(self, folder: Path, prefect: str) -> None:
        self.folder, self.prefect = folder, prefect
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.ended: dict[str, dict[str, list[Any]]] = {}
        self.codes: dict[str, int] = {}
        self.archives: dict[str, Path] = {}
        self.given_to_programs: set[str] = set()

    def live(self) -> None:
        """Run every command, in an order in which each finds what it needs."""
        self._train()
        self._promote()
        self._old()
        self._look()
        self._mistakes()
        self._archive()
        self._clean_up()
        self._rescue()
        self._reconcile()

    @property
    def trained(self) -> dict[str, Any]:
        """Return what the finished training printed."""
        result: dict[str, Any] = self.ended["flows.train"]["completed"][0]
        return result

    def shapes(self) -> dict[str, Any]:
        """Return command -> ending -> path -> type, with the exit code."""
        return {
            command: {
                f"{ending} (exit code {self.codes[f'{command} {ending}']})": shapes.shape(
                    *samples, names=EXPERIMENTS
                )
                for ending, samples in endings.items()
            }
            for command, endings in self.ended.items()
        }

    def _run(self, command: str, *arguments: str, ending: str = "") -> dict[str, Any]:
        """Return what the command printed, recorded as `ending`, or as its status when that is empty."""
        done = commands.run(command, *arguments, "--json")
        return self._record(command, ending, done.code, done.out)

    def _record(self, command: str, ending: str, code: int, out: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(out)
        ending = ending or result["status"]
        self.ended.setdefault(command, {}).setdefault(ending, []).append(result)
        assert self.codes.setdefault(f"{command} {ending}", code) == code, (
            "one ending, one exit code"
        )
        return result

    def _train(self) -> None:
        rows = [
            f"{20 + i % 180},{('flat', 'house')[i % 2]},{(20 + i % 180) * 10 + i % 7}"
            for i in range(400)
        ]
        (self.folder / "houses.csv").write_text("\n".join(["size,kind,price", *rows]))
        (self.folder / "houses.yaml").write_text(RECIPE)
        (self.folder / "program.yaml").write_text(PROGRAM)
        (self.folder / "program.py").write_text(LOOKS_AND_FAILS)
        self._run("flows.train", "--recipe", "houses.yaml", "--plan")
        self._run("flows.train", "--recipe", "nowhere.yaml")
        for recipe in ("houses.yaml", "program.yaml"):
            self._train_with_prefect(recipe)
        found = json.loads((self.folder / "found.json").read_text())
        told = {name for name, value in found.items() if os.environ.get(name) != value}
        self.given_to_programs = {name for name in told if name.startswith(TOLD)}

    def _train_with_prefect(self, recipe: str) -> None:
        """In a process of its own: Prefect reads its settings once."""
        done = subprocess.run(
            [sys.executable, "-m", "flows.train", "--recipe", recipe, "--json"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_API_URL": self.prefect},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.stdout, done.stderr
        self._record("flows.train", "", done.returncode, done.stdout)

    def _promote(self) -> None:
        client = MlflowClient(self.uri, self.uri)
        first = client.get_model_version("houses", "1")
        client.create_model_version("houses", first.source, first.run_id)
        model = ["--model", "houses"]
        self._run("flows.promote", *model, "--to", "2", ending="moved")
        self._run("flows.promote", *model, "--to", "2", ending="not moved")
        self._run("flows.promote", *model, "--rollback", ending="moved")
        self._run("flows.promote", *model, "--history", ending="history")

    def _old(self) -> None:
        """Make runs that a policy lets go and some that were left RUNNING, and a store of files with an old run."""
        client = MlflowClient(self.uri, self.uri)
        experiment = client.create_experiment(
            "old", artifact_location=(self.folder / "old").as_uri()
        )
        ended = int(time.time() * 1000) - 40 * DAY
        for deleted in (False, True):
            run_id = client.create_run(experiment, start_time=ended).info.run_id
            client.log_text(run_id, "text", "a.txt")
            client.set_terminated(run_id, "FINISHED", ended)
            if deleted:
                client.delete_run(run_id)
        unknown = {"onerun.flow_run_id": "00000000-0000-0000-0000-000000000000"}
        client.create_run(experiment, start_time=ended, tags=unknown)
        client.create_run(experiment, start_time=ended, tags={**self._owner(), **unknown})
        make_file_store(self.folder / "old-store", ended)

    def _owner(self) -> dict[str, str]:
        """Return the tags that say which process owned the finished training: it is dead by now."""
        client = MlflowClient(self.uri, self.uri)
        tags = client.get_run(self.trained["run_id"]).data.tags
        return {
            name: tags[name] for name in ("onerun.process", "onerun.run_count", "onerun.heartbeat")
        }

    def _look(self) -> None:
        self._run("flows.summary")
        self._run("flows.summary", "--store", "old-store")
        self._run("flows.doctor")
        self._run("flows.doctor", "--profile", "nowhere")
        self._run("flows.metrics", "--once")
        self._run("deployments.stack", "status")
        self._run("deployments.stack", "down")

    def _mistakes(self) -> None:
        """Ask for what is wrong, or fails; every command says so in the same keys."""
        for command, *arguments in (
            ("flows.backup", "--keep", "0"),
            ("flows.maintain", "--policy", "nowhere"),
            ("flows.metrics", "--once", "--every", "1s"),
            ("flows.promote", "--model", "nowhere", "--history"),
            ("flows.reconcile", "--silence", "1s"),
            ("flows.rescue", "--from", "nowhere"),
            ("flows.restore", "nowhere.tar.gz"),
            ("flows.summary", "--store", "nowhere"),
            ("deployments.stack", "up", "--profile", "nowhere"),
        ):
            self._run(command, *arguments)
        Path("damaged.tar.gz").write_bytes(b"damaged")
        self._run("flows.restore", "damaged.tar.gz")

    def _archive(self) -> None:
        made = self._run("flows.backup", "--to", "kept", "--keep", "1", "--experiment", "houses")
        made = self._run("flows.backup", "--to", "kept", "--keep", "1")
        self.archives["records"] = Path(made["archive"])
        self._run("flows.restore", made["archive"], "--verify")
        self._run("flows.restore", made["archive"])
        self._run("flows.restore", made["archive"], "--apply")

    def _clean_up(self) -> None:
        self._run("flows.maintain", "--policy", POLICY, ending="planned")
        self._run(
            "flows.maintain",
            "--policy",
            POLICY,
            "--set",
            "select.experiments=[old]",
            "--apply",
            ending="done",
        )
        shutil.copytree("old-store", "rescued-from")
        done = self._run(
            "flows.maintain", "--policy", POLICY, "--store", "old-store", "--apply", ending="done"
        )
        self.archives["folders"] = Path(done["result"]["archive"])
        self._run("flows.restore", done["result"]["archive"], "--verify")
        self._run("flows.restore", done["result"]["archive"], "--to", "old-store")

    def _rescue(self) -> None:
        (Path("rescued-from") / OLD_EXPERIMENT / OLD_RUN / "meta.yaml").unlink()
        self._run("flows.rescue", "--from", "rescued-from")
        self._run(
            "flows.rescue", "--from", "rescued-from", "--to", "sqlite:///rescued.db", "--apply"
        )
        with closing(sqlite3.connect("rescued.db")) as database, database:
            database.execute("DELETE FROM experiments WHERE name LIKE '%7%' OR experiment_id = 7")
        self._run(
            "flows.rescue", "--repair", "--to", "sqlite:///rescued.db", ending="repair examined"
        )
        self._run("flows.rescue", "--repair", "--to", "sqlite:///rescued.db", "--apply")

    def _reconcile(self) -> None:
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: self.prefect}), mock.patch.dict(os.environ):
            os.environ["PREFECT_API_URL"] = self.prefect
            self._make_flow_runs()
            self._run("flows.reconcile")
            self._run("flows.reconcile", "--apply")

    def _make_flow_runs(self) -> None:
        """Make two flow runs of a training: one that failed, one that Prefect takes for running and that is dead."""
        from prefect.client.orchestration import get_client
        from prefect.states import Failed, Running

        from flows.train import train

        with get_client(sync_client=True) as client:
            failed, dead = (
                client.create_flow_run(train, parameters={"recipe": "houses"}) for _ in range(2)
            )
            for flow_run, state in ((failed, Running()), (failed, Failed()), (dead, Running())):
                client.set_flow_run_state(flow_run.id, state, force=True)
            count = client.read_flow_run(dead.id).run_count
            labels = {"onerun.process": self._owner()["onerun.process"], "onerun.run_count": count}
            client.update_flow_run_labels(dead.id, labels)


def make_file_store(root: Path, ended: int) -> None:
    """Write a store of files with one finished run, as MLflow 2 wrote them."""
    experiment = root / OLD_EXPERIMENT
    run = experiment / OLD_RUN
    for name, content in (
        ("metrics/rmse", f"{ended} 1.5 0\n"),
        ("params/depth", "3"),
        ("tags/note", "x"),
        ("artifacts/data.txt", "data"),
    ):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text(content)
    place = experiment.absolute().as_uri()
    about_experiment = {
        "artifact_location": place, "creation_time": 0, "experiment_id": OLD_EXPERIMENT, "last_update_time": 0,
        "lifecycle_stage": "active", "name": "old houses",
    }  # fmt: skip
    about_run = {
        "artifact_uri": f"{place}/{OLD_RUN}/artifacts", "end_time": ended, "entry_point_name": "",
        "experiment_id": OLD_EXPERIMENT, "lifecycle_stage": "active", "run_id": OLD_RUN, "run_name": "r",
        "run_uuid": OLD_RUN, "source_name": "", "source_type": 4, "source_version": "", "start_time": ended - 1,
        "status": 3, "tags": [], "user_id": "me",
    }  # fmt: skip
    (experiment / "meta.yaml").write_text(yaml.safe_dump(about_experiment))
    (run / "meta.yaml").write_text(yaml.safe_dump(about_run))
