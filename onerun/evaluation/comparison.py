"""Model, baseline and champion on the same test rows, and what the gates make of it."""

from dataclasses import dataclass, replace
from pathlib import Path

from onerun.config.recipe import Recipe
from onerun.domain import columns
from onerun.domain.answers import Answer
from onerun.domain.estimators import Task
from onerun.domain.gates import Contest, Judged, judge, primary
from onerun.domain.metrics import score
from onerun.domain.outcomes import Predictions, Truth
from onerun.domain.references import Evaluation, Snapshot
from onerun.evaluation import holdout, scoring
from onerun.evaluation.holdout import Holdout
from onerun.evaluation.scoring import Scorer


@dataclass(frozen=True)
class Judgement:
    """Who said what about which rows, and how good that was."""

    test: Holdout
    model: Scorer
    contest: Contest
    evaluation: Evaluation


def judged(recipe: Recipe, snapshot: Snapshot, task: Task, model_uri: str, work: Path) -> Judgement:
    """Returns: model, baseline and champion on the same rows, and the gates."""
    features = columns.features(recipe.data, snapshot.columns)
    model = scoring.load(model_uri, work / "model", features)
    champion = scoring.load_champion(recipe, snapshot, work, features)
    theirs = champion.scorer.columns if champion and champion.scorer else []
    test = holdout.read(recipe, snapshot, {*model.columns, *theirs})
    known = test.classes(task)
    answer = scoring.challenger_answer(model, test.frame, task, known)
    rival = scoring.champion_answer(recipe, champion, test.frame, task, known)
    others = rival.classes if isinstance(rival, Answer) else ()
    truth = test.truth(recipe.data.target, task, answer.classes, others)
    challenger = _judged(truth, answer.coded(truth.classes))
    contest = Contest(
        truth,
        primary(recipe, task, challenger.metrics),
        challenger,
        _judged(truth, test.baseline(truth)),
        _judged_champion(truth, champion, rival),
    )
    return Judgement(test, model, contest, _evaluation(recipe, task, contest))


def _judged(truth: Truth, predictions: Predictions, version: str | None = None) -> Judged:
    return Judged(score(truth, predictions), predictions, version)


def _judged_champion(
    truth: Truth, champion: scoring.Champion | None, rival: Answer | str | None
) -> Judged | None:
    if champion is None:
        return None
    if isinstance(rival, Answer):
        return replace(
            _judged(truth, rival.coded(truth.classes), champion.version), caveat=champion.caveat
        )
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
