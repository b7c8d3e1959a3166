"""The command line of a rescue. Needs no Prefect."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.command_line.arguments import command_line, parsed
from onerun.commands.exit import exit_code
from onerun.config.addresses import redact, with_driver
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.text import size

if TYPE_CHECKING:
    from onerun.rescue import Rescue

EXAMPLE = """example:
  python -m flows.rescue --from ./mlruns
  python -m flows.rescue --from ./mlruns --to sqlite:///mlflow.db --apply
  python -m flows.rescue --from /srv/mlruns --to postgresql://user@host/mlflow --apply
  python -m flows.rescue --repair --to sqlite:///mlflow.db --apply

Without --apply it is examined and nothing is written. With it: the folder is backed up as it is, mended in a copy,
migrated by MLflow's own tool, and the database compared with what was in the folder, fact by fact. The folder itself is
only read; artifacts stay where they are.
exit codes: 0 done and proven (or examined), 1 the database is not what the folder was, 2 a mistake in what was asked,
130 interrupted"""
REPAIR_KEEPS_IN = "rescue"  # in the working directory
SHOWN = 40


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.rescue`."""
    parser = command_line(
        "flows.rescue",
        "Examine an old MLflow file store (./mlruns), and bring what can be saved into a database.",
        EXAMPLE,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--from", metavar="FOLDER", dest="source", help="the file store")
    what.add_argument(
        "--repair", action="store_true", help="a database that was migrated badly: see --to"
    )
    parser.add_argument(
        "--to",
        metavar="URI",
        help="the database: an SQLite file that is not there, or an empty one",
    )
    parser.add_argument("--apply", action="store_true", help="do it; without it nothing is written")
    parser.add_argument(
        "--keep-in",
        metavar="FOLDER",
        help=f"backup, quarantine and report go there (FOLDER-rescue, or {REPAIR_KEEPS_IN})",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object on stdout, everything else on stderr"
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show the whole traceback of a failure"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine or rescue. Returns: the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    result: dict[str, Any] = {}
    interrupted = "interrupted; the old store is as it was, and no new one is done: run the same command again"
    code = exit_code(lambda: _done(asked, result), asked.json, interrupted, asked.traceback)
    return code or (1 if result.get("status") == "not proven" else 0)


def _done(asked: argparse.Namespace, result: dict[str, Any]) -> dict[str, Any]:
    if asked.repair:
        result |= repair(asked.to, asked.apply, asked.keep_in)
    else:
        result |= rescue(asked.source, asked.to, asked.apply, asked.keep_in)
    if not asked.json:
        print("\n".join(told(result)))
    return result


def rescue(source: str, to: str | None, apply: bool, keep_in: str | None = None) -> dict[str, Any]:
    """Examines, and with `apply` rescues. Returns: what --json prints. Raises: Mistakes, OnerunError."""
    from onerun import rescue as doing

    to = to and with_driver(to)
    _quiet()
    if apply and not to:
        raise Mistakes([Mistake("--to", "is missing: which database? --to sqlite:///mlflow.db")])
    done = doing.rescue(source, to, keep_in) if apply and to else doing.examine(source)
    status = "examined" if not apply else "rescued" if done.proven else "not proven"
    return {"status": status, **_result(done)}


def _result(done: "Rescue") -> dict[str, Any]:
    result = asdict(done)
    result["findings"] = [asdict(each) for each in done.findings]
    return result


def repair(store: str | None, apply: bool, keep_in: str | None) -> dict[str, Any]:
    """Finds, and with `apply` makes, experiments of which only the runs are there. Returns: what --json prints."""
    from onerun.rescue.repair import repair as mend

    _quiet()
    if not store:
        raise Mistakes([Mistake("--to", "is missing: which database? --to sqlite:///mlflow.db")])
    done = mend(with_driver(store), apply, keep_in or REPAIR_KEEPS_IN)
    status = "repaired" if done.applied else "examined"
    backup = done.backup.uri if done.backup else ""
    lost = {identity: row["artifact_location"] for identity, row in done.experiments.items()}
    return {
        "status": status,
        "to": redact(store),
        "experiments": lost,
        "orphans": done.orphans,
        "backup": backup,
    }


def _quiet() -> None:
    """What MLflow says of making its tables is for nobody here, and there is nothing to send home."""
    import os

    from onerun.config.profile import TELEMETRY_OFF

    os.environ.update(TELEMETRY_OFF)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")


def told(result: dict[str, Any]) -> list[str]:
    """Returns: the lines of the result."""
    return _told_repair(result) if "experiments" in result else _told_rescue(result)


def _told_repair(result: dict[str, Any]) -> list[str]:
    lines = [
        f"  experiment {each} has runs and no row; their files: {at or '?'}"
        for each, at in result["experiments"].items()
    ]
    lines += [f"  loose: {count:,} rows of {what}" for what, count in result["orphans"].items()]
    if result["backup"]:
        return [
            *lines,
            f"  backed up: {result['backup']}",
            f"  {len(result['experiments'])} experiments are there again",
        ]
    return (
        [*lines, "  --apply makes them"]
        if result["experiments"]
        else [*lines, "  nothing to repair"]
    )


def _told_rescue(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['source']}"]
    lines += [_told_finding(finding) for finding in result["findings"][:SHOWN]]
    if len(result["findings"]) > SHOWN:
        lines.append(
            f"  ... and {len(result['findings']) - SHOWN} more (--json, or the report, has all)"
        )
    after = result["after"]
    head = f"{'can be saved':>14}" if after is None else f"{'before':>14}{'after':>13}"
    lines += ["", f"  {'':<24}{head}"]
    for kind, count in result["before"].items():
        lines.append(
            f"  {_several(kind):<24}{count:>14,}"
            + ("" if after is None else f"{after.get(kind, 0):>13,}")
        )
    lines.append(
        f"  {size(result['totals'].get('artifact bytes', 0))} of artifacts stay where they are"
    )
    for name in ("backup", "quarantine", "report"):
        lines += [f"  {name:<10} {result[name]}"] if result[name] else []
    lines += [f"  note: {note}" for note in result["notes"]]
    lines += [f"  DIFFERENT: {words}" for words in (*result["differences"], *result["orphans"])]
    ends = {
        "examined": "  nothing was changed; --to sqlite:///mlflow.db --apply rescues it",
        "rescued": f"  the same, fact by fact: `mlflow ui --backend-store-uri {result['to']}` shows it",
        "not proven": "  the database is not what the folder was, and was not put in its place",
    }
    return [*lines, ends[result["status"]]]


def _told_finding(finding: dict[str, Any]) -> str:
    return f"  {finding['done']:<12} {finding['what']} {finding['path']}: {finding['cause']} ({size(finding['bytes'])})"


def _several(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"
