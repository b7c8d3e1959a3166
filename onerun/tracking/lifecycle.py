"""The life of a training's run: opened, owned, kept alive and ended by one process (P1).

The process that opened the run last owns it; an older process must stop. A second pod may be started with the same flow run,
and a retry may take for dead what is only cut off.
"""

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from onerun.domain import names
from onerun.domain.errors import Superseded
from onerun.processes.identity import this_process
from onerun.processes.locks import exclusive_lock
from onerun.tracking.experiments import usable_experiment
from onerun.tracking.moves import who
from onerun.tracking.retrying_client import call
from onerun.tracking.runs import client, run_tags, set_tags

if TYPE_CHECKING:
    from mlflow.entities import Run

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Identity:
    """What a training is known by: a tag that its MLflow run carries from the moment it is made (P1).

    tag: TAG_FLOW_RUN_ID for a flow run of Prefect, TAG_TRAINING_ID for a training without Prefect.
    """

    tag: str
    value: str

    @classmethod
    def of_flow_run(cls, flow_run_id: str) -> "Identity":
        """Return the identity of a training that a flow run of Prefect drives."""
        return cls(names.TAG_FLOW_RUN_ID, flow_run_id)


@dataclass(frozen=True)
class OwnedRun:
    """The one MLflow run of one training."""

    run_id: str
    experiment_id: str
    experiment: str
    attempt: int
    stages: Mapping[
        str, str
    ]  # stage -> its recorded reference as JSON, of earlier attempts at the same recipe


def open_run(
    experiment: str,
    identity: Identity,
    run_name: str,
    recipe_digest: str,
    tags: Mapping[str, str],
) -> OwnedRun:
    """Make the training's MLflow run, or reopen the one an earlier attempt made.

    Stages of an earlier attempt count as done only when the recipe is still the same.
    Raises: Mistakes when the experiment is deleted or damaged.
    """
    experiment_id = usable_experiment(experiment)
    with training_lock(identity.value):
        ours = {**_ours(recipe_digest), **tags}
        run_id = _find(experiment_id, identity) or _make(experiment_id, identity, run_name, ours)
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
        "mlflow.source.name": "onerun",
    }


def end_run(run_id: str, status: Status, failure: str = "") -> None:
    """Set the terminal state, and the reason where there is one."""
    try:
        if failure:
            set_tags(run_id, {names.TAG_FAILURE: failure})
    finally:
        client().set_terminated(run_id, status)
    _sweep(run_id)


def end_half_open(experiment: str, identity: Identity, failure: str) -> None:
    """End as KILLED what an interrupted `open_run` of this process had made or reopened already."""
    found, process = client().get_experiment_by_name(experiment), this_process().model_dump_json()
    for run in _all(found.experiment_id, identity) if found else ():
        if run.info.status == "RUNNING" and run.data.tags.get(names.TAG_PROCESS) == process:
            end_run(run.info.run_id, "KILLED", failure)


def record_stage(run_id: str, stage: str, reference: str, seconds: float) -> None:
    """Note that a stage is done, in one call: from here on a retry does not repeat it."""
    from mlflow.entities import Metric

    tag = run_tags({names.TAG_STAGE.format(stage=stage): reference})
    metric = Metric(f"{names.PREFIX_STAGE_SECONDS}{stage}", seconds, int(time.time() * 1000), 0)
    client().log_batch(run_id, metrics=[metric], tags=tag)


def require_ownership(run_id: str) -> None:
    """Check that this process owns the run; to be called before anything that only the owner does.

    Raises: Superseded.
    """
    owner = client().get_run(run_id).data.tags.get(names.TAG_PROCESS)
    if owner not in (None, this_process().model_dump_json()):
        raise Superseded(
            f"run {run_id} was opened by another process that works on the same training: this one stops"
        )


def beat(run_id: str) -> str:
    """Write the owner's heartbeat. Return the run's status. Raises: Superseded when another process owns it."""
    require_ownership(run_id)
    set_tags(run_id, {names.TAG_HEARTBEAT: now()})
    return str(client().get_run(run_id).info.status)


def reopen(run_id: str) -> None:
    """Set the status of a run to RUNNING again that was ended while its owner was taken for dead; note why."""
    client().update_run(run_id, status="RUNNING")
    set_tags(run_id, {names.TAG_RECONCILED.format(what="withdrawn"): f"{now()}: its owner lives"})


def keep_running(run_id: str) -> None:
    """Open the run again if a program that was attached to it ended it: one in another language, for instance.

    Raises: Superseded when another process has opened the run since: it may have ended it, too.
    """
    if client().get_run(run_id).info.status != "RUNNING":
        require_ownership(run_id)
        client().update_run(run_id, status="RUNNING")


def experiment_of(run_id: str) -> str:
    """Return the id of the run's experiment."""
    return str(client().get_run(run_id).info.experiment_id)


def now() -> str:
    """Return the time as heartbeats are written."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _recorded_stages(tags: Mapping[str, str]) -> dict[str, str]:
    keys = {stage: names.TAG_STAGE.format(stage=stage) for stage in names.STAGES}
    return {stage: tags[key] for stage, key in keys.items() if key in tags}


def _find(experiment_id: str, identity: Identity) -> str | None:
    """Return the run that was worked in already, else the first."""
    found = _all(experiment_id, identity)
    worked_in = [run for run in found if names.TAG_ATTEMPT in run.data.tags]
    return next((str(run.info.run_id) for run in worked_in or found), None)


def _all(experiment_id: str, identity: Identity) -> Sequence["Run"]:
    return client().search_runs(
        [experiment_id],
        f"tags.`{identity.tag}` = '{identity.value}'",
        order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        max_results=100,
    )


def _sweep(run_id: str) -> None:
    """Delete empty runs of the same training: made by a request that was thought lost, or by another host."""
    run = client().get_run(run_id)
    identity = identity_of(run.data.tags)
    for other in _all(run.info.experiment_id, identity) if identity else ():
        if other.info.run_id != run_id and names.TAG_ATTEMPT not in other.data.tags:
            _delete(other.info.run_id)


def _delete(run_id: str) -> None:
    client().set_terminated(run_id, "KILLED")  # a person who restores it does not find it RUNNING
    client().delete_run(run_id)


def identity_of(tags: Mapping[str, str]) -> Identity | None:
    """Return what the run with these tags is known by; None for a run that no training of ours made."""
    for tag in (names.TAG_FLOW_RUN_ID, names.TAG_TRAINING_ID):
        if tag in tags:
            return Identity(tag, tags[tag])
    return None


def training_lock(training: str) -> "AbstractContextManager[IO[str]]":
    """Lock one training between the processes of one user on one host; between hosts `_make` decides who was first."""
    file = Path(tempfile.gettempdir()) / f"onerun-{os.getuid()}-{training}.lock"
    return exclusive_lock(file, remove=True)


def _make(experiment_id: str, identity: Identity, run_name: str, tags: Mapping[str, str]) -> str:
    """Make the run with its tags in one call, so that it is never found without; of two made at once the first stays."""
    given = {identity.tag: identity.value, **tags}

    def find_or_make() -> str:  # an earlier try may have made it, and only its answer was lost
        found = _find(experiment_id, identity)
        return found or str(
            client().create_run(experiment_id, tags=given, run_name=run_name).info.run_id
        )

    made = call(find_or_make)
    first = _find(experiment_id, identity) or made
    if first != made:
        _delete(made)
    return first
