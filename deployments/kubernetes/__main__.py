"""`python -m deployments.kubernetes template | pool`: the work pool's base job template."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from deployments.kubernetes.pool import write_pool
from deployments.kubernetes.template import Place, job_template
from flows.command_line.arguments import command_line
from onerun.commands.exit import exit_code
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import check_profile
from onerun.domain.names import WORK_POOL
from settings.profile import PrefectProfile, load_profile

EXAMPLE = """example:
  python -m deployments.kubernetes template --image onerun:0.1.0
  python -m deployments.kubernetes pool --image registry.example/onerun:0.1.0

template prints the template; pool writes it to the Prefect server, and a second time changes
nothing. Jobs refer to each variable that the profile sets (in the environment, in .env or in its
file) by name: credentials to the Secret onerun, the rest to the ConfigMap onerun. No value gets
into the template. Set what these two hold and nothing else: a pod whose ConfigMap or Secret lacks
one of them does not start.
exit codes: 0 done, 1 something failed, 2 a mistake in what was asked"""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of `python -m deployments.kubernetes`."""
    parser = command_line(
        "deployments.kubernetes", "The base job template of the Kubernetes work pool.", EXAMPLE
    )
    parser.add_argument(
        "action", choices=("template", "pool"), help="print the template, or write it to the server"
    )
    parser.add_argument(
        "--image",
        metavar="NAME:TAG",
        required=True,
        help="image of pods whose deployment names none",
    )
    parser.add_argument(
        "--profile",
        metavar="NAME",
        help="whose variables pods get: a profile in settings/profiles/",
    )
    parser.add_argument(
        "--pool", metavar="NAME", default=WORK_POOL, help=f"the work pool ({WORK_POOL})"
    )
    parser.add_argument(
        "--namespace", metavar="NAME", default=Place.namespace, help="where Jobs are made (onerun)"
    )
    parser.add_argument(
        "--pull",
        choices=("IfNotPresent", "Always", "Never"),
        default=Place.pull,
        help="of the image",
    )
    parser.add_argument(
        "--pull-secret",
        metavar="SECRET",
        action="append",
        default=[],
        help="pulls the image where the account of pods names none; may be given again",
    )
    parser.add_argument(
        "--authority",
        metavar="CONFIGMAP",
        default="",
        help="holds ca.pem, which pods trust instead",
    )
    parser.add_argument(
        "--host-network",
        action="store_true",
        help="pods share the node's network; network policies do not hold then",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Print or write the template. Return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        parser().print_help()
        return 0
    options = parser().parse_args(arguments)
    return exit_code(lambda: _done(options), as_json=False, interrupted="interrupted")


def _done(options: argparse.Namespace) -> dict[str, Any]:
    profile = load_profile(options.profile)
    _need_servers(profile)
    place = Place(
        image=options.image,
        namespace=options.namespace,
        pull=options.pull,
        authority=options.authority,
        pull_secrets=tuple(options.pull_secret),
        host_network=options.host_network,
    )
    template = job_template(profile, place)
    if options.action == "template":
        print(json.dumps(template, indent=2))
        return template
    mistakes = [mistake for mistake in check_profile(profile) if mistake.key.startswith("PREFECT_")]
    if mistakes:  # the other servers are the pods' to reach
        raise Mistakes(mistakes)
    profile.apply()
    print(f"{options.pool}: {write_pool(template, options.pool)}")
    return template


def _need_servers(profile: PrefectProfile) -> None:
    """Refuse files on a pod's disk: they would be deleted with the pod, without a message."""
    mistakes = []
    if not profile.tracking_uri.startswith(("http://", "https://")):
        mistakes.append(
            Mistake("MLFLOW_TRACKING_URI", "must be a server's address: pods share no disk")
        )
    if profile.prefect_api_url is None:
        mistakes.append(Mistake("PREFECT_API_URL", "is missing: pods report to a Prefect server"))
    if profile.store is None or "://" not in profile.store:
        mistakes.append(
            Mistake("ONERUN_STORE", "must be s3://bucket/prefix: other pods read snapshots there")
        )
    if mistakes:
        raise Mistakes(mistakes)


if __name__ == "__main__":
    raise SystemExit(main())
