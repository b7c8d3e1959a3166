"""Stores of files, made by hand: experiments, runs, models, versions, and what is damaged in them."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from onerun.cleanup.maintenance import carry_out, planned
from onerun.config.loading import load_policy
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from tests.cleanup.conftest import DAY

NOW = int(time.time() * 1000)
POLICY = "name: weekly\nkeep: {last: 0}\naction: hard_delete\nmax_delete: 100%\nbackups: {to: .onerun/backups}\n"
PARENT = "mlflow.parentRunId"


def make_experiment(root: Path, number: int, runs: dict[int, int]) -> None:
    """Args: runs: number of a run -> how many days ago it ended."""
    folder = root / str(number)
    folder.mkdir(parents=True)
    about = {
        "artifact_location": folder.as_uri(),
        "creation_time": 0,
        "last_update_time": 0,
        "lifecycle_stage": "active",
    }
    (folder / "meta.yaml").write_text(
        yaml.safe_dump({"experiment_id": str(number), "name": f"e{number}", **about})
    )
    for run, days in runs.items():
        make_run(folder, f"{run:032x}", days)


def make_run(folder: Path, run_id: str, days: int) -> Path:
    run, ended = folder / run_id, NOW - days * DAY
    for name, content in (
        ("metrics/rmse", f"{ended} {run_id.count('1')}.5 0\n"), ("params/depth", "3"), ("tags/note", "x"),
        ("artifacts/data.bin", "x" * 100),
    ):  # fmt: skip
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text(content)
    about = {
        "artifact_uri": f"{folder.as_uri()}/{run_id}/artifacts", "end_time": ended, "entry_point_name": "",
        "experiment_id": folder.name, "lifecycle_stage": "active", "run_id": run_id, "run_name": "r",
        "run_uuid": run_id, "source_name": "", "source_type": 4, "source_version": "", "start_time": ended - 1,
        "status": 3, "tags": [], "user_id": "me",
    }  # fmt: skip
    (run / "meta.yaml").write_text(yaml.safe_dump(about))
    return run


def age(folder: Path, days: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (time.time() - days * 86400,) * 2)


def digests(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def run_of(root: Path, experiment: int | str, number: int) -> Path:
    return root / str(experiment) / f"{number:032x}"


def clean_up(
    root: Path, *overrides: str, meanwhile: Callable[[], object] = lambda: None
) -> tuple[Plan, Result]:
    """Args: meanwhile: what somebody does between plan and deed."""
    with planned(load_policy(POLICY, overrides), frozenset(), str(root)) as what:
        meanwhile()
        return what.plan, carry_out(what, yes_really=False)


def unreadable(root: Path, number: int, runs: int, meta: str | None = None, days: int = 60) -> Path:
    """Makes an old experiment that MLflow cannot read. Args: meta: what its meta.yaml says; None: there is none."""
    make_experiment(root, number, dict.fromkeys(range(1000 * number, 1000 * number + runs), days))
    folder = root / str(number)
    (folder / "meta.yaml").unlink()
    if meta is not None:
        (folder / "meta.yaml").write_text(meta)
    age(folder, days)
    return folder


def edit(run: Path, **changes: Any) -> None:
    meta = yaml.safe_load((run / "meta.yaml").read_text())
    (run / "meta.yaml").write_text(yaml.safe_dump(meta | changes))


def version_of(root: Path, **says: str) -> None:
    folder = root / "models" / "prices" / "version-1"
    folder.mkdir(parents=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump({"name": "prices", "version": 1, **says}))


def logged_model(experiment: Path, run: str, number: int = 1, name: str = "model") -> Path:
    folder = experiment / "models" / f"m-{number:032x}"
    (folder / "artifacts").mkdir(parents=True)
    (folder / "artifacts" / "MLmodel").write_text("a: b")
    about = {
        "model_id": folder.name, "name": name, "source_run_id": run, "creation_timestamp": 1,
        "last_updated_timestamp": 1, "status": 2,
    }  # fmt: skip
    (folder / "meta.yaml").write_text(yaml.safe_dump(about))
    return folder


def kinds(root: Path) -> set[tuple[str, str]]:
    """Returns: path and kind of what was found."""
    with planned(load_policy(POLICY), frozenset(), str(root)) as what:
        return {
            (Path(finding.id).relative_to(root).as_posix(), finding.kind)
            for finding in what.findings
        }
