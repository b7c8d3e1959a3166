"""Where short names are looked up: `wine` stands for recipes/wine.yaml, `stack` for settings/profiles/stack.yaml.

First in the working folder: a team's own files win over samples, and `.env` and MLflow's default store are there as well.
Then in the project that ONERUN_HOME names, where a worker runs its flows. Last in the checkout that this code runs
from; an installed package has none. Parent folders are not searched: on a shared machine, those of somebody else
could slip in a recipe, and a recipe names programs that are run.
"""

import os
from collections.abc import Iterator
from pathlib import Path

HOME = "ONERUN_HOME"
_SOURCE = Path(__file__).parents[2]
SUFFIXES = (".yaml", ".yml")


def projects() -> Iterator[Path]:
    """Yield the folders that may hold recipes/, policies/ and settings/profiles/, those to prefer first."""
    yield Path()
    if home := os.environ.get(HOME):
        yield Path(home)
    if (_SOURCE / "pyproject.toml").is_file():
        yield _SOURCE


def find(folder: str, name: str) -> Path | None:
    """Return the YAML file that `name` stands for in the first project whose `folder` has one.

    Raises: OSError, ValueError when `name` can be the name of no file.
    """
    candidates = (each / folder / f"{name}{suffix}" for each in projects() for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def known(folder: str) -> list[Path]:
    """Return the YAML files in `folder` of all projects."""
    return [path for each in projects() for path in sorted((each / folder).glob("*.y*ml"))]


def missing_from_here(folder: str, name: str) -> str:
    """Return what to add to "no such ...": the parent folder that has it, or an empty string."""
    for parent in Path.cwd().parents:
        if (parent / folder / f"{name}.yaml").is_file():
            return f"; {parent} has one: start there, or set {HOME} to it"
    return ""
