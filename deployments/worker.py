"""`python -m deployments.worker`: a worker on this machine, with the profile's credentials.

It becomes Prefect's own worker; the flow runs that it takes are processes that inherit its
environment. So secrets are never parameters, nor in Prefect's database.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from deployments.pools import NO_SERVER, need_pool
from flows.command_line.arguments import command_line
from flows.command_line.prefect_address import with_prefect
from onerun.commands.exit import exit_code
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import check_profile
from onerun.domain.names import WORK_POOL
from settings.profile import PrefectProfile, load_profile

HOME = Path(__file__).parents[1]
POLLING = "3"  # seconds between two looks for work
EXAMPLE = """example:
  python -m deployments.worker --profile stack
  python -m deployments.worker --profile servers --limit 4 --name second-machine
  python -m deployments.worker --pool of-our-own

exit codes: 0 ended, 2 a mistake in what was asked, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m deployments.worker`."""
    parser = command_line(
        "deployments.worker",
        "Take flow runs from a work pool and run each as a process, until Ctrl-C.",
        EXAMPLE,
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="where it runs: a profile in settings/profiles/, or a file",
    )
    parser.add_argument(
        "--pool", metavar="NAME", default=WORK_POOL, help=f"the work pool ({WORK_POOL})"
    )
    parser.add_argument("--name", metavar="NAME", help="what the worker is called in Prefect's UI")
    parser.add_argument("--limit", metavar="N", type=int, default=2, help="flow runs at once (2)")
    return parser


def environment(profile: PrefectProfile) -> dict[str, str]:
    """Return what a worker needs besides: addresses, credentials, where the flows are."""
    return {
        **profile.variables(),
        "ONERUN_HOME": str(HOME),
        "PREFECT_WORKER_QUERY_SECONDS": POLLING,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }


def command(pool: str, name: str | None, limit: int) -> list[str]:
    """Return Prefect's worker."""
    named = ["--name", name] if name else []
    start = ["worker", "start", "--pool", pool, "--limit", str(limit)]
    return [sys.executable, "-m", "deployments.prefect_worker", *start, *named]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, then become Prefect's worker. Return the exit code when a check fails."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _become(options), as_json=False, interrupted="interrupted")


def _become(options: argparse.Namespace) -> NoReturn:
    profile = with_prefect(load_profile(options.profile))
    mistakes = check_profile(profile)
    if profile.prefect_api_url is None:
        mistakes.append(Mistake("PREFECT_API_URL", NO_SERVER))
    if mistakes:
        raise Mistakes(mistakes)
    profile.apply()
    if need_pool(options.pool, kind="process"):
        print(f"made the work pool {options.pool}", flush=True)
    line = command(options.pool, options.name, options.limit)
    os.execve(line[0], line, {**os.environ, **environment(profile)})


if __name__ == "__main__":
    raise SystemExit(main())
