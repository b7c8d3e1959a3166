"""The command line of the summary. Needs no Prefect."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows.command_line.arguments import add_usual, command_line
from flows.command_line.prefect_address import with_prefect
from onerun.commands.exit import exit_code
from onerun.commands.profile_store import use_store_as
from onerun.domain.text import size
from settings.profile import PrefectProfile

EXAMPLE = """example:
  python -m flows.summary
  python -m flows.summary --store ./mlruns --json
  python -m flows.summary --no-files

exit codes: 0 done, troubles or not; 1 the store does not answer; 2 a mistake in what was asked"""
SHOWN = 20


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.summary`."""
    parser = command_line(
        "flows.summary",
        "What a store holds: experiments, runs by state, models, bytes, troubles. Changes nothing.",
        EXAMPLE,
    )
    parser.add_argument(
        "--no-files", action="store_true", help="do not look at artifacts: no bytes, fewer troubles"
    )
    parser.add_argument(
        "--store",
        metavar="FOLDER",
        help="a store of files such as ./mlruns, in place of the profile's",
    )
    add_usual(parser, "which store")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Summarise as asked. Returns: the exit code."""
    asked = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return exit_code(
        lambda: _done(asked), asked.json, "interrupted; nothing was changed", asked.traceback
    )


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    result = summary_of(asked.profile, asked.store, not asked.no_files)
    if not asked.json:
        print("\n".join(summary_lines(result)))
    return result


def summary_of(profile: str | None, folder: str | None, files: bool) -> dict[str, Any]:
    """Returns: the summary, dead runs among its troubles as far as they can be told.

    Raises: Mistakes when the store cannot be read.
    """
    if folder is None:
        with_prefect(use_store_as(PrefectProfile, profile)).apply()
    from onerun.cleanup.summarise import summarise

    result = summarise(folder, files)
    if folder is None:
        from flows.reconciling.dead import dead_runs

        now = int(time.time() * 1000)
        result["troubles"] += [finding.as_json(now) for finding in dead_runs(files)]
    return result


def summary_lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Yields: the summary, line by line."""
    yield f"experiments        {_counted(result['experiments'])}"
    yield f"runs               {_counted(result['runs'])}"
    yield f"logged models      {result['logged_models']:,}"
    yield f"registered models  {result['registered_models']:,} with {result['versions']:,} versions"
    unreachable = (
        f" ({result['unmeasured']:,} experiments cannot be reached)" if result["unmeasured"] else ""
    )
    yield f"artifacts          {size(result['bytes'])}{unreachable}"
    if result["database_bytes"] is not None:
        yield f"database           {size(result['database_bytes'])}"
    troubles = result["troubles"]
    yield f"troubles           {len(troubles):,}"
    kinds = Counter((trouble["what"], trouble["action"]) for trouble in troubles)
    for (what, action), count in kinds.most_common():
        yield f"  {count:>7,}  {what}; {action}"
    for trouble in troubles[:SHOWN]:
        yield f"  {trouble['what']}: {trouble['id']} ({trouble['cause']})"


def _counted(counts: Mapping[str, int]) -> str:
    parts = ", ".join(
        f"{count:,} {state}" for state, count in sorted(counts.items(), key=lambda each: -each[1])
    )
    return f"{sum(counts.values()):,}" + (f" ({parts})" if parts else "")
