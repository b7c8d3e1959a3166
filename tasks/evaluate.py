"""Evaluate: the logged model on the frozen test part, beside a baseline and the champion, and what the gates say."""

from dataclasses import dataclass
from pathlib import Path

from domain import columns, names
from domain.answers import Answer
from domain.estimators import Task, task_of
from domain.gates import Contest, Judged, check_evaluation, judge, primary
from domain.metrics import score
from domain.outcomes import Predictions, Truth
from domain.references import Evaluation, Snapshot, TrainedModel
from settings.mistakes import Mistakes
from settings.recipe import Recipe
from tasks import holdout, scoring
from tasks.holdout import Holdout
from tasks.tracking import runs


@dataclass(frozen=True)
class Judgement:
    """Everything that was found out, for the record and the report."""

    holdout: Holdout
    contest: Contest
    evaluation: Evaluation


def evaluate(run_id: str, recipe: Recipe, snapshot: Snapshot, trained: TrainedModel, work: Path) -> Evaluation:
    """Scores what was logged, judges the gates and records metrics, plots and report; safe to repeat (P2).

    Raises: Mistakes for a metric the task does not have; DataError; ModelUnusable.
    """
    task = task_of(recipe)
    mistakes = check_evaluation(recipe, task)
    if mistakes:
        raise Mistakes(mistakes)
    model = scoring.load(trained.model_uri, work / "model")
    judgement = judged(recipe, snapshot, task, model, work)
    runs.log_metrics(run_id, run_metrics(judgement.evaluation))
    return judgement.evaluation


def judged(recipe: Recipe, snapshot: Snapshot, task: Task, model: scoring.Scorer, work: Path) -> Judgement:
    """Returns: model, baseline and champion on the same rows, and the gates."""
    champion = scoring.load_champion(recipe, work)
    wanted = {*columns.features(recipe.data, snapshot.columns), *model.columns}
    wanted |= set(champion.scorer.columns) if champion and champion.scorer else set()
    test = holdout.read(recipe, snapshot, wanted)
    answer = scoring.challenger_answer(model, test.frame, task, test.training_classes)
    rival = scoring.champion_answer(recipe, champion, test.frame, task, test.training_classes)
    theirs = rival.classes if isinstance(rival, Answer) else ()
    truth = test.truth(recipe.data.target, task, answer.classes, theirs)
    challenger = _judged(truth, answer.coded(truth.classes))
    contest = Contest(
        truth,
        primary(recipe, task, challenger.metrics),
        challenger,
        _judged(truth, test.baseline(truth)),
        _judged_champion(truth, champion, rival),
    )
    return Judgement(test, contest, _evaluation(recipe, task, contest))


def _judged(truth: Truth, predictions: Predictions, version: str | None = None) -> Judged:
    return Judged(score(truth, predictions), predictions, version)


def _judged_champion(truth: Truth, champion: scoring.Champion | None, rival: Answer | str | None) -> Judged | None:
    if champion is None:
        return None
    if isinstance(rival, Answer):
        return _judged(truth, rival.coded(truth.classes), champion.version)
    return Judged(version=champion.version, trouble=str(rival))


def _evaluation(recipe: Recipe, task: Task, contest: Contest) -> Evaluation:
    champion = contest.champion
    return Evaluation(
        task=task,
        primary=contest.primary,
        metrics=dict(contest.model.metrics),
        baseline_metrics=dict(contest.baseline.metrics),
        champion_metrics=dict(champion.metrics) if champion and not champion.trouble else None,
        champion_version=champion.version if champion else None,
        gates=judge(recipe.gates, contest),
    )


def run_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Returns: the test metrics under the names they have in the run: the model's own without a prefix."""
    prefixed = (
        ("", evaluation.metrics),
        (names.PREFIX_BASELINE, evaluation.baseline_metrics),
        (names.PREFIX_CHAMPION, evaluation.champion_metrics or {}),
    )
    return {prefix + name: value for prefix, metrics in prefixed for name, value in metrics.items()}
