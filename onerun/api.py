"""The Python interface: `onerun.train(...)` in a script or a notebook, `onerun.load(...)` for the champion."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import Profile, load_profile

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from onerun.engine.result import TrainingResult

Overrides = Mapping[str, Any] | Sequence[str]


def train(
    recipe: str | Path | Mapping[str, Any],
    *,
    overrides: Overrides = (),
    data: str | Path | None = None,
    profile: str | None = None,
    resume: str | None = None,
    quiet: bool = False,
) -> "TrainingResult":
    """Take a recipe's data to a promoted model, in this process and without Prefect.

    The stages are printed while they run and the result at the end, as `onerun train` does. Environment variables are as
    before when this returns; nothing is sent anywhere but to the stores that the profile names.

    Args:
        recipe: a YAML file, the name of a recipe in `recipes/`, YAML text, or its keys and values.
        overrides: `{"split.seed": 7}`, or `["split.seed=7"]` as on the command line, for any key of the recipe.
        data: stands in for the recipe's `data.source`.
        profile: where it runs: the name of a profile in `settings/profiles/`, or a file.
        resume: the id of a run that failed or died: goes on after its last finished stage, in the same run.
        quiet: print nothing.
    Raises: Mistakes (what was asked cannot be done; nothing was written), OnerunError (a stage failed), or what a library
        raised; the run has ended by then.
    """
    from onerun.commands.outcome import outcome_lines
    from onerun.commands.terminal import QUIET, Terminal
    from onerun.engine.alone import train_alone
    from onerun.engine.events import ignore
    from onerun.engine.request import resolve

    with _environment_restored():
        for variable, value in QUIET.items():
            os.environ.setdefault(variable, value)
        request = resolve(
            str(recipe) if isinstance(recipe, Path) else recipe,
            load_profile(profile),
            _as_typed(overrides),
            None if data is None else str(data),
        )
        terminal = Terminal(sys.stdout)
        result = train_alone(request, resume=resume, observer=ignore if quiet else terminal.show)
        if not quiet:
            for line in outcome_lines(result, result.links()):
                terminal.say(line)
    return result


def load(
    model: str,
    *,
    alias: str = "champion",
    version: str | int | None = None,
    profile: str | None = None,
) -> "PyFuncModel":
    """Load a registered model: the version that the alias points at, or the one of that number.

    It is a plain MLflow model: `.predict(frame)` takes a raw pandas table, with missing values and unseen categories.

    Args:
        model: the name of the registered model.
        profile: where it is registered: the name of a profile in `settings/profiles/`, or a file.
    Raises: Mistakes when there is no such model, alias or version.
    """
    with _environment_restored():
        chosen = load_profile(profile)
        _need_store(chosen)
        chosen.apply()
        from onerun.promotion.loading import load_version

        number = None if version is None else str(version)
        loaded: PyFuncModel = load_version(model, alias, number)
        return loaded


def _need_store(profile: Profile) -> None:
    """Raise Mistakes where an SQLite file was never made: looking must not make it."""
    variables = profile.variables()
    uri = variables.get("MLFLOW_REGISTRY_URI") or variables["MLFLOW_TRACKING_URI"]
    file = uri.partition(":///")[2] if uri.startswith("sqlite") else ""
    if file and not Path(file).exists():
        message = f"{file} does not exist: nothing was registered there yet"
        raise Mistakes([Mistake("MLFLOW_TRACKING_URI", message)])


def _as_typed(overrides: Overrides) -> list[str]:
    """Return overrides as on the command line."""
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
    return list(overrides)


@contextlib.contextmanager
def _environment_restored() -> Iterator[None]:
    """A command may set variables for good; a caller's process keeps its own."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
