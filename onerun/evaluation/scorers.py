"""Asks logged models about the test rows: the very thing that was logged, not what the training had in memory."""

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
    """A loaded model. Our own are asked directly: MLflow checks their types value by value, which takes seconds."""

    columns: list[str]  # what it is handed: the columns it says it needs, else all features
    predictor: Predictor | None  # None: the model is of another make
    served: Any = None  # MLflow's PyFuncModel, where there is no predictor

    def answer(self, frame: pd.DataFrame, task: Task, known: Classes) -> ModelOutput:
        """Args: frame: (n, columns) raw; known: the training classes. Raises: ModelUnusable."""
        lacking = [name for name in self.columns if name not in frame]
        if lacking:
            raise ModelUnusable(
                f"it needs columns that this table does not have: {', '.join(lacking[:10])}"
            )
        if self.predictor is None:
            return _foreign_answer(self.served, _plain(frame[self.columns]), task, known)
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
        labels = (
            None if booster else self.predictor.predict_frame(frame)
        )  # an SVC's are not always the likeliest
        return predictions.probability_output(probabilities, classes, labels)


@dataclass(frozen=True)
class Champion:
    """The version that the alias points at: loaded, or in trouble."""

    version: str
    scorer: Scorer | None
    trouble: str = ""
    caveat: str = ""  # why it may look better than it is


def load(model_uri: str, work: Path, features: list[str]) -> Scorer:
    """Return the model behind the address, without a copy when it is local; `features` are the recipe's."""
    folder = models.fetch_model(model_uri, work)
    predictor = models.load_predictor(folder)
    if predictor is not None:
        return Scorer([column["name"] for column in predictor.encoder.columns], predictor)
    served = models.load_model(str(folder))
    schema = served.metadata.get_input_schema()
    named = schema is not None and schema.has_input_names()
    return Scorer(list(schema.input_names()) if named else features, None, served)


def load_champion(
    recipe: Recipe, snapshot: Snapshot, work: Path, features: list[str]
) -> Champion | None:
    """Return the holder of the alias that the recipe promotes to; None when there is none yet."""
    version = registry.version_of_alias(recipe.model_name, recipe.promote.alias)
    if version is None:
        return None
    try:
        found = client().get_model_version(recipe.model_name, version)
        source = str(found.source)  # local, where it was logged here
        caveat = _caveat(recipe, snapshot, found.run_id)
        return Champion(
            version, load(source, work / f"champion-{version}", features), caveat=caveat
        )
    except TransientError:
        raise
    except Exception as error:  # noqa: BLE001  loading runs foreign code, which may raise anything; the gate tells it
        return Champion(version, None, champion_failure(recipe, version, error))


def _caveat(recipe: Recipe, snapshot: Snapshot, run_id: str | None) -> str:
    params, tags = params_and_tags(run_id) if run_id else ({}, {})
    return gates.overlap_caveat(
        recipe.data, recipe.split, snapshot.digest, params, tags.get(names.TAG_SNAPSHOT_DIGEST)
    )


def champion_failure(recipe: Recipe, version: str, error: Exception) -> str:
    """Return why the champion could not be scored, and what to do."""
    kind = "" if isinstance(error, OnerunError) else f"{type(error).__name__}: "
    words = " ".join(f"{kind}{error}".split())[:500]
    return (
        f"the champion (version {version}) cannot be scored on these rows: {words}; give it what it needs, move the "
        f"alias {recipe.promote.alias} to a version that works, or leave the gate out once"
    )


def predict_challenger(
    scorer: Scorer, frame: pd.DataFrame, task: Task, known: Classes
) -> ModelOutput:
    """Raise ModelUnusable, whatever goes wrong inside the model."""
    try:
        return scorer.answer(frame, task, known)
    except ModelUnusable:
        raise
    except (
        Exception
    ) as error:  # a model of the user's runs the user's code, which may raise anything
        raise ModelUnusable(
            f"the logged model cannot predict the test part: {type(error).__name__}: {error}; it must take the raw "
            f"columns ({', '.join(map(str, frame.columns[:10]))} ...) with missing and unseen values"
        ) from error


def predict_champion(
    recipe: Recipe, champion: Champion | None, frame: pd.DataFrame, task: Task, known: Classes
) -> ModelOutput | str | None:
    """Return its answer; or why there is none, in words; None without a champion."""
    if champion is None or champion.scorer is None:
        return champion.trouble if champion else None
    try:
        answer = champion.scorer.answer(frame, task, known)
        answer.coded(answer.classes)
    except TransientError:
        raise
    except Exception as error:  # noqa: BLE001  the champion may be of another make or table; the gate tells the reason
        return champion_failure(recipe, champion.version, error)
    return answer


def _foreign_answer(served: Any, frame: pd.DataFrame, task: Task, known: Classes) -> ModelOutput:
    answered = served.predict(frame)
    if task == "regression":
        return predictions.numeric_output(answered, len(frame))
    answer = predictions.class_output(answered, len(frame), known)
    return (
        answer if answer.probabilities is not None else _with_probabilities(served, frame, answer)
    )


def _with_probabilities(served: Any, frame: pd.DataFrame, answer: ModelOutput) -> ModelOutput:
    """A scikit-learn model serves labels; the estimator itself knows their probabilities."""
    try:
        raw = served.get_raw_model()
    except NotImplementedError:
        return answer
    if not (hasattr(raw, "predict_proba") and hasattr(raw, "classes_")):
        return answer
    try:
        found = np.asarray(raw.predict_proba(frame))
    except Exception:  # noqa: BLE001  it served labels; that it cannot give probabilities costs only their metrics
        return answer
    own: Sequence[Any] = np.asarray(raw.classes_).tolist()
    return predictions.probability_output(found, tuple(own), answer.values)


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return text as text, as any reader of the table hands it in."""
    categories = [
        name for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)
    ]
    return frame.astype(dict.fromkeys(categories, "str"))
