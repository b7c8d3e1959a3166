"""Estimators by import path: which ones are allowed, what parameters they take, what they predict.

Only the estimator's own library is imported, and only when one of these functions is called.
"""

import importlib
import inspect
from typing import Any, Literal

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.config.recipe import Recipe

PREFIXES = ("sklearn.", "lightgbm.", "xgboost.", "catboost.")
NATIVE_CATEGORIES = ("lightgbm.", "xgboost.", "sklearn.ensemble.HistGradientBoosting")
EARLY_STOPPING = ("lightgbm.", "xgboost.")
# their estimators that are neither regressors nor classifiers group or rank
STATE_THEIR_TASK = ("sklearn.", "lightgbm.", "xgboost.")
Task = Literal["regression", "classification"]


def check_model(recipe: Recipe) -> list[Mistake]:
    """Return every mistake in `model` and the sections that depend on it; empty when the estimator
    can be made.
    """
    if recipe.model is None:
        return []
    try:
        estimator_class = estimator_type(recipe.model.estimator)
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    wrong = _wrong_names(recipe.model.estimator, estimator_class, recipe.model.params)
    wrong = wrong or _wrong_values(recipe, estimator_class)
    return wrong or _wrong_combination(recipe, estimator_class)


def estimator_type(path: str) -> type:
    """Return the class at an import path.

    Raises:
        Mistakes: It is outside the prefixes, or not an estimator.
    """
    if not path.startswith(PREFIXES):
        allowed = ", ".join(f"{prefix}*" for prefix in PREFIXES)
        raise _mistake("model.estimator", f"{path} is not among the allowed estimators: {allowed}")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        library = path.partition(".")[0]
        hint = ""
        if error.name == library:
            hint = f"; is {library} installed? (pip install {library})"
        raise _mistake("model.estimator", f"cannot import {module_name}: {error}{hint}") from error
    found = getattr(module, name, None)
    if found is None:
        near = did_you_mean(name, [known for known in dir(module) if not known.startswith("_")])
        raise _mistake("model.estimator", f"{module_name} has no {name}{near}")
    methods = [hasattr(found, method) for method in ("fit", "predict", "get_params")]
    if not inspect.isclass(found) or not all(methods):
        reason = f"{path} is not an estimator: a class with fit, predict and get_params"
        raise _mistake("model.estimator", reason)
    if inspect.isabstract(found):
        reason = f"{path} is only the base of others; name one that can be fitted"
        raise _mistake("model.estimator", reason)
    return found


def make_estimator(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Return the unfitted estimator, and what was added to the recipe's parameters: the seed, if it
    takes one.
    """
    assert recipe.model is not None
    estimator_class, given = estimator_type(recipe.model.estimator), recipe.model.params
    seeded = set(aliases_of(recipe.model.estimator, "random_state")) & set(given)
    added = {}
    if "random_state" in estimator_class(**given).get_params() and not seeded:
        added["random_state"] = recipe.split.seed
    return estimator_class(**given, **added), added


def task_of(recipe: Recipe) -> Task:
    """Return what is predicted.

    Raises:
        Mistakes: Neither the estimator nor the recipe states it.
    """
    found = None
    if recipe.model is not None:
        found = _task_of_type(estimator_type(recipe.model.estimator))
    task = recipe.task or found
    if task is None:
        reason = "cannot be inferred from the estimator; write regression or classification"
        raise _mistake("task", reason)
    return task


def aliases_of(path: str, parameter: str) -> list[str]:
    """Return `parameter` and every other name the library has for it."""
    if not path.startswith("lightgbm."):
        return [parameter]
    from lightgbm.basic import _ConfigAliases  # LightGBM publishes its parameter names nowhere else

    return sorted(_ConfigAliases.get_by_alias(parameter))


def _task_of_type(estimator_class: type) -> Task | None:
    from sklearn.base import ClassifierMixin, RegressorMixin

    if issubclass(estimator_class, ClassifierMixin):
        return "classification"
    if issubclass(estimator_class, RegressorMixin):
        return "regression"
    return None


def _wrong_names(path: str, estimator_class: type, params: dict[str, Any]) -> list[Mistake]:
    known = _parameter_names(path, estimator_class)
    own = inspect.signature(estimator_class).parameters
    mistakes = []
    for name in params:
        if name not in known:
            # an alias may be nearer, but the estimator's own name is what people look for
            near = did_you_mean(name, own) or did_you_mean(name, known)
            mistakes.append(Mistake(f"model.params.{name}", f"not a parameter of {path}{near}"))
    return mistakes


def _parameter_names(path: str, estimator_class: type) -> set[str]:
    parameters = inspect.signature(estimator_class).parameters.values()
    names = {each.name for each in parameters if each.kind is not each.VAR_KEYWORD}
    if path.startswith("lightgbm."):
        from lightgbm.basic import _ConfigAliases

        for name, aliases in _ConfigAliases._get_all_param_aliases().items():
            names |= {name, *aliases}
    elif len(names) < len(parameters):
        # **kwargs: the instance knows its parameters better than its signature
        names |= set(estimator_class().get_params())
    return names


def _wrong_values(recipe: Recipe, estimator_class: type) -> list[Mistake]:
    """Return the mistakes in parameter values; scikit-learn's estimators can check theirs without
    data.
    """
    assert recipe.model is not None
    needed = _missing_parts(estimator_class, recipe.model.params)
    if needed:
        reason = (
            f"{recipe.model.estimator} is made of other estimators ({needed}), which a recipe "
            "cannot give it; name the one inside, or train it with train.run_in: command"
        )
        return [Mistake("model.estimator", reason)]
    try:
        estimator = estimator_class(**recipe.model.params)
        if hasattr(estimator, "_parameter_constraints"):
            estimator._validate_params()
    except (TypeError, ValueError) as error:
        return [Mistake("model.params", f"{recipe.model.estimator} refuses them: {error}")]
    return []


def _missing_parts(estimator_class: type, params: dict[str, Any]) -> str:
    """Return the parameters without a default that are not given: in scikit-learn these are
    estimators.
    """
    signature = inspect.signature(estimator_class).parameters.values()
    needed = [
        p.name for p in signature if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    return ", ".join(name for name in needed if name not in params)


def _wrong_combination(recipe: Recipe, estimator_class: type) -> list[Mistake]:
    """Return the mistakes between the estimator and the rest of the recipe."""
    assert recipe.model is not None
    path, found = recipe.model.estimator, _task_of_type(estimator_class)
    mistakes: list[Mistake] = []
    if found is None and path.startswith(STATE_THEIR_TASK):
        reason = f"{path} is neither a regressor nor a classifier; name one that is"
        return [Mistake("model.estimator", reason)]
    if found is None and recipe.task is None:
        reason = f"cannot be inferred from {path}; write regression or classification"
        mistakes.append(Mistake("task", reason))
    if found and recipe.task and found != recipe.task:
        reason = f"{path} is for {found}, not {recipe.task}; change the task or the estimator"
        mistakes.append(Mistake("task", reason))
    if recipe.model.early_stopping and not path.startswith(EARLY_STOPPING):
        reason = f"works with lightgbm and xgboost, not with {path}; remove it"
        mistakes.append(Mistake("model.early_stopping", reason))
    native = recipe.preprocess is not None and recipe.preprocess.categorical.encode == "native"
    if native and not path.startswith(NATIVE_CATEGORIES):
        reason = f"{path} has no categories of its own; use onehot or ordinal"
        mistakes.append(Mistake("preprocess.categorical.encode", reason))
    return mistakes


def _mistake(key: str, message: str) -> Mistakes:
    return Mistakes([Mistake(key, message)])
