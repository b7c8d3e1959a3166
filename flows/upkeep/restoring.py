"""The command line of a restore. Needs no Prefect."""

import argparse
from collections.abc import Sequence
from typing import Any

from flows.command_line.arguments import add_usual, command_line, parsed
from flows.upkeep.restoring_folders import is_of_folders, restore_folders, verify_folders
from onerun.commands.exit import exit_code
from onerun.commands.profile_store import use_store
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.text import counted, size

EXAMPLE = """example:
  python -m flows.restore backups/store-5d41402abc4b-….tar.gz
  python -m flows.restore s3://backups/mlflow/store-5d41402abc4b-….tar.gz --apply
  python -m flows.restore backups/part-5d41402abc4b-….tar.gz --model houses --apply
  python -m flows.restore backups/weekly-5d41402abc4b-….folders.tar.gz --to ./mlruns --apply

The archive is read and verified as a whole first. Without --apply nothing is written. What the store has with another
content is told and left.
exit codes: 0 done, 1 the archive is damaged or the store could not be written, 2 a mistake in what was asked,
130 interrupted (the same command again goes on)"""


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.restore`."""
    parser = command_line(
        "flows.restore",
        "Bring back what an archive holds and the MLflow store lacks, with its ids and times.",
        EXAMPLE,
    )
    parser.add_argument("archive", metavar="ARCHIVE", help="a file, or its s3:// address")
    for flag in ("--experiment", "--run", "--model"):
        parser.add_argument(flag, action="append", default=[])
    parser.add_argument(
        "--to",
        metavar="FOLDER",
        help="the store of files that an archive of folders is unpacked into",
    )
    parser.add_argument(
        "--apply", action="store_true", help="write; without it the plan is all there is"
    )
    parser.add_argument(
        "--verify", action="store_true", help="look at the archive alone, at no store"
    )
    parser.add_argument(
        "--artifacts",
        metavar="ROOT",
        help="files go below this folder or address, not where they were",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="make what differs as it is in the archive"
    )
    add_usual(parser, "which store")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore as asked. Returns: the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    interrupted = "interrupted; what was restored is whole, the same command again goes on"
    return exit_code(lambda: _done(asked), asked.json, interrupted, asked.traceback)


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.verify:
        of_folders = is_of_folders(asked.archive)
        result = (verify_folders if of_folders else verify)(asked.archive, asked.profile)
    else:
        parts = (asked.experiment, asked.run, asked.model)
        result = restore(
            asked.archive,
            *parts,
            asked.apply,
            asked.artifacts,
            asked.overwrite,
            asked.profile,
            asked.to,
        )
    if not asked.json:
        print("\n".join(told(result)))
    return result


def verify(archive: str, profile: str | None) -> dict[str, Any]:
    """Reads the archive from its first to its last byte. Returns: what --json prints. Raises: ArchiveDamaged."""
    import tempfile
    from pathlib import Path

    from onerun.archive.verify import verify as read
    from settings.profile import load_profile

    load_profile(profile).apply()  # the keys of an object store
    with tempfile.TemporaryDirectory(prefix="onerun-verify-") as folder:
        read_back = read(archive, Path(folder))
    return {
        "status": "whole",
        "archive": archive,
        "sha256": read_back.digest,
        "bytes": read_back.bytes,
        "header": read_back.header,
        "counts": read_back.counts,
    }


def restore(
    archive: str,
    experiments: Sequence[str],
    runs: Sequence[str],
    models: Sequence[str],
    apply: bool,
    artifacts: str | None,
    overwrite: bool,
    profile: str | None,
    to: str | None = None,
) -> dict[str, Any]:
    """Plans, and with `apply` restores. Returns: what --json prints. Raises: Mistakes, OnerunError."""
    if is_of_folders(archive):
        return restore_folders(
            archive, to, (*experiments, *runs, *models, artifacts, overwrite), apply, profile
        )
    if to:
        raise Mistakes(
            [Mistake("--to", "is for archives of folders; this one goes into the profile's store")]
        )
    from onerun import archive as archives

    use_store(profile, must_exist=False)
    selection = archives.Selection(tuple(experiments), tuple(runs), tuple(models))
    done = archives.restore(
        archive, selection, apply=apply, artifacts=artifacts, overwrite=overwrite
    )
    return {
        "status": "done" if apply else "planned",
        "archive": archive,
        "applied": apply,
        "overwritten": apply and overwrite,
        "new": done.new,
        "differ": done.differ,
        "found": {kind: dict(counts) for kind, counts in done.found.items()},
        "bytes": done.bytes,
        "differing": list(done.differing),
        "places": list(done.places),
        "notes": list(done.notes),
    }


def told(result: dict[str, Any]) -> list[str]:
    """Returns: the lines of the result."""
    if "found" not in result:
        counts = counted(result["counts"])
        if not result["header"]:
            return [f"{result['archive']} is whole: {size(result['bytes'])} of folders"]
        written = f"written {result['header']['written']} from {result['header']['store']}"
        return [f"{result['archive']} is whole: {size(result['bytes'])}, {written}", f"  {counts}"]
    head = (
        f"  {'':<18}{'restored' if result['applied'] else 'new':>10}{'the same':>10}{'differ':>10}"
    )
    lines = [head]
    for kind, counts in result["found"].items():
        numbers = "".join(
            f"{counts.get(verdict, 0):>10,}" for verdict in ("new", "same", "differs")
        )
        lines.append(f"  {kind.replace('-', ' '):<18}{numbers}")
    lines += [f"  differs: {words}" for words in result["differing"]]
    if result["differ"]:
        lines.append(
            "  what differs was overwritten"
            if result["overwritten"]
            else "  what differs is left as it is"
        )
    lines += [f"  note: {note}" for note in result["notes"]]
    if result["bytes"]:
        lines += [
            f"  {size(result['bytes'])} of files below {place}" for place in result["places"][:1]
        ]
        lines += [f"    and {place}" for place in result["places"][1:10]]
    return lines if result["applied"] else [*lines, "  nothing was changed; --apply does it"]
