"""The command line of a backup. Needs no Prefect."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flows.command_line.arguments import add_usual, command_line
from flows.command_line.endings import exit_code
from flows.upkeep.stores import use_store

EXAMPLE = """example:
  python -m flows.backup
  python -m flows.backup --to s3://backups/mlflow --keep 14
  python -m flows.backup --experiment california-housing --to /mnt/backups
  python -m flows.backup --model california-housing

An archive is a compressed tar: records with their ids and times, files, and a manifest with the SHA-256 of each. It is
read back before this ends. `python -m flows.restore` brings back what is in it.
exit codes: 0 done, 1 there is no archive, 2 a mistake in what was asked, 130 interrupted"""


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.backup`."""
    parser = command_line(
        "flows.backup",
        "Back up an MLflow store, or parts of it, into one verified archive.",
        EXAMPLE,
    )
    add_selection(parser)
    parser.add_argument(
        "--to",
        metavar="DEST",
        help="a folder or s3://bucket/prefix (backups/ in the profile's store)",
    )
    parser.add_argument(
        "--keep", metavar="N", type=int, help="keep the newest N of this label and store (all)"
    )
    parser.add_argument(
        "--label", metavar="TEXT", help="how the archive's name begins (store, or part)"
    )
    add_usual(parser, "which store")
    return parser


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that say which parts are meant."""
    parts = parser.add_argument_group("parts (all of it when none is named)")
    parts.add_argument(
        "--experiment",
        metavar="NAME",
        action="append",
        default=[],
        help="an experiment, by name or id",
    )
    parts.add_argument(
        "--run", metavar="ID", action="append", default=[], help="a run and what it made"
    )
    parts.add_argument(
        "--model",
        metavar="NAME",
        action="append",
        default=[],
        help="a registered model, and its runs",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Back up as asked. Returns: the exit code."""
    asked = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    return exit_code(
        lambda: _done(asked), asked.json, "interrupted; there is no archive", asked.traceback
    )


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    result = back_up(
        asked.experiment, asked.run, asked.model, asked.to, asked.keep, asked.label, asked.profile
    )
    if not asked.json:
        print("\n".join(told(result)))
    return result


def back_up(
    experiments: Sequence[str],
    runs: Sequence[str],
    models: Sequence[str],
    to: str | None,
    keep: int | None,
    label: str | None,
    profile: str | None,
) -> dict[str, Any]:
    """Makes the archive. Returns: what --json prints. Raises: Mistakes, OnerunError."""
    from onerun import archive as archives
    from onerun import storage
    from onerun.archive import keeping
    from onerun.config.mistakes import Mistake, Mistakes

    if keep is not None and keep < 1:
        raise Mistakes([Mistake("--keep", f"at least one archive is kept, not {keep}")])
    chosen = use_store(profile)
    destination = to or storage.join(chosen.variables()["ONERUN_STORE"], "backups")
    selection = archives.Selection(tuple(experiments), tuple(runs), tuple(models))
    label = label or ("store" if selection.everything else "part")
    made = archives.back_up(selection, destination, label)
    removed = keeping.keep(made.uri, keep) if keep else []
    return {
        "status": "done",
        "archive": made.uri,
        "sha256": made.digest,
        "bytes": made.bytes,
        "counts": dict(made.counts),
        "notes": list(made.notes),
        "removed": removed,
        "restore": f"python -m flows.restore {made.uri}",
    }


def told(result: dict[str, Any]) -> list[str]:
    """Returns: the lines of the result."""
    return [
        result["archive"],
        f"  {counted(result['counts'])}",
        f"  {size(result['bytes'])} holding {size(result['counts']['file bytes'])} of files; read back and whole",
        *(f"  note: {note}" for note in result["notes"]),
        *(f"  removed {uri}" for uri in result["removed"]),
        f"  back: {result['restore']}",
    ]


SHOWN = {
    "experiment": "experiments",
    "run": "runs",
    "model": "logged models",
    "trace": "traces",
    "registered-model": "registered models",
    "model-version": "versions",
    "files": "files",
}


def counted(counts: Mapping[str, int]) -> str:
    """Returns: how many there are of what a person knows by name."""
    return ", ".join(f"{counts[kind]:,} {words}" for kind, words in SHOWN.items() if kind in counts)


def size(count: int) -> str:
    """Returns: bytes as a person reads them."""
    if count < 1000:
        return f"{count} bytes"
    number, unit = float(count), 0
    while number >= 1000 and unit < 4:
        number, unit = number / 1000, unit + 1
    return f"{number:.1f} {('', 'kB', 'MB', 'GB', 'TB')[unit]}"
