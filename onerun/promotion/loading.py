"""Loading a registered model by its name, and an alias or a version."""

from typing import Any

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.tracking.models import load_model
from onerun.tracking.registry import has_version, version_of_alias
from onerun.tracking.runs import client

MOST_NAMES = 1000  # registered models among which the near miss is looked for


def load_version(model: str, alias: str, version: str | None) -> Any:
    """Return what MLflow makes of the version: of that number, or the one that the alias points at.

    Raises: Mistakes when there is no such model, version or alias, with what there is.
    """
    number = version or version_of_alias(model, alias)
    if number is None or not has_version(model, number):
        raise Mistakes([_missing(model, alias, version)])
    return load_model(f"models:/{model}/{number}")


def _missing(model: str, alias: str, version: str | None) -> Mistake:
    """Return what is missing: the model, the version, or the alias."""
    names = [found.name for found in client().search_registered_models(max_results=MOST_NAMES)]
    if model not in names:
        near = did_you_mean(model, names) or "; nothing is registered yet" * (not names)
        return Mistake("model", f"no registered model is called {model!r}{near}")
    if version is not None:
        return Mistake("version", f"{model} has no version {version}")
    known = client().get_registered_model(model).aliases
    listed = ", ".join(f"{name} (version {number})" for name, number in sorted(known.items()))
    has = f"its aliases: {listed}" if listed else "it has no alias: no version was promoted yet"
    return Mistake("alias", f"{model} has no alias {alias!r}; {has}")
