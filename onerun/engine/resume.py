"""Whether a training may go on with a run that an earlier one left."""

from datetime import UTC, datetime

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain import names
from onerun.domain.reconcile.seen import ProcessState, ReconcilePolicy, ago
from onerun.processes.identity import state_of
from onerun.tracking.lifecycle import Identity, identity_of
from onerun.tracking.running import running_run
from onerun.tracking.runs import client, find_run


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
    quiet = datetime.now(UTC) - run.last_sign
    if state is ProcessState.ALIVE:
        raise _mistake(
            f"run {run_id} is at work: {where} is alive; wait for it, or end that process"
        )
    if quiet < ReconcilePolicy().heartbeat_timeout:
        raise _mistake(
            f"run {run_id} may be at work: {where} cannot be seen from here, and gave a sign of life "
            f"{ago(quiet)} ago; without one for {ago(ReconcilePolicy().heartbeat_timeout)} it counts as dead"
        )


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("--resume", message)])
