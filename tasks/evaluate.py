"""Evaluate: the logged model on the frozen test part, beside a baseline and the champion, and what the gates say."""

import shutil
from pathlib import Path

from domain import names
from domain.estimators import task_of
from domain.gates import check_evaluation
from domain.references import Evaluation, Snapshot, TrainedModel
from domain.report import page
from settings.mistakes import Mistakes
from settings.recipe import Recipe
from tasks import explaining, judging
from tasks.tracking import runs


def evaluate(run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, work: Path) -> Evaluation:
    """Scores what was logged, judges the gates and records metrics, plots and report; safe to repeat (P2).

    Raises: Mistakes for a metric the task does not have; DataError; ModelUnusable.
    """
    task = task_of(recipe)
    mistakes = check_evaluation(recipe, task)
    if mistakes:
        raise Mistakes(mistakes)
    judgement = judging.judged(recipe, snapshot, task, trained.model_uri, work)
    findings = explaining.findings(run_id, recipe, snapshot, trained, judgement)
    plots = explaining.plots(findings, judgement)
    folder = _written(work / "evaluation", findings.as_json(), page.render(findings, plots), plots)
    runs.log_folder(run_id, folder)
    runs.log_metrics(run_id, run_metrics(judgement.evaluation))
    return judgement.evaluation


def _written(folder: Path, evaluation: str, report: str, plots: dict[str, bytes]) -> Path:
    """Returns: the folder, laid out as in the run; it goes up in one call."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / names.ARTIFACT_PLOTS).mkdir(parents=True)
    (folder / names.ARTIFACT_EVALUATION).write_text(evaluation, encoding="utf-8")
    (folder / names.ARTIFACT_REPORT).write_text(report, encoding="utf-8")
    for name, png in plots.items():
        (folder / names.ARTIFACT_PLOTS / name).write_bytes(png)
    return folder


def run_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Returns: the test metrics under the names they have in the run: the model's own without a prefix."""
    prefixed = (
        ("", evaluation.metrics),
        (names.PREFIX_BASELINE, evaluation.baseline_metrics),
        (names.PREFIX_CHAMPION, evaluation.champion_metrics or {}),
    )
    return {prefix + name: value for prefix, metrics in prefixed for name, value in metrics.items()}
