"""The files of a new project. The Prefect half and the samples are this repository's own, so no second copy can differ.

In the installed package they are below onerun/_template, where the build put them (pyproject.toml); in a checkout they
are where they are used. What only a new project needs, such as its README, is a text in texts/.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from onerun.version import __version__

PACKAGE = Path(__file__).parents[1]
TEXTS = Path(__file__).parent / "texts"
SAMPLE = "breast-cancer"  # the recipe that a project begins with
SAMPLES = (
    f"recipes/{SAMPLE}.yaml",
    "recipes/recipe.schema.json",
    "policies",
    "settings/profiles",
    ".env.example",
    ".gitignore",
)
PREFECT_HALF = ("flows", "tasks", "settings", "deployments", "prefect.yaml")
FOR_PREFECT_ONLY = ("Dockerfile", ".dockerignore")  # of the texts


def source() -> Path:
    """Return the folder that holds the Prefect half and the samples."""
    packed = PACKAGE / "_template"
    return packed if packed.is_dir() else PACKAGE.parent


def write(folder: Path, name: str, prefect: bool) -> None:
    """Write the project called `name` into an empty folder.

    Args:
        prefect: with flows, tasks, deployments and what else Prefect needs.
    """
    root = source()
    ignore = shutil.ignore_patterns(*_ignored_by_git(root))
    for part in (*SAMPLES, *(PREFECT_HALF if prefect else ())):
        _copy(root / part, folder / part, ignore)
    if prefect:
        _edit(folder / "prefect.yaml", lambda text: _without_other_recipes(_named(text, name)))
        _edit(
            folder / "deployments" / "compose.yaml",
            lambda text: _named(text, name).replace("onerun:local", f"{name}:local"),
        )
    for text in sorted(path for path in TEXTS.rglob("*.jinja") if path.is_file()):
        target = text.relative_to(TEXTS).with_suffix("")
        if prefect or str(target) not in FOR_PREFECT_ONLY:
            _render(text, folder / target, {"name": name, "prefect": prefect})


def files(folder: Path) -> list[str]:
    """Return the files below the folder, relative to it, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _copy(origin: Path, target: Path, ignore: Callable[[Any, list[str]], Iterable[str]]) -> None:
    """Copy a file or a folder, with the modes and times of a new file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        shutil.copytree(
            origin, target, ignore=ignore, copy_function=shutil.copyfile, dirs_exist_ok=True
        )
    else:
        shutil.copyfile(origin, target)


def _ignored_by_git(root: Path) -> list[str]:
    """Return names and patterns of what stays behind: caches, and credentials that lie in a checkout."""
    lines = (root / ".gitignore").read_text("utf-8").splitlines()
    return [line.strip("/") for line in lines if line and not line.startswith("#")]


def _edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text("utf-8")), "utf-8")


def _named(text: str, name: str) -> str:
    """Return the YAML of a project of this name."""
    return re.sub(r"(?m)^name: .*$", f"name: {name}", text, count=1)


def _without_other_recipes(text: str) -> str:
    """Return prefect.yaml with one training, that of the sample."""
    head, *entries = re.split(r"(?m)^(?=  - <<: )", text)
    recipes = [re.search(r"parameters: \{recipe: ([^},]+)\}", entry) for entry in entries]
    kept = [
        entry
        for entry, recipe in zip(entries, recipes, strict=True)
        if recipe is None or recipe[1] == SAMPLE
    ]
    return "".join([head, *kept])


def _render(text: Path, target: Path, values: dict[str, Any]) -> None:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    major, minor = (int(part) for part in __version__.split(".")[:2])
    rendered = environment.from_string(text.read_text("utf-8")).render(
        **values, version=__version__, sample=SAMPLE, next_version=f"{major}.{minor + 1}"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(rendered, "utf-8")
