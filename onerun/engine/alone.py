"""A training without Prefect: known by an id of its own, gone on with by the id of its run."""

import uuid
from datetime import UTC, datetime

from onerun.domain import names
from onerun.engine.events import Observer, ignore
from onerun.engine.request import TrainingRequest, check
from onerun.engine.result import TrainingResult
from onerun.engine.runner import termination_raises
from onerun.engine.training import Driver, run_training
from onerun.tracking.lifecycle import Identity

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
        from onerun.engine.resume import resumable  # few trainings are resumed

        identity = resumable(resume, request.recipe.name)
    driver = Driver(
        identity=identity,
        run_name=f"{request.recipe.name} {datetime.now(UTC):%Y-%m-%d %H:%M}",
        how_to_resume=RESUME,
        observer=observer,
    )
    with termination_raises():
        return run_training(request, driver)
