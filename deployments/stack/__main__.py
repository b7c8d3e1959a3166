"""`python -m deployments.stack up | down | status | logs`: the stack on this machine."""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deployments.stack.logs import show
from flows.command_line.arguments import command_line, parsed
from onerun.commands.exit import exit_code
from onerun.commands.terminal import Terminal
from onerun.config.addresses import redact

if TYPE_CHECKING:
    from deployments.stack.stack import Stack

EXAMPLE = """example:
  python -m deployments.stack up
  python -m deployments.stack up --profile servers
  python -m deployments.stack up --existing
  python -m deployments.stack status --json
  python -m deployments.stack logs worker --follow
  python -m deployments.stack down

up starts a Prefect server, an MLflow server and a worker, makes the work pools and writes the
deployments of prefect.yaml; a second up starts only what is missing, and reports where what runs
has other settings. down ends what up started, whatever .env holds by now; data, in .onerun/stack,
stays. With --existing, servers that answer at PREFECT_API_URL and MLFLOW_TRACKING_URI are used as
they are, and only what is missing is started: the pool, the deployments, a worker.
exit codes: 0 done, 1 something failed, 2 a mistake, or a server that does not start,
130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m deployments.stack`."""
    parser = command_line(
        "deployments.stack", "Servers, a worker and the deployments on this machine.", EXAMPLE
    )
    parser.add_argument("action", choices=("up", "down", "status", "logs"), help="what to do")
    parser.add_argument(
        "service", nargs="?", choices=("prefect", "mlflow", "worker"), help="logs: of this one only"
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="whose addresses: a profile in settings/profiles/ (stack)"
    )
    parser.add_argument(
        "--existing", action="store_true", help="up: use servers that are there already"
    )
    parser.add_argument("--lines", metavar="N", type=int, default=30, help="logs: how many (30)")
    parser.add_argument("--follow", action="store_true", help="logs: go on until Ctrl-C")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, everything else on stderr"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of the four actions. Return the exit code."""
    if (options := parsed(parser(), arguments)) is None:
        return 0
    return exit_code(lambda: _done(options), options.json, "interrupted")


def _done(options: argparse.Namespace) -> dict[str, Any]:
    from deployments.stack import running
    from deployments.stack.processes import Processes
    from deployments.stack.stack import bring_up, meant, read_stack
    from deployments.stack.state import state_folder

    report = Terminal(sys.stderr if options.json else sys.stdout).say
    processes = Processes(state_folder(meant(options.profile)))
    if options.action == "up":
        stack = read_stack(options.profile, options.existing)
        bring_up(stack, report)
        for line in _ways_in(stack):
            report(line)
    elif options.action == "down":
        return {"status": "done", "ended": running.take_down(processes, report)}
    elif options.action == "logs":
        show(
            names=[options.service] if options.service else running.NAMES,
            processes=processes,
            lines=options.lines,
            follow=options.follow,
            report=report,
        )
        return {"status": "done"}
    services = running.status(processes, report if options.action == "status" else None)
    return {"status": "done", "services": services}


def _ways_in(stack: "Stack") -> list[str]:
    api = redact(str(stack.profile.prefect_api_url)).rstrip("/")
    return [
        "",
        f"  Prefect  {api.removesuffix('/api')}   deployments, schedules, flow runs",
        f"  MLflow   {redact(stack.profile.tracking_uri).rstrip('/')}   experiments, models",
        "",
        f"  export PREFECT_API_URL={api}     # so that `prefect` finds it",
        "  prefect deployment run train/wine",
        f"  python -m flows.train --recipe wine --profile {stack.name}",
    ]


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            # as Ctrl-C: what is begun is put in order
            signal.signal(number, signal.default_int_handler)
    raise SystemExit(main())
