"""Evaluate: the logged model on the frozen test part, beside a baseline and the champion, and the
gates.
"""

import shutil
from pathlib import Path

from onerun import checkpoint
from onerun.config.mistakes import Mistakes
from onerun.config.recipe import Recipe
from onerun.domain import names
from onerun.domain.estimators import task_of
from onerun.domain.gates import check_evaluation
from onerun.domain.references import Evaluation, Snapshot, TrainedModel
from onerun.domain.report import page
from onerun.evaluation import comparison, explanation
from onerun.tracking import registry, runs


def evaluate(
    run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, work: Path
) -> Evaluation:
    """Score the logged model, check the gates, and record metrics, plots and report; safe to
    repeat.

    What could not be uploaded stays in the work folder; repeated, it is uploaded, unless the
    champion changed.

    Raises:
        Mistakes: The recipe names a metric that the task does not have.
        DataError: The table lacks a column of `evaluate.slices`.
        ModelUnusable: The model cannot predict the test part.
    """
    mistakes = check_evaluation(recipe, task_of(recipe))
    if mistakes:
        raise Mistakes(mistakes)
    champion = registry.version_of_alias(recipe.model_name, recipe.promote.alias) or ""
    key = checkpoint.key(
        recipe.model_dump_json(by_alias=True), snapshot.digest, trained.model_id, champion
    )
    folder, note = work / "evaluation", work / "evaluation.json"
    evaluation = checkpoint.load(note, key, Evaluation)
    if evaluation is None:
        note.unlink(missing_ok=True)
        evaluation = _evaluate(run_id, recipe, snapshot, trained, work, folder)
        checkpoint.save(note, key, evaluation)
    runs.log_folder(run_id, folder)
    runs.log_metrics(run_id, run_metrics(evaluation))
    return evaluation


def _evaluate(
    run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, work: Path, folder: Path
) -> Evaluation:
    """Score, check and draw; leave in `folder` what is to be uploaded."""
    result = comparison.compare(recipe, snapshot, task_of(recipe), trained.model_uri, work)
    details = explanation.details(run_id, recipe, snapshot, trained, result)
    plots = explanation.plots(details, result)
    _write(folder, details.as_json(), page.render(details, plots), plots)
    return result.evaluation


def _write(folder: Path, evaluation: str, report: str, plots: dict[str, bytes]) -> None:
    """Write the files as they lie in the run; the folder is uploaded in one call."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / names.ARTIFACT_PLOTS).mkdir(parents=True)
    (folder / names.ARTIFACT_EVALUATION).write_text(evaluation, encoding="utf-8")
    (folder / names.ARTIFACT_REPORT).write_text(report, encoding="utf-8")
    for name, png in plots.items():
        (folder / names.ARTIFACT_PLOTS / name).write_bytes(png)


def run_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the test metrics under the names they have in the run: the model's own without a
    prefix.
    """
    prefixed = (
        ("", evaluation.metrics),
        (names.PREFIX_BASELINE, evaluation.baseline_metrics),
        (names.PREFIX_CHAMPION, evaluation.champion_metrics or {}),
    )
    return {prefix + name: value for prefix, metrics in prefixed for name, value in metrics.items()}
