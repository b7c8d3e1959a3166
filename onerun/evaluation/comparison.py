"""Model, baseline and champion on the same test rows, and what the gates make of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from onerun.config.recipe import Recipe
from onerun.domain import columns
from onerun.domain.estimators import Task
from onerun.domain.gates import Comparison, Scored, check_gates, primary
from onerun.domain.metrics import score
from onerun.domain.predictions import ModelOutput, Predictions, TrueValues
from onerun.domain.references import Evaluation, Snapshot
from onerun.evaluation import holdout, scorers
from onerun.evaluation.holdout import Holdout
from onerun.evaluation.scorers import Scorer


@dataclass(frozen=True)
class HoldoutResult:
    """Who said what about which rows, and how good that was."""

    test: Holdout
    model: Scorer
    contest: Comparison
    evaluation: Evaluation


def compare(
    recipe: Recipe, snapshot: Snapshot, task: Task, model_uri: str, work: Path
) -> HoldoutResult:
    """Return model, baseline and champion on the same rows, and the gates."""
    features = columns.features(recipe.data, snapshot.columns)
    model = scorers.load(model_uri, work / "model", features)
    champion = scorers.load_champion(recipe, snapshot, work, features)
    theirs = champion.scorer.columns if champion and champion.scorer else []
    test = holdout.read(recipe, snapshot, {*model.columns, *theirs})
    known = test.classes(task)
    answer = scorers.predict_challenger(model, test.frame, task, known)
    rival = scorers.predict_champion(recipe, champion, test.frame, task, known)
    others = rival.classes if isinstance(rival, ModelOutput) else ()
    y_true = test.true_values(recipe.data.target, task, answer.classes, others)
    challenger = _judged(y_true, answer.coded(y_true.classes))
    contest = Comparison(
        y_true,
        primary(recipe, task, challenger.metrics),
        challenger,
        _judged(y_true, test.baseline(y_true)),
        _judged_champion(y_true, champion, rival),
    )
    return HoldoutResult(test, model, contest, _evaluation(recipe, task, contest))


def _judged(y_true: TrueValues, predictions: Predictions, version: str | None = None) -> Scored:
    return Scored(score(y_true, predictions), predictions, version)


def _judged_champion(
    y_true: TrueValues, champion: scorers.Champion | None, rival: ModelOutput | str | None
) -> Scored | None:
    if champion is None:
        return None
    if isinstance(rival, ModelOutput):
        return replace(
            _judged(y_true, rival.coded(y_true.classes), champion.version), caveat=champion.caveat
        )
    return Scored(version=champion.version, trouble=str(rival))


def _evaluation(recipe: Recipe, task: Task, contest: Comparison) -> Evaluation:
    champion = contest.champion
    return Evaluation(
        task=task,
        primary=contest.primary,
        metrics=dict(contest.model.metrics),
        baseline_metrics=dict(contest.baseline.metrics),
        champion_metrics=dict(champion.metrics) if champion and not champion.trouble else None,
        champion_version=champion.version if champion else None,
        gates=check_gates(recipe.gates, contest),
    )
