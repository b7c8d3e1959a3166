"""`python -m deployments.deploy recipe.yaml --cron "0 6 * * 1"`: your own recipe, scheduled."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from deployments.pools import need_pool, need_server, use_profile, workers_seen
from deployments.timetables import read_timetable
from onerun.commands.command import Command
from onerun.commands.options import Argument, CommonOptions, Positional
from onerun.commands.ui import Ui
from onerun.domain.names import WORK_POOL

LATELY = timedelta(minutes=2)  # a worker sends a heartbeat every 30 seconds


class DeployOptions(CommonOptions):
    """Options of a deployment."""

    recipe: Annotated[str | None, Positional] = Field(
        None, description="a recipe, or the name of one in recipes/"
    )
    cron: Annotated[str | None, Argument(metavar="TEXT")] = Field(
        None, description='when it runs: "minute hour day month weekday"'
    )
    interval: Annotated[str | None, Argument(metavar="SPAN")] = Field(
        None, description="or how often: 90m, 6h, 1d"
    )
    timezone: Annotated[str | None, Argument(metavar="NAME")] = Field(
        None, description="of the schedule, such as Europe/Berlin; UTC when omitted"
    )
    paused: bool = Field(False, description="with its schedule off")
    name: Annotated[str | None, Argument(metavar="NAME")] = Field(
        None, description="of the deployment; the recipe's name when omitted"
    )
    pool: Annotated[str, Argument(metavar="NAME")] = Field(
        WORK_POOL, description="the work pool whose workers run it"
    )
    data: Annotated[str | None, Argument(metavar="SOURCE")] = Field(
        None, description="stands in for the recipe's data.source"
    )
    overrides: Annotated[list[str], Argument("--set", metavar="KEY=VALUE")] = Field(
        [], description="set any key of the recipe"
    )
    remove: bool = Field(False, description="remove the deployment; its flow runs stay")
    whole_file: Annotated[bool, Argument("--all")] = Field(
        False, description="instead of a recipe: the pool, and all deployments of prefect.yaml"
    )

    @model_validator(mode="after")
    def _mean_something(self) -> "DeployOptions":
        if not self.whole_file:
            if self.recipe is None and not (self.remove and self.name):
                raise ValueError("RECIPE: is missing; name a recipe, or use --all")
            return self
        others = self.model_fields_set - {"whole_file", *CommonOptions.model_fields}
        if others:
            raise ValueError("--all: takes no other option; prefect.yaml holds the rest")
        return self


class Deployed(BaseModel):
    """A deployment that was written.

    made: whether there was none of that name. workers: of its pool, seen within two minutes.
    """

    status: str = "done"
    deployment: str
    id: str
    made: bool
    pool: str
    parameters: dict[str, Any]
    schedules: list[dict[str, Any]]
    next_runs: list[datetime]
    notes: list[str]
    run_now: str
    workers: list[str]


class AllDeployed(BaseModel):
    """How many deployments of prefect.yaml were written."""

    status: str = "done"
    deployed: int
    pool: str
    pool_made: bool
    workers: list[str]


class Removed(BaseModel):
    """The deployment that was removed."""

    status: str = "done"
    removed: str
    id: str


def run(options: DeployOptions, ui: Ui) -> BaseModel:
    """Write or remove deployments. Raises Mistakes."""
    if options.whole_file:
        return _all(options, ui)
    if options.remove:
        return _remove(options, ui)
    return _deploy(options, ui)


def _all(options: DeployOptions, ui: Ui) -> AllDeployed:
    from deployments.prefect_file import deploy_all

    need_server(use_profile(options.profile))
    made = _need_pool(WORK_POOL, ui)
    written = deploy_all(ui.say)
    workers = _workers(WORK_POOL, ui)
    return AllDeployed(deployed=written, pool=WORK_POOL, pool_made=made, workers=workers)


def _remove(options: DeployOptions, ui: Ui) -> Removed:
    from deployments.recipe_deployment import FLOW, remove
    from onerun.config.loading import load_recipe

    profile = use_profile(options.profile)
    name = options.name or load_recipe(str(options.recipe), options.overrides, options.data).name
    need_server(profile)
    removed = remove(name)
    ui.say(f"removed {FLOW}/{name}")
    return Removed(removed=f"{FLOW}/{name}", id=str(removed))


def _deploy(options: DeployOptions, ui: Ui) -> Deployed:
    from deployments.recipe_deployment import describe, write

    profile = use_profile(options.profile)
    timetable = read_timetable(options.cron, options.interval, options.timezone)
    target = describe(
        str(options.recipe),
        name=options.name,
        overrides=options.overrides,
        data=options.data,
        profile=options.profile,
    )
    need_server(profile)
    _need_pool(options.pool, ui)
    written, is_new = write(
        target, pool=options.pool, timetable=timetable, active=not options.paused
    )
    runs = timetable.next_runs(datetime.now(UTC)) if timetable and not options.paused else []

    how = "its text" if target.as_text else f"by name: {target.parameters['recipe']}"
    verb = "made" if is_new else "updated"
    ui.say(f"{verb} {target.full_name} in pool {options.pool} (recipe {how})")
    for note in target.notes:
        ui.say(f"  note      {note}")
    if timetable is not None:
        ui.say(f"  schedule  {timetable}{', off (--paused)' if options.paused else ''}")
    for each in runs:
        ui.say(f"  next      {each:%a %Y-%m-%d %H:%M %Z}")
    run_now = f"prefect deployment run {target.full_name}"
    ui.say(f"  run now   {run_now}")
    return Deployed(
        deployment=target.full_name,
        id=str(written.id),
        made=is_new,
        pool=options.pool,
        parameters=target.parameters,
        schedules=[
            {**each.schedule.model_dump(mode="json"), "active": each.active}
            for each in written.schedules
        ],
        next_runs=runs,
        notes=list(target.notes),
        run_now=run_now,
        workers=_workers(options.pool, ui),
    )


def _need_pool(name: str, ui: Ui) -> bool:
    made = need_pool(name)
    if made:
        ui.say(f"made the work pool {name}")
    return made


def _workers(pool: str, ui: Ui) -> list[str]:
    workers = workers_seen(pool, datetime.now(UTC) - LATELY)
    if not workers:
        option = "" if pool == WORK_POOL else f" --pool {pool}"
        ui.say(
            f"no worker takes flow runs of {pool} yet: start `python -m deployments.worker{option}`"
        )
    return workers


COMMAND = Command(
    name="deploy",
    summary="Deploy a recipe to Prefect's server, with a schedule.",
    options=DeployOptions,
    run=run,
    examples=[
        'onerun deploy my.yaml --cron "0 6 * * 1" --timezone Europe/Berlin',
        "onerun deploy my.yaml --interval 6h --set split.seed=7 --name my-other-seed",
        "onerun deploy my.yaml                   # without a schedule: run it by hand",
        "onerun deploy --name my-other-seed --remove",
        "onerun deploy --all                     # the pool, and all of prefect.yaml",
    ],
    notes=(
        "The recipe is checked as for a training. One in recipes/ is deployed by its name, any\n"
        "other as its text: after a change, run the command again. Again with the same name\n"
        "updates; without --cron and --interval the schedule stays as it is."
    ),
)

if __name__ == "__main__":
    if len(sys.argv) == 1:
        COMMAND.parser("python -m deployments.deploy").print_help()
        raise SystemExit(0)
    raise SystemExit(COMMAND.main(sys.argv[1:], program="python -m deployments.deploy"))
