"""The six stages in order, within one run. One engine; what drives it decides how a stage is called and shown."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from onerun.data.ingest import ingest
from onerun.data.validate import validate
from onerun.domain.references import (
    Evaluation,
    Promotion,
    Snapshot,
    TrainedModel,
    Validation,
    Version,
)
from onerun.engine.events import Observer, ignore
from onerun.engine.heartbeat import heartbeat_of
from onerun.engine.owner import owned_run
from onerun.engine.request import TrainingRequest
from onerun.engine.result import TrainingResult, result_of
from onerun.engine.runner import run_stage
from onerun.engine.stages import Limits, StageRunner, Stages
from onerun.evaluation.evaluate import evaluate
from onerun.promotion.promote import promote
from onerun.promotion.register import register
from onerun.tracking.lifecycle import Identity
from onerun.tracking.provenance import record_provenance
from onerun.training.train import train


@dataclass(frozen=True)
class Driver:
    """Who runs a training, and how.

    identity: what its MLflow run is found by.
    run_name: of the MLflow run.
    how_to_resume: the command that goes on after a failure; `{run_id}` is filled in.
    runner: calls a stage.
    observer: is given each event of a stage.
    tags: of the MLflow run, besides the engine's own.
    flow_run_id: of Prefect, where a flow run drives it.
    """

    identity: Identity
    run_name: str
    how_to_resume: str
    runner: StageRunner = run_stage
    observer: Observer = ignore
    tags: Mapping[str, str] = field(default_factory=dict)
    flow_run_id: str | None = None


def run_training(request: TrainingRequest, driver: Driver) -> TrainingResult:
    """Take the request's data to a promoted model: ingest, validate, train, evaluate, register, promote.

    A stage that an earlier attempt finished with the same recipe is not done again.
    Raises: Mistakes, OnerunError, or what a stage raises; the run has ended by then.
    """
    recipe, profile = request.recipe, request.profile.public()
    with (
        owned_run(
            experiment=recipe.name,
            identity=driver.identity,
            run_name=driver.run_name,
            recipe_digest=request.digest,
            tags=driver.tags,
            how_to_resume=driver.how_to_resume,
        ) as run,
        heartbeat_of(run.run_id),
    ):
        run_id, work = run.run_id, request.work / "runs" / run.run_id
        record_provenance(run_id, recipe, profile, run.attempt, work)
        stages = Stages(run, driver.runner, driver.observer)
        snapshot = stages.do(
            "ingest", Snapshot, partial(ingest, run_id, recipe.data, request.store, work)
        )
        stages.do(
            "validate", Validation, partial(validate, run_id, recipe.data.expectations, snapshot)
        )
        trained = stages.do(
            "train",
            TrainedModel,
            partial(train, run_id, recipe, snapshot, work),
            Limits(
                retries=recipe.train.retries,
                timeout=recipe.train.timeout if recipe.train.run_in == "task" else None,
            ),
        )
        evaluation = stages.do(
            "evaluate", Evaluation, partial(evaluate, run_id, recipe, snapshot, trained, work)
        )
        version = stages.do(
            "register", Version, partial(register, run_id, recipe, trained, evaluation)
        )
        promotion = stages.do(
            "promote", Promotion, partial(promote, run_id, recipe, version, evaluation)
        )
    shutil.rmtree(work, ignore_errors=True)  # of a run that did not finish it stays, for a retry
    return result_of(
        run=run,
        snapshot=snapshot,
        evaluation=evaluation,
        version=version,
        promotion=promotion,
        tracking_uri=str(profile["tracking_uri"]),
        flow_run_id=driver.flow_run_id,
    )
