"""Register: the run's logged model becomes a version of the registered model."""

import logging

from onerun.config.recipe import Recipe
from onerun.domain import names
from onerun.domain.errors import AliasMoved
from onerun.domain.promotion import describe_metrics, ledger_metrics
from onerun.domain.references import Evaluation, TrainedModel, Version
from onerun.tracking.registry import make_version, move_alias, version_of_alias
from onerun.tracking.runs import client

log = logging.getLogger("onerun")


def register(run_id: str, recipe: Recipe, trained: TrainedModel, evaluation: Evaluation) -> Version:
    """Make the run's one version, and move the aliases that every new version takes. Safe to
    repeat.
    """
    tags = recipe.register_.tags | _tags(run_id, evaluation)
    number = make_version(
        recipe.model_name, trained.model_id, run_id, recipe.register_.description, tags
    )
    version = Version(model=recipe.model_name, version=number)
    for alias in recipe.register_.aliases:
        _take_alias(run_id, version, alias, evaluation)
    return version


def _tags(run_id: str, evaluation: Evaluation) -> dict[str, str]:
    """Return the tags that describe the run on its version."""
    tags = {names.TAG_VERSION_RUN_ID: run_id}
    digest = client().get_run(run_id).data.tags.get(names.TAG_SNAPSHOT_DIGEST)
    if digest:
        tags[names.TAG_SNAPSHOT_DIGEST] = digest
    if evaluation.primary in evaluation.metrics:
        key = names.TAG_VERSION_METRIC.format(metric=evaluation.primary)
        tags[key] = f"{evaluation.metrics[evaluation.primary]:.10g}"
    return tags


def _take_alias(run_id: str, version: Version, alias: str, evaluation: Evaluation) -> None:
    """Move the alias to the newest version, whichever trainings register meanwhile."""
    why = f"newest version; {describe_metrics(evaluation)}"
    while True:
        holder = version_of_alias(version.model, alias)
        if holder is not None and int(holder) > int(version.version):
            stays = "%s@%s stays at version %s, which is newer than %s"
            log.info(stays, version.model, alias, holder, version.version)
            return
        try:
            move_alias(
                version.model,
                alias,
                version.version,
                holder,
                why,
                run_id,
                "register",
                ledger_metrics(evaluation),
            )
        except AliasMoved:
            continue  # another training took it meanwhile
        return
