"""The command line of the maintenance. Needs no Prefect of its own; asks a server that is named which runs live."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.maintenance.telling import finding_lines, plan_lines, result_lines
from flows.command_line.arguments import add_usual, command_line, parsed
from flows.command_line.endings import exit_code
from flows.training.preparation import with_prefect
from flows.upkeep.stores import use_store
from settings.loading import load_policy
from settings.mistakes import Mistake, Mistakes
from settings.policy import Policy

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
        "flows.maintain", "Plan what a store no longer needs, and with --apply archive and remove it.", EXAMPLE
    )
    parser.add_argument("--policy", metavar="FILE", help="a policy, or the name of one in policies/")
    parser.add_argument("--apply", action="store_true", help="do it; without this nothing is changed")
    parser.add_argument("--yes-really", action="store_true", help="delete more than the policy's max_delete allows")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="set any key of the policy")
    parser.add_argument("--report", metavar="FILE", help="write the report as one HTML page that stands alone")
    parser.add_argument(
        "--store", metavar="FOLDER", help="a store of files such as ./mlruns, in place of the profile's"
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
        lambda: _done(asked), asked.json, "interrupted; run it again, it finishes what was begun", asked.traceback
    )


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    policy = prepared(asked.policy, asked.set, asked.profile, asked.store)
    from flows.reconciling.dead import dead_runs
    from flows.reconciling.living import living_flow_runs
    from tasks.maintain import carry_out, planned

    out = sys.stderr if asked.json else sys.stdout
    with planned(policy, living_flow_runs(), asked.store) as what:
        what.findings.extend([] if asked.store else dead_runs())
        lines = [*plan_lines(what.plan), *finding_lines(what.findings, what.plan.at), *what.notes]
        print("\n".join(lines), file=out, flush=True)
        result = None
        if asked.apply:
            _approved(what.policy, what.plan.amount)
            result = carry_out(what, asked.yes_really)
            _tell(policy, [*lines, *result_lines(what.policy.action, result.as_json())], result.notes)
            print("\n".join(result_lines(what.policy.action, result.as_json())), file=out)
        elif what.plan.amount:
            print("nothing was changed; --apply does it", file=out)
        if asked.report:
            Path(asked.report).write_text(what.page(result), encoding="utf-8")
        return what.as_json(result)


def prepared(policy: str, overrides: Sequence[str], profile: str | None, folder: str | None = None) -> Policy:
    """Returns: the checked policy; the profile's store answers and is set, unless a folder takes its place.

    Raises: Mistakes.
    """
    from tasks.notify import addresses

    checked = load_policy(policy, overrides)
    addresses(checked.notify)
    if folder is None:
        with_prefect(use_store(profile)).apply()
    elif "://" in folder and not folder.startswith("file:"):
        raise Mistakes([Mistake("--store", f"expected a folder, got {folder}; databases and servers go by --profile")])
    return checked


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


def _tell(policy: Policy, lines: Sequence[str], notes: list[str]) -> None:
    from tasks.notify import notify

    notes += notify(policy.notify, f"maintenance: {policy.name}", "\n".join(lines))
