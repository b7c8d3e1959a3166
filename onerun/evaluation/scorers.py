"""Logged models and their predictions of the test rows: what was logged, not what the training had
in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from onerun.config.recipe import Recipe
from onerun.domain import gates, names, predictions
from onerun.domain.errors import ModelUnusable, OnerunError, TransientError
from onerun.domain.estimators import Task
from onerun.domain.predictions import Classes, ModelOutput
from onerun.domain.predictor import Predictor
from onerun.domain.references import Snapshot
from onerun.tracking import models, registry
from onerun.tracking.runs import client, params_and_tags


@dataclass(frozen=True)
class Scorer:
    """A loaded model. A predictor is called directly: MLflow checks types value by value, which
    takes seconds.
    """

    columns: list[str]  # its input: the columns that its signature names, else all features
    predictor: Predictor | None  # None: the model was not made by onerun
    served: Any = None  # MLflow's PyFuncModel, where there is no predictor

    def answer(self, frame: pd.DataFrame, task: Task, known: Classes) -> ModelOutput:
        """Return the model's output for raw rows.

        Args:
            frame: (n, columns).
            task: Of the recipe.
            known: The classes of the training part.

        Raises:
            ModelUnusable: The model does not fit the table or the task.
        """
        missing = [name for name in self.columns if name not in frame]
        if missing:
            raise ModelUnusable(
                f"it needs columns that this table does not have: {', '.join(missing[:10])}"
            )
        if self.predictor is None:
            return _foreign_output(self.served, _plain(frame[self.columns]), task, known)
        if self.predictor.spec["task"] != task:
            raise ModelUnusable(
                f"it was trained for {self.predictor.spec['task']}, and this is {task}"
            )
        if task == "regression":
            return predictions.numeric_output(self.predictor.predict_frame(frame), len(frame))
        classes, booster = tuple(self.predictor.classes or ()), self.predictor.spec["booster"]
        if not (booster or hasattr(self.predictor.estimator, "predict_proba")):
            return ModelOutput(self.predictor.predict_frame(frame), classes=classes)
        probabilities = self.predictor.predict_frame(frame, probabilities=True)
        labels = None
        if not booster:  # an SVC's labels are not always the likeliest ones
            labels = self.predictor.predict_frame(frame)
        return predictions.probability_output(probabilities, classes, labels)


@dataclass(frozen=True)
class Champion:
    """The version that the alias points at."""

    version: str
    scorer: Scorer | None  # None: it could not be loaded
    trouble: str = ""  # why not, and what to do
    caveat: str = ""  # why it may look better than it is


@dataclass(frozen=True)
class ChampionOutput:
    """The champion's output for the test rows, or why it is missing."""

    champion: Champion
    output: ModelOutput | None
    trouble: str = ""


def load(model_uri: str, work: Path, features: list[str]) -> Scorer:
    """Load the model at the address, without a copy when it is local; `features` are the
    recipe's.
    """
    folder = models.fetch_model(model_uri, work)
    predictor = models.load_predictor(folder)
    if predictor is not None:
        return Scorer([column["name"] for column in predictor.encoder.columns], predictor)
    served = models.load_model(str(folder))
    schema = served.metadata.get_input_schema()
    if schema is not None and schema.has_input_names():
        return Scorer(list(schema.input_names()), None, served)
    return Scorer(features, None, served)


def load_champion(
    recipe: Recipe, snapshot: Snapshot, work: Path, features: list[str]
) -> Champion | None:
    """Load the holder of the alias that the recipe promotes to; None before the first promotion."""
    version = registry.version_of_alias(recipe.model_name, recipe.promote.alias)
    if version is None:
        return None
    try:
        found = client().get_model_version(recipe.model_name, version)
        source = str(found.source)  # local, where it was logged here
        caveat = _caveat(recipe, snapshot, found.run_id)
        scorer = load(source, work / f"champion-{version}", features)
        return Champion(version, scorer, caveat=caveat)
    except TransientError:
        raise
    except Exception as error:  # noqa: BLE001  loading runs foreign code, which may raise anything
        return Champion(version, None, champion_failure(recipe, version, error))


def _caveat(recipe: Recipe, snapshot: Snapshot, run_id: str | None) -> str:
    if not run_id:
        return ""
    params, tags = params_and_tags(run_id)
    return gates.overlap_caveat(
        recipe.data,
        recipe.split,
        digest=snapshot.digest,
        params=params,
        champions_digest=tags.get(names.TAG_SNAPSHOT_DIGEST),
    )


def champion_failure(recipe: Recipe, version: str, error: Exception) -> str:
    """Return why the champion could not be scored, and what to do."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, OnerunError):
        reason = str(error)
    reason = " ".join(reason.split())[:500]
    return (
        f"the champion (version {version}) cannot be scored on these rows: {reason}; "
        f"give it what it needs, move the alias {recipe.promote.alias} to a version that works, "
        "or leave the gate out once"
    )


def predict_challenger(
    scorer: Scorer, frame: pd.DataFrame, task: Task, known: Classes
) -> ModelOutput:
    """Return the model's output for the test rows.

    Raises:
        ModelUnusable: Whatever goes wrong inside the model.
    """
    try:
        return scorer.answer(frame, task, known)
    except ModelUnusable:
        raise
    except Exception as error:  # a model of the user's may raise anything
        shown = ", ".join(map(str, frame.columns[:10]))
        raise ModelUnusable(
            f"the logged model cannot predict the test part: {type(error).__name__}: {error}; "
            f"it must take the raw columns ({shown} ...) with missing and unseen values"
        ) from error


def predict_champion(
    recipe: Recipe, champion: Champion, frame: pd.DataFrame, task: Task, known: Classes
) -> ChampionOutput:
    """Return the champion's output, or why it is missing: it may be of another kind or table."""
    if champion.scorer is None:
        return ChampionOutput(champion, None, champion.trouble)
    try:
        output = champion.scorer.answer(frame, task, known)
        output.coded(output.classes)
    except TransientError:
        raise
    except Exception as error:  # noqa: BLE001  the gate reports the reason
        trouble = champion_failure(recipe, champion.version, error)
        return ChampionOutput(champion, None, trouble)
    return ChampionOutput(champion, output)


def _foreign_output(served: Any, frame: pd.DataFrame, task: Task, known: Classes) -> ModelOutput:
    answer = served.predict(frame)
    if task == "regression":
        return predictions.numeric_output(answer, len(frame))
    output = predictions.class_output(answer, len(frame), known)
    if output.probabilities is not None:
        return output
    return _with_probabilities(served, frame, output)


def _with_probabilities(served: Any, frame: pd.DataFrame, output: ModelOutput) -> ModelOutput:
    """Add the probabilities of a scikit-learn model, which serves labels but can give both."""
    try:
        raw = served.get_raw_model()
    except NotImplementedError:
        return output
    if not (hasattr(raw, "predict_proba") and hasattr(raw, "classes_")):
        return output
    try:
        found = np.asarray(raw.predict_proba(frame))
    except Exception:  # noqa: BLE001  it served labels; only metrics of probabilities are missing
        return output
    classes: Sequence[Any] = np.asarray(raw.classes_).tolist()
    return predictions.probability_output(found, tuple(classes), output.values)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return categories as text, as any reader of the table passes them."""
    categories = []
    for name, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.CategoricalDtype):
            categories.append(name)
    return frame.astype(dict.fromkeys(categories, "str"))
