"""`onerun train`: a recipe's data to a promoted model, without Prefect."""

import os
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from onerun.commands.command import Command
from onerun.commands.options import Argument, CommonOptions, Positional
from onerun.commands.terminal import QUIET
from onerun.commands.ui import Ui
from onerun.config.profile import load_profile

if TYPE_CHECKING:
    from onerun.engine.request import TrainingRequest


class RecipeOptions(CommonOptions):
    """What is trained, and with what changes."""

    overrides: Annotated[list[str], Argument("--set", metavar="KEY=VALUE")] = Field(
        [], description="set any key of the recipe, such as split.seed=7; may be repeated"
    )
    data: Annotated[str | None, Argument(metavar="SOURCE")] = Field(
        None, description="stands in for the recipe's data.source"
    )
    plan: bool = Field(False, description="show what would run and be written; touch nothing")


class TrainOptions(RecipeOptions):
    """Options of a training without Prefect."""

    recipe: Annotated[str, Positional] = Field(
        description="a YAML file, or the name of a recipe in recipes/"
    )
    resume: Annotated[str | None, Argument(metavar="RUN_ID")] = Field(
        None, description="go on with this MLflow run, after its last finished stage"
    )


def run(options: TrainOptions, ui: Ui) -> BaseModel:
    """Train, or with `plan` say what would be done. Raises Mistakes, OnerunError."""
    from onerun.engine.request import resolve

    profile = load_profile(options.profile)
    request = resolve(options.recipe, profile, options.overrides, options.data)
    if options.plan:
        return show_plan(request, ui)
    from onerun.commands.outcome import outcome_lines
    from onerun.engine.alone import train_alone

    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    result = train_alone(request, resume=options.resume, observer=ui.show)
    for line in outcome_lines(result, result.links()):
        ui.say(line)
    return result


def show_plan(request: "TrainingRequest", ui: Ui) -> BaseModel:
    """Check the request and say what a training would do. Raises Mistakes."""
    from onerun.engine.plan import plan_of
    from onerun.engine.request import check

    check(request)
    plan = plan_of(request)
    for line in plan.lines():
        ui.say(line)
    return plan


COMMAND = Command(
    name="train",
    summary="Take a recipe's data to a promoted model: ingest, validate, train, evaluate, register, promote.",
    options=TrainOptions,
    run=run,
    examples=[
        "onerun train houses.yaml --set split.seed=7",
        "onerun train houses.yaml --data houses.csv --set model.params.learning_rate=0.1",
        "onerun train houses.yaml --plan",
        "onerun train houses.yaml --resume 3f6c1c9a5b7e4f0d8a2b6c4d9e8f7a10",
    ],
    exit_codes={0: "done (promoted, or held back by a gate)", 1: "a stage failed"},
    interrupted="interrupted; the run, if it was begun, has status KILLED",
)
