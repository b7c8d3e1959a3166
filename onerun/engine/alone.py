"""A training without Prefect: known by an id of its own, gone on with by the id of its run."""

import uuid
from datetime import UTC, datetime

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain import names
from onerun.domain.reconcile.seen import Policy, ago
from onerun.engine.events import Observer, ignore
from onerun.engine.request import TrainingRequest, check
from onerun.engine.result import TrainingResult
from onerun.engine.runner import termination_raises
from onerun.engine.training import Driver, run_training
from onerun.processes.identity import state_of
from onerun.tracking.ownership import Identity, identity_of
from onerun.tracking.running import running_run
from onerun.tracking.runs import find_run

RESUME = (
    "the same command with `--resume {run_id}` goes on after the last finished stage, "
    "with what was computed meanwhile"
)


def train_alone(
    request: TrainingRequest, resume: str | None = None, observer: Observer = ignore
) -> TrainingResult:
    """Train in this process, in one MLflow run.

    Args:
        resume: the id of a run to go on with, after its last finished stage.
        observer: is given each event of a stage.
    Raises: Mistakes before anything is written; OnerunError, or what a stage raises, when a stage failed.
    """
    request.profile.apply()
    check(request)
    identity = Identity(names.TAG_TRAINING_ID, uuid.uuid4().hex)
    if resume:
        identity = resumable(resume, request.recipe.name)
    driver = Driver(
        identity=identity,
        run_name=f"{request.recipe.name} {datetime.now(UTC):%Y-%m-%d %H:%M}",
        how_to_resume=RESUME,
        observer=observer,
    )
    with termination_raises():
        return run_training(request, driver)


def resumable(run_id: str, experiment: str) -> Identity:
    """Return what the run is known by, if a training may go on with it.

    Raises: Mistakes when there is no such run, when it has finished, belongs to Prefect or is at work.
    """
    run = find_run(run_id)
    if run is None:
        raise _mistake(
            f"there is no run {run_id}; its id stands in MLflow and in what the training said"
        )
    identity = identity_of(run.data.tags)
    if identity is None:
        raise _mistake(f"run {run_id} was not made by a training of onerun")
    if identity.tag == names.TAG_FLOW_RUN_ID:
        command = f"python -m flows.train --recipe ... --retry {identity.value}"
        raise _mistake(f"run {run_id} belongs to a flow run of Prefect; go on with `{command}`")
    if run.info.lifecycle_stage != "active":
        raise _mistake(
            f"run {run_id} is deleted; `mlflow runs restore --run-id {run_id}` restores it"
        )
    if run.info.status == "FINISHED":
        raise _mistake(f"run {run_id} has finished; there is nothing to go on with")
    _need_experiment(run_id, run.info.experiment_id, experiment)
    if run.info.status == "RUNNING":
        _need_dead(run_id)
    return identity


def _need_experiment(run_id: str, experiment_id: str, wanted: str) -> None:
    """Raise Mistakes when the run lies in another experiment than the recipe names."""
    from onerun.tracking.runs import client

    name = client().get_experiment(experiment_id).name
    if name != wanted:
        raise _mistake(
            f"run {run_id} is in experiment {name!r}, but the recipe is called {wanted!r}; "
            f"give the recipe of that run, or `--set name={name}`"
        )


def _need_dead(run_id: str) -> None:
    """Raise Mistakes when the run may be at work: its process lives, or its heartbeat is young."""
    run = running_run(run_id)
    if run is None:
        return  # it was ended meanwhile
    state = state_of(run.process, run.last_sign)
    if state.is_dead:
        return
    where = f"process {run.process.pid} on {run.process.host}" if run.process else "its process"
    silent = datetime.now(UTC) - run.last_sign
    if state.value == "alive":
        raise _mistake(
            f"run {run_id} is at work: {where} is alive; wait for it, or end that process"
        )
    if silent < Policy().silence:
        raise _mistake(
            f"run {run_id} may be at work: {where} cannot be seen from here, and gave a sign of life "
            f"{ago(silent)} ago; without one for {ago(Policy().silence)} it counts as dead"
        )


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("--resume", message)])
