"""Model, baseline and champion on the same test rows, and the results of the gates."""

from dataclasses import dataclass, replace
from pathlib import Path

from onerun.config.recipe import Recipe
from onerun.domain import columns
from onerun.domain.estimators import Task
from onerun.domain.gates import Comparison, Scored, check_gates, primary
from onerun.domain.metrics import score
from onerun.domain.predictions import Predictions, TrueValues
from onerun.domain.references import Evaluation, Snapshot
from onerun.evaluation import holdout, scorers
from onerun.evaluation.holdout import Holdout
from onerun.evaluation.scorers import ChampionOutput, Scorer
from onerun.processes.cores import threads_for


@dataclass(frozen=True)
class HoldoutResult:
    """The test rows, the model that was scored on them, and how it compares."""

    test: Holdout
    model: Scorer
    comparison: Comparison
    evaluation: Evaluation


def compare(
    recipe: Recipe, snapshot: Snapshot, task: Task, model_uri: str, work: Path
) -> HoldoutResult:
    """Score model, baseline and champion on the same rows, and check the gates."""
    features = columns.features(recipe.data, snapshot.columns)
    model = scorers.load(model_uri, work / "model", features)
    champion = scorers.load_champion(recipe, snapshot, work, features)
    needed = {*model.columns}
    if champion and champion.scorer:
        needed |= {*champion.scorer.columns}
    test = holdout.read(recipe, snapshot, needed)
    known = test.classes(task)
    champions = None
    with threads_for(test.frame.size):
        output = scorers.predict_challenger(model, test.frame, task, known)
        if champion is not None:
            champions = scorers.predict_champion(recipe, champion, test.frame, task, known)
    y_true = test.true_values(
        recipe.data.target,
        task,
        output.classes,
        champions.output.classes if champions and champions.output else (),
    )
    challenger = _score(y_true, output.coded(y_true.classes))
    comparison = Comparison(
        y_true=y_true,
        primary=primary(recipe, task, challenger.metrics),
        model=challenger,
        baseline=_score(y_true, test.baseline(y_true)),
        champion=_score_champion(y_true, champions) if champions else None,
    )
    return HoldoutResult(test, model, comparison, _evaluation(recipe, task, comparison))


def _score(y_true: TrueValues, predictions: Predictions) -> Scored:
    return Scored(score(y_true, predictions), predictions)


def _score_champion(y_true: TrueValues, champions: ChampionOutput) -> Scored:
    champion = champions.champion
    if champions.output is None:
        return Scored(version=champion.version, trouble=champions.trouble)
    scored = _score(y_true, champions.output.coded(y_true.classes))
    return replace(scored, version=champion.version, caveat=champion.caveat)


def _evaluation(recipe: Recipe, task: Task, comparison: Comparison) -> Evaluation:
    version, champion_metrics = None, None
    if comparison.champion is not None:
        version = comparison.champion.version
        if not comparison.champion.trouble:
            champion_metrics = dict(comparison.champion.metrics)
    return Evaluation(
        task=task,
        primary=comparison.primary,
        metrics=dict(comparison.model.metrics),
        baseline_metrics=dict(comparison.baseline.metrics),
        champion_metrics=champion_metrics,
        champion_version=version,
        gates=check_gates(recipe.gates, comparison),
    )
