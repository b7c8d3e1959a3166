"""The experiment that a training asks for: made, found, restored by policy, or refused. A damaged one is never used."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from onerun.config.loading import load_policy
from onerun.config.mistakes import Mistake, Mistakes
from onerun.tracking.runs import client

if TYPE_CHECKING:
    from mlflow.entities import Experiment

POLICY = "ONERUN_POLICY"  # names the policy that says what happens with a deleted experiment
log = logging.getLogger("onerun")


def usable_experiment(name: str) -> str:
    """Return the id of the experiment, which is made where it is missing. Raises: Mistakes: it is deleted, or damaged."""
    experiment = client().get_experiment_by_name(name) or _made(name)
    if experiment.lifecycle_stage == "deleted":
        _restore_or_report(experiment)
    if damage := _damage(experiment.artifact_location):
        raise _mistake(
            f"experiment {name!r} is damaged ({damage}); repair it, or choose another name"
        )
    return str(experiment.experiment_id)


def _made(name: str) -> "Experiment":
    from mlflow.exceptions import MlflowException

    try:
        client().create_experiment(name, tags={"mlflow.experimentKind": "custom_model_development"})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise  # otherwise another training was a moment faster
    experiment = client().get_experiment_by_name(name)
    if experiment is None:
        raise _mistake(f"experiment {name!r} was deleted while it was made; try again")
    return experiment


def _restore_or_report(experiment: "Experiment") -> None:
    """MLflow restores an experiment together with its runs."""
    policy = os.environ.get(POLICY)
    if policy and load_policy(policy).deleted_experiment == "restore":
        client().restore_experiment(experiment.experiment_id)
        log.warning(
            "experiment %s was deleted; the policy %s had it restored", experiment.name, policy
        )
        return
    undo = f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`"
    by_policy = f"or set {POLICY} to a policy with deleted_experiment: restore"
    raise _mistake(
        f"experiment {experiment.name!r} is deleted; restore it ({undo}), choose another name, {by_policy}"
    )


def _damage(location: str | None) -> str | None:
    if not location:
        return "it has no place for artifacts"
    place = Path(location.removeprefix("file://"))
    if "://" not in location.removeprefix("file://") and place.exists() and not place.is_dir():
        return f"{place} is not a folder"
    return None


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("name", message)])
