"""`onerun init`: a folder that a team owns, with recipes, policies, profiles, tests and the Prefect half."""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from onerun.commands.command import Command
from onerun.commands.options import OutputOptions, Positional
from onerun.commands.ui import Ui
from onerun.config.mistakes import Mistake, Mistakes

NAME = re.compile(
    r"[a-z]([a-z0-9_-]{0,61}[a-z0-9])?"
)  # what pyproject.toml and container names take
EXPECTED = "lower-case letters, digits, `-` and `_`, beginning with a letter"
SHOWN = 5  # files that are in the way


class InitOptions(OutputOptions):
    """Options of a new project."""

    project: Annotated[str, Positional] = Field(
        description="the folder to make; its last part is the project's name"
    )
    no_prefect: bool = Field(
        False, description="leave out flows, tasks, deployments and prefect.yaml"
    )


class InitResult(BaseModel):
    """What was made.

    project: the folder, absolute. name: the project's. prefect: whether the Prefect half is in it.
    files: what it holds, relative to the folder. next: commands to go on with.
    """

    status: str = "done"
    project: str
    name: str
    prefect: bool
    files: list[str]
    next: list[str]

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        half = "with" if self.prefect else "without"
        yield f"made {self.project}: {len(self.files)} files, {half} the Prefect half"
        yield "next:"
        yield from (f"  {line}" for line in self.next)


def run(options: InitOptions, ui: Ui) -> InitResult:
    """Make the folder, whole or not at all. Raises Mistakes."""
    from onerun.project import template

    folder = Path(options.project).expanduser().resolve()
    _check(folder, options.project)
    prefect = not options.no_prefect
    unfinished = folder.with_name(f".{folder.name}.unfinished-{os.getpid()}")
    try:
        unfinished.mkdir()
        template.write(unfinished, folder.name, prefect)
        unfinished.rename(folder)  # takes the place of an empty folder, of no other
    except BaseException:  # Ctrl-C as well
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    result = InitResult(
        project=str(folder),
        name=folder.name,
        prefect=prefect,
        files=template.files(folder),
        next=_next(options.project, template.SAMPLE, prefect),
    )
    for line in result.lines():
        ui.say(line)
    return result


def _check(folder: Path, given: str) -> None:
    """Raise Mistakes where no project can be made."""
    if folder == Path.cwd():
        message = "is the working folder; name one to make, such as `onerun init my-project`"
    elif folder.name == "onerun":
        message = "cannot be the name of a project: the library is called so"
    elif not NAME.fullmatch(folder.name):
        message = f"cannot be the name of a project{_near(folder.name)}; expected {EXPECTED}"
    elif not folder.parent.is_dir():
        message = f"there is no folder {folder.parent}"
    elif folder.exists() and not folder.is_dir():
        message = "is a file"
    elif folder.exists() and (held := sorted(path.name for path in folder.iterdir())):
        more = f" and {len(held) - SHOWN} more" if len(held) > SHOWN else ""
        message = f"is not empty: {', '.join(held[:SHOWN])}{more} in the way; nothing was written"
    else:
        return
    raise Mistakes([Mistake("PROJECT", f"{given!r} {message}")])


def _near(name: str) -> str:
    """Return the nearest name that can be one."""
    near = re.sub(r"[^a-z0-9_]+", "-", name.lower()).lstrip("-_0123456789").rstrip("-_")
    return f"; did you mean {near}?" if NAME.fullmatch(near) else ""


def _next(project: str, sample: str, prefect: bool) -> list[str]:
    """Return the commands to go on with."""
    lines = [f"cd {project}", f"onerun train recipes/{sample}.yaml", "python -m unittest"]
    if prefect and find_spec("prefect") is None:
        lines.append("pip install .     # Prefect, for the next one")
    if prefect:
        lines.append(f"python -m flows.train --recipe recipes/{sample}.yaml")
    return lines


COMMAND = Command(
    name="init",
    summary="Make a folder for a team's recipes, with the Prefect half.",
    options=InitOptions,
    run=run,
    examples=["onerun init my-project", "onerun init projects/houses --no-prefect"],
    notes=(
        "The folder holds a recipe on a bundled table, a policy of the maintenance, profiles, a README and tests.\n"
        "The Prefect half is flows, tasks, settings and deployments, as onerun itself runs them. All of it is the\n"
        "team's own from then on; what it trains comes from the installed package."
    ),
    exit_codes={1: "it failed; nothing was written"},
    interrupted="interrupted; nothing was written",
)
