"""`python -m flows.train --recipe recipes/x.yaml`: from a recipe to a champion."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: its temporary server comes up while everything else loads.
    from flows.training.launch import main

    raise SystemExit(main())

import shutil
from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from flows.command_line.links import flow_run_url
from flows.training.asking import ask
from flows.training.outcome import outcome
from flows.training.outliving import outlive_the_reader
from flows.training.ownership import owned_run
from flows.training.preparation import check_asked, read_asked
from flows.training.pulse import Pulse, pulse
from flows.training.stages import Stages
from flows.training.turns import turn
from onerun.data.ingest import ingest
from onerun.data.validate import validate
from onerun.domain import names
from onerun.domain.references import (
    Evaluation,
    Promotion,
    Snapshot,
    TrainedModel,
    Validation,
    Version,
)
from onerun.evaluation.evaluate import evaluate
from onerun.process_tuning import end_quickly
from onerun.promotion.promote import promote
from onerun.promotion.register import register
from onerun.tracking.provenance import record_provenance
from onerun.training.train import train as train_model


@flow(name="train", validate_parameters=True, persist_result=False)
def train(
    recipe: str,
    overrides: list[str] | None = None,
    data: str | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """Take a recipe's data to a promoted model: ingest, validate, train, evaluate, register, promote.

    Args:
        recipe: Name of a recipe in `recipes/`, path of a YAML file, or YAML text.
        overrides: `key.path=value` for any key of the recipe, such as `split.seed=7`.
        data: Stands in for data.source.
        profile: Name of a profile in `settings/profiles/`.
    """
    end_quickly()  # a worker starts a process for every flow run
    outlive_the_reader()
    with pulse(flow_run.id, flow_run.run_count) as beating:
        return _train(beating, recipe, overrides or (), data, profile)


def _train(
    beating: Pulse, recipe: str, overrides: Sequence[str], data: str | None, profile: str | None
) -> dict[str, Any]:
    document, asked = read_asked(recipe, overrides, data, profile)
    asked.profile.apply()
    check_asked(
        document, asked, waits=True
    )  # eight that start at once keep a server busy for seconds
    wanted = asked.recipe
    tags = {names.TAG_RUN_COUNT: str(flow_run.run_count)}
    tags |= {names.TAG_FLOW_RUN_URL: url} if (url := flow_run_url(flow_run.id)) else {}

    with (
        turn(wanted.model_name),
        owned_run(wanted.name, flow_run.id, flow_run.name, asked.digest, tags) as run,
        beating.of(run.run_id),
    ):
        work = asked.work / "runs" / run.run_id
        record_provenance(run.run_id, wanted, asked.profile.public(), run.attempt, work)
        stage = Stages(run)
        snapshot = stage("ingest", Snapshot, ingest, wanted.data, asked.store, work)
        stage("validate", Validation, validate, wanted.data.expectations, snapshot)
        trained = stage(
            "train", TrainedModel, train_model, wanted, snapshot, work,
            retries=wanted.train.retries, timeout=wanted.train.timeout if wanted.train.run_in == "task" else None,
        )  # fmt: skip
        evaluation = stage("evaluate", Evaluation, evaluate, wanted, snapshot, trained, work)
        version = stage("register", Version, register, wanted, trained, evaluation)
        promotion = stage("promote", Promotion, promote, wanted, version, evaluation)
    shutil.rmtree(
        work, ignore_errors=True
    )  # of a run that did not finish it stays: a retry goes on from there
    approval = ask(run.run_id, version) if promotion.waits else None
    return outcome(run, flow_run.id, snapshot, evaluation, version, promotion, approval)
