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
TELL_THEIR_TASK = (
    "sklearn.",
    "lightgbm.",
    "xgboost.",
)  # what is no regressor or classifier there groups or ranks
Task = Literal["regression", "classification"]


def check_model(recipe: Recipe) -> list[Mistake]:
    """Return every mistake in `model` and what hangs on it; an empty list when the estimator can be made."""
    if recipe.model is None:
        return []
    try:
        estimator_class = estimator_type(recipe.model.estimator)
    except Mistakes as mistakes:
        return list(mistakes.mistakes)
    wrong = _wrong_names(recipe.model.estimator, estimator_class, recipe.model.params)
    return (
        wrong or _wrong_values(recipe, estimator_class) or _wrong_company(recipe, estimator_class)
    )


def estimator_type(path: str) -> type:
    """Return the class at an import path. Raises: Mistakes when it is outside the prefixes or no estimator."""
    if not path.startswith(PREFIXES):
        allowed = ", ".join(f"{prefix}*" for prefix in PREFIXES)
        raise _mistake("model.estimator", f"{path} is not among the allowed estimators: {allowed}")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        library = path.partition(".")[0]
        hint = f"; is {library} installed? (pip install {library})" if error.name == library else ""
        raise _mistake("model.estimator", f"cannot import {module_name}: {error}{hint}") from error
    found = getattr(module, name, None)
    if found is None:
        near = did_you_mean(name, [known for known in dir(module) if not known.startswith("_")])
        raise _mistake("model.estimator", f"{module_name} has no {name}{near}")
    if not inspect.isclass(found) or not all(
        hasattr(found, method) for method in ("fit", "predict", "get_params")
    ):
        raise _mistake(
            "model.estimator",
            f"{path} is not an estimator: a class with fit, predict and get_params",
        )
    if inspect.isabstract(found):
        raise _mistake(
            "model.estimator", f"{path} is only the base of others; name one that can be fitted"
        )
    return found


def make_estimator(recipe: Recipe) -> tuple[Any, dict[str, Any]]:
    """Return the unfitted estimator, and what was added to the recipe's parameters: the seed, when it takes one."""
    assert recipe.model is not None
    estimator_class, given = estimator_type(recipe.model.estimator), recipe.model.params
    seeded = set(aliases_of(recipe.model.estimator, "random_state")) & set(given)
    takes_seed = "random_state" in estimator_class(**given).get_params()
    added = {"random_state": recipe.split.seed} if takes_seed and not seeded else {}
    return estimator_class(**given, **added), added


def task_of(recipe: Recipe) -> Task:
    """Return what is predicted. Raises: Mistakes when neither the estimator nor the recipe tells."""
    found = None if recipe.model is None else _task_of_type(estimator_type(recipe.model.estimator))
    task = recipe.task or found
    if task is None:
        raise _mistake(
            "task", "cannot be read from the estimator; write regression or classification"
        )
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
    return "regression" if issubclass(estimator_class, RegressorMixin) else None


def _wrong_names(path: str, estimator_class: type, params: dict[str, Any]) -> list[Mistake]:
    known, own = (
        _parameter_names(path, estimator_class),
        inspect.signature(estimator_class).parameters,
    )
    return [  # an alias may be nearer, but the estimator's own name is what people look for
        Mistake(
            f"model.params.{name}",
            f"not a parameter of {path}{did_you_mean(name, own) or did_you_mean(name, known)}",
        )
        for name in params
        if name not in known
    ]


def _parameter_names(path: str, estimator_class: type) -> set[str]:
    parameters = inspect.signature(estimator_class).parameters.values()
    names = {
        parameter.name
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    if path.startswith("lightgbm."):
        from lightgbm.basic import _ConfigAliases

        names |= {
            name
            for main, others in _ConfigAliases._get_all_param_aliases().items()
            for name in (main, *others)
        }
    elif len(names) < len(
        parameters
    ):  # **kwargs: the instance knows its parameters better than its signature
        names |= set(estimator_class().get_params())
    return names


def _wrong_values(recipe: Recipe, estimator_class: type) -> list[Mistake]:
    """scikit-learn estimators can check their own parameter values without data."""
    assert recipe.model is not None
    needed = _missing_parts(estimator_class, recipe.model.params)
    if needed:
        text = f"{recipe.model.estimator} is made of other estimators ({needed}), which a recipe cannot give it"
        return [
            Mistake(
                "model.estimator",
                f"{text}; name the one inside, or train it with train.run_in: command",
            )
        ]
    try:
        estimator = estimator_class(**recipe.model.params)
        if hasattr(estimator, "_parameter_constraints"):
            estimator._validate_params()
    except (TypeError, ValueError) as error:
        return [Mistake("model.params", f"{recipe.model.estimator} refuses them: {error}")]
    return []


def _missing_parts(estimator_class: type, params: dict[str, Any]) -> str:
    """Return parameters without a default that are not given. Scikit-learn's have defaults, but for estimators."""
    signature = inspect.signature(estimator_class).parameters.values()
    needed = [
        p.name for p in signature if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    return ", ".join(name for name in needed if name not in params)


def _wrong_company(recipe: Recipe, estimator_class: type) -> list[Mistake]:
    """The estimator against the rest of the recipe."""
    assert recipe.model is not None
    path, found, mistakes = recipe.model.estimator, _task_of_type(estimator_class), []
    if found is None and path.startswith(TELL_THEIR_TASK):
        return [
            Mistake(
                "model.estimator",
                f"{path} is neither a regressor nor a classifier; name one that is",
            )
        ]
    if found is None and recipe.task is None:
        mistakes.append(
            Mistake("task", f"cannot be read from {path}; write regression or classification")
        )
    if found and recipe.task and found != recipe.task:
        mistakes.append(
            Mistake(
                "task",
                f"{path} is for {found}, not {recipe.task}; change the task or the estimator",
            )
        )
    if recipe.model.early_stopping and not path.startswith(EARLY_STOPPING):
        mistakes.append(
            Mistake(
                "model.early_stopping",
                f"works with lightgbm and xgboost, not with {path}; remove it",
            )
        )
    native = recipe.preprocess is not None and recipe.preprocess.categorical.encode == "native"
    if native and not path.startswith(NATIVE_CATEGORIES):
        text = f"{path} has no categories of its own; use onehot or ordinal"
        mistakes.append(Mistake("preprocess.categorical.encode", text))
    return mistakes


def _mistake(key: str, message: str) -> Mistakes:
    return Mistakes([Mistake(key, message)])
