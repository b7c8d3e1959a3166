"""`python -m deployments.deploy recipe.yaml --cron "0 6 * * 1"`: a recipe of your own, scheduled."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from deployments.pools import need_pool, need_server, workers_seen
from deployments.timetables import Timetable, read_timetable
from flows.command_line.arguments import add_usual, command_line, parsed, span
from onerun.commands.exit import exit_code
from onerun.commands.terminal import Terminal
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.names import WORK_POOL

if TYPE_CHECKING:
    from deployments.recipe_deployment import RecipeDeployment

LATELY = timedelta(minutes=2)  # a worker sends a heartbeat every 30 seconds
EXAMPLE = """example:
  python -m deployments.deploy my.yaml --cron "0 6 * * 1" --timezone Europe/Berlin
  python -m deployments.deploy my.yaml --interval 6h --set split.seed=7 --name my-other-seed
  python -m deployments.deploy my.yaml                    # without a schedule: run it by hand
  python -m deployments.deploy my.yaml --remove           # or: --name my-other-seed --remove
  python -m deployments.deploy --all                      # the pool, and all of prefect.yaml

The recipe is checked as for a training. One in recipes/ is deployed by its name, any other as its text: after a
change, run the command again. Again with the same name updates; without --cron the schedule stays as it is.
exit codes: 0 done, 1 something failed, 2 a mistake in what was asked, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m deployments.deploy`."""
    parser = command_line("deployments.deploy", "Deploy a recipe to Prefect's server.", EXAMPLE)
    add = parser.add_argument
    add("recipe", nargs="?", metavar="RECIPE", help="a recipe, or the name of one in recipes/")
    add("--cron", metavar="TEXT", help='when it runs: "minute hour day month weekday"')
    add("--interval", metavar="SPAN", type=span, help="or how often: 90m, 6h, 1d")
    add("--timezone", metavar="NAME", help="of the schedule, such as Europe/Berlin (UTC)")
    add("--paused", action="store_true", help="with the schedule off")
    add("--name", metavar="NAME", help="of the deployment (the recipe's name)")
    add("--pool", metavar="NAME", default=WORK_POOL, help=f"the work pool ({WORK_POOL})")
    add("--data", metavar="SOURCE", help="stands in for the recipe's data.source")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="set any key of the recipe")
    add("--remove", action="store_true", help="remove the deployment; its flow runs stay")
    add("--all", action="store_true", help="instead of a recipe: all deployments of prefect.yaml")
    add_usual(parser, "where it runs, and which Prefect server")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as asked. Return the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    return exit_code(lambda: _done(asked), asked.json, "interrupted", asked.traceback)


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    say = Terminal(sys.stderr if asked.json else sys.stdout).say
    _check_combination(asked)
    if asked.all:
        return _all(asked, say)
    if asked.remove:
        return _removed(asked, say)
    return _deployed(asked, say)


def _check_combination(asked: argparse.Namespace) -> None:
    """Raises: Mistakes for options that mean nothing together."""
    if asked.all and (asked.recipe or asked.remove or asked.cron or asked.interval or asked.name):
        raise Mistakes([Mistake("--all", "goes alone: prefect.yaml names recipes and schedules")])
    if asked.all and asked.pool != WORK_POOL:
        says = f"prefect.yaml names the pool ({WORK_POOL}); change it there, under infrastructure"
        raise Mistakes([Mistake("--pool", says)])
    if not (asked.all or asked.recipe or (asked.remove and asked.name)):
        raise Mistakes([Mistake("RECIPE", "is missing; name a recipe, or say --all")])


def _all(asked: argparse.Namespace, say: Any) -> dict[str, Any]:
    from deployments.prefect_file import deploy_all

    need_server(asked.profile)
    if made := need_pool(WORK_POOL):
        say(f"made the work pool {WORK_POOL}")
    written = deploy_all(say)
    workers = _say_workers(WORK_POOL, say)
    return {"status": "done", "deployed": written, "pool": WORK_POOL, "pool_made": made} | workers


def _removed(asked: argparse.Namespace, say: Any) -> dict[str, Any]:
    from deployments.recipe_deployment import FLOW, remove
    from onerun.config.loading import load_recipe

    name = asked.name or load_recipe(asked.recipe, asked.set, asked.data).name
    need_server(asked.profile)
    removed = remove(name)
    say(f"removed {FLOW}/{name}")
    return {"status": "done", "removed": f"{FLOW}/{name}", "id": str(removed)}


def _deployed(asked: argparse.Namespace, say: Any) -> dict[str, Any]:
    from deployments.recipe_deployment import describe, write

    timetable = read_timetable(asked.cron, asked.interval, asked.timezone)
    wanted = describe(
        asked.recipe,
        name=asked.name,
        overrides=asked.set,
        data=asked.data,
        profile=asked.profile,
    )
    need_server(asked.profile)
    if need_pool(asked.pool):
        say(f"made the work pool {asked.pool}")
    written, is_new = write(wanted, pool=asked.pool, timetable=timetable, active=not asked.paused)
    runs = timetable.next_runs(datetime.now(UTC)) if timetable and not asked.paused else []
    _say_deployed(wanted, asked, timetable, is_new, runs, say)
    workers = _say_workers(asked.pool, say)
    return {
        "status": "done",
        "deployment": wanted.full_name,
        "id": str(written.id),
        "made": is_new,
        "pool": asked.pool,
        "parameters": wanted.parameters,
        "schedules": [
            {"schedule": each.schedule.model_dump(mode="json"), "active": each.active}
            for each in written.schedules
        ],
        "next_runs": [run.isoformat() for run in runs],
        "notes": list(wanted.notes),
        "run_now": f"prefect deployment run {wanted.full_name}",
    } | workers


def _say_deployed(
    wanted: "RecipeDeployment",
    asked: argparse.Namespace,
    timetable: Timetable | None,
    is_new: bool,
    runs: list[datetime],
    say: Any,
) -> None:
    how = "its text" if wanted.as_text else f"by name: {wanted.parameters['recipe']}"
    say(f"{'made' if is_new else 'updated'} {wanted.full_name} in pool {asked.pool} (recipe {how})")
    for note in wanted.notes:
        say(f"  note      {note}")
    if timetable is not None:
        say(f"  schedule  {timetable}{', off (--paused)' if asked.paused else ''}")
    for run in runs:
        say(f"  next      {run:%a %Y-%m-%d %H:%M %Z}")
    say(f"  run now   prefect deployment run {wanted.full_name}")


def _say_workers(pool: str, say: Any) -> dict[str, Any]:
    workers = workers_seen(pool, datetime.now(UTC) - LATELY)
    if not workers:
        option = "" if pool == WORK_POOL else f" --pool {pool}"
        say(f"no worker takes flow runs of {pool} yet; `python -m deployments.worker{option}` does")
    return {"workers": workers}


if __name__ == "__main__":
    raise SystemExit(main())
