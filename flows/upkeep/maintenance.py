"""The command line of the maintenance. Needs no Prefect of its own; asks a server that is named which runs live."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.command_line.arguments import add_usual, command_line, parsed
from flows.command_line.prefect_address import with_prefect
from flows.upkeep.notifying import failure_told, tell
from onerun import storage
from onerun.commands.exit import exit_code
from onerun.commands.profile_store import use_store_as
from onerun.config.loading import load_policy
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup.telling import finding_lines, message_lines, plan_lines, result_lines
from settings.profile import PrefectProfile, load_profile

ABOUT_BUCKETS = ("AWS_", "MLFLOW_S3_")
EXAMPLE = """example:
  python -m flows.maintain --policy policies/weekly.yaml
  python -m flows.maintain --policy policies/weekly.yaml --apply
  python -m flows.maintain --policy weekly --set keep.younger_than=60d --report report.html

Without --apply nothing is changed. Aliases, registered versions, pins and live runs protect, whatever the policy says.
exit codes: 0 done, 1 something could not be done, 2 a mistake in what was asked, 130 interrupted (run it again: it
finishes what was begun)"""


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.maintain`."""
    parser = command_line(
        "flows.maintain",
        "Plan what a store no longer needs, and with --apply archive and remove it.",
        EXAMPLE,
    )
    parser.add_argument(
        "--policy", metavar="FILE", help="a policy, or the name of one in policies/"
    )
    parser.add_argument(
        "--apply", action="store_true", help="do it; without this nothing is changed"
    )
    parser.add_argument(
        "--yes-really", action="store_true", help="delete more than the policy's max_delete allows"
    )
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="set any key of the policy"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write a report in HTML, and beside it a list of all items"
    )
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="a store of files such as ./mlruns, in place of the profile's",
    )
    add_usual(parser, "which store")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Maintain as asked. Returns: the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    if not asked.policy:
        parser().error("--policy is missing")
    return exit_code(
        lambda: _done(asked),
        asked.json,
        "interrupted; run it again, it finishes what was begun",
        asked.traceback,
    )


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    policy = wanted(asked.policy, asked.set)
    with (
        failure_told(policy) if asked.apply else contextlib.nullcontext()
    ):  # without, somebody reads the terminal
        return _carried_out(asked, use(policy, asked.profile, asked.store))


def _carried_out(asked: argparse.Namespace, policy: Policy) -> dict[str, Any]:
    from flows.reconciling.dead import dead_runs
    from flows.reconciling.living import living_flow_runs
    from onerun.cleanup.applying import need_leave
    from onerun.cleanup.maintain import carry_out, planned
    from onerun.cleanup.reporting import list_beside, write_list

    out = sys.stderr if asked.json else sys.stdout
    with planned(policy, living_flow_runs(), asked.store) as what:
        what.findings.extend([] if asked.store else dead_runs())
        listed = list_beside(asked.report or "")
        if listed:
            write_list(what.spool, listed)
        lines = [
            *plan_lines(what.plan, listed),
            *finding_lines(what.findings, what.plan.at),
            *what.notes,
        ]
        print("\n".join(lines), file=out, flush=True)
        result = None
        if asked.apply:
            need_leave(what.plan, what.policy, asked.yes_really)
            _approved(what.policy, what.plan.amount)
            result = carry_out(what, asked.yes_really, living_flow_runs())
            result.notes += tell(
                policy, "", list(message_lines(what.plan, what.findings, result.as_json(), listed))
            )
            print("\n".join(result_lines(what.policy.action, result.as_json())), file=out)
        elif what.plan.amount:
            print("nothing was changed; --apply does it", file=out)
        if asked.report:
            Path(asked.report).write_text(what.page(result, listed), encoding="utf-8")
        return what.as_json(result) | {"list": listed}


def wanted(policy: str, overrides: Sequence[str]) -> Policy:
    """Returns: the checked policy, whose addresses are there. Raises: Mistakes."""
    from onerun.notify import addresses

    checked = load_policy(policy, overrides)
    addresses(checked.notify)
    return checked


def use(policy: Policy, profile: str | None, folder: str | None) -> Policy:
    """The profile's store answers and is set, unless a folder takes its place; archives may go to the profile's bucket.

    Returns: the policy, which says where archives go. Raises: Mistakes.
    """
    if folder is None:
        chosen = use_store_as(PrefectProfile, profile)
        with_prefect(chosen).apply()
    elif "://" in folder and not folder.startswith("file:"):
        raise Mistakes(
            [
                Mistake(
                    "--store",
                    f"expected a folder, got {folder}; databases and servers go by --profile",
                )
            ]
        )
    else:
        chosen = load_profile(profile)
        os.environ.update(
            {key: held for key, held in chosen.variables().items() if key.startswith(ABOUT_BUCKETS)}
        )
    return policy.with_archives(storage.join(chosen.variables()["ONERUN_STORE"], "backups"))


def _approved(policy: Policy, going: str) -> None:
    """Args: going: in words, empty when nothing goes. Raises: Mistakes when a person has to say yes and none did."""
    if policy.approval == "auto" or policy.action != "hard_delete" or not going:
        return
    if sys.stdin.isatty():
        print(f"delete {going} for good? yes or no: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() == "yes":
            return
        raise Mistakes([Mistake("approval", "nobody said yes; nothing was changed")])
    words = "is manual: run it at a terminal, or as a deployment and approve it in the Prefect UI; nothing was changed"
    raise Mistakes([Mistake("approval", words)])
