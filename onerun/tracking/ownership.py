"""Opening and ending a run: for the flow that owns it, and for nobody else (P1)."""

import fcntl
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from onerun.domain import names
from onerun.processes.identity import this_process
from onerun.tracking.answering import asked
from onerun.tracking.experiments import usable_experiment
from onerun.tracking.heart import now
from onerun.tracking.moves import who
from onerun.tracking.runs import client, run_tags, set_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class OwnedRun:
    """The one MLflow run of one flow run."""

    run_id: str
    experiment_id: str
    experiment: str
    attempt: int
    stages: Mapping[
        str, str
    ]  # stage -> its recorded reference as JSON, of earlier attempts at the same recipe


def open_run(
    experiment: str, flow_run_id: str, run_name: str, recipe_digest: str, tags: Mapping[str, str]
) -> OwnedRun:
    """Make the flow run's MLflow run, or reopen the one an earlier attempt made.

    Stages of an earlier attempt count as done only when the recipe is still the same.
    Raises: Mistakes when the experiment is deleted or damaged.
    """
    experiment_id = usable_experiment(experiment)
    with alone(flow_run_id):
        ours = {**_ours(recipe_digest), **tags}
        run_id = _find(experiment_id, flow_run_id) or _make(
            experiment_id, flow_run_id, run_name, ours
        )
        known = client().get_run(run_id).data.tags
        attempt = int(known.get(names.TAG_ATTEMPT, 0)) + 1
        stages = (
            _recorded_stages(known) if known.get(names.TAG_RECIPE_DIGEST) == recipe_digest else {}
        )
        set_tags(
            run_id, {**ours, names.TAG_ATTEMPT: str(attempt)}
        )  # before the status: the reconciler looks at these
        client().update_run(run_id, status="RUNNING")
    return OwnedRun(run_id, experiment_id, experiment, attempt, stages)


def _ours(recipe_digest: str) -> dict[str, str]:
    process = this_process()
    return {
        names.TAG_RECIPE_DIGEST: recipe_digest,
        names.TAG_HOST: process.host,
        names.TAG_PID: str(process.pid),
        names.TAG_PROCESS: process.model_dump_json(),
        names.TAG_HEARTBEAT: now(),
        "mlflow.user": who(),  # MLflow's pages show these two as "Created by" and "Source"
        "mlflow.source.name": "flows/train.py",
    }


def end_run(run_id: str, status: Status, failure: str = "") -> None:
    """Set the terminal state, and the reason where there is one."""
    try:
        if failure:
            set_tags(run_id, {names.TAG_FAILURE: failure})
    finally:
        client().set_terminated(run_id, status)
    _sweep(run_id)


def end_half_open(experiment: str, flow_run_id: str, failure: str) -> None:
    """Ends as KILLED what an interrupted `open_run` of this process had made or reopened already."""
    found, process = client().get_experiment_by_name(experiment), this_process().model_dump_json()
    for run in _all(found.experiment_id, flow_run_id) if found else ():
        if run.info.status == "RUNNING" and run.data.tags.get(names.TAG_PROCESS) == process:
            end_run(run.info.run_id, "KILLED", failure)


def record_stage(run_id: str, stage: str, reference: str, seconds: float) -> None:
    """Note that a stage is done, in one call: from here on a retry does not repeat it."""
    from mlflow.entities import Metric

    tag = run_tags({names.TAG_STAGE.format(stage=stage): reference})
    metric = Metric(f"{names.PREFIX_STAGE_SECONDS}{stage}", seconds, int(time.time() * 1000), 0)
    client().log_batch(run_id, metrics=[metric], tags=tag)


def _recorded_stages(tags: Mapping[str, str]) -> dict[str, str]:
    keys = {stage: names.TAG_STAGE.format(stage=stage) for stage in names.STAGES}
    return {stage: tags[key] for stage, key in keys.items() if key in tags}


def _find(experiment_id: str, flow_run_id: str) -> str | None:
    """The one that was worked in already, else the first."""
    found = _all(experiment_id, flow_run_id)
    worked_in = [run for run in found if names.TAG_ATTEMPT in run.data.tags]
    return next((str(run.info.run_id) for run in worked_in or found), None)


def _all(experiment_id: str, flow_run_id: str) -> Sequence["Run"]:
    return client().search_runs(
        [experiment_id],
        f"tags.`{names.TAG_FLOW_RUN_ID}` = '{flow_run_id}'",
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=100,
    )


def _sweep(run_id: str) -> None:
    """Deletes empty runs of the same flow run: made by a request that was thought lost, or by another host."""
    run = client().get_run(run_id)
    flow_run_id = run.data.tags.get(names.TAG_FLOW_RUN_ID)
    for other in _all(run.info.experiment_id, flow_run_id) if flow_run_id else ():
        if other.info.run_id != run_id and names.TAG_ATTEMPT not in other.data.tags:
            _delete(other.info.run_id)


def _delete(run_id: str) -> None:
    client().set_terminated(
        run_id, "KILLED"
    )  # should somebody restore it, it does not read RUNNING
    client().delete_run(run_id)


@contextmanager
def alone(flow_run_id: str) -> Iterator[None]:
    """Threads and processes of one host take turns with a run; between hosts `_make` sorts out who was first."""
    path = Path(tempfile.gettempdir()) / f"onerun-{flow_run_id}.lock"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(experiment_id: str, flow_run_id: str, run_name: str, tags: Mapping[str, str]) -> str:
    """Made with its tags in one call, so that it is never found without; of two made at once the first stays."""
    given = {names.TAG_FLOW_RUN_ID: flow_run_id, **tags}

    def find_or_make() -> str:  # an earlier try may have made it, and only its answer was lost
        found = _find(experiment_id, flow_run_id)
        return found or str(
            client().create_run(experiment_id, tags=given, run_name=run_name).info.run_id
        )

    made = asked(find_or_make)
    first = _find(experiment_id, flow_run_id) or made
    if first != made:
        _delete(made)
    return first
