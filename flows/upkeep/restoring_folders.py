"""What `python -m flows.restore` does with an archive of folders, which a clean-up of a store of files makes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onerun.config.mistakes import Mistake, Mistakes
from settings.profile import load_profile

SHOWN = 200


def is_of_folders(archive: str) -> bool:
    """Whether the archive's name says so."""
    from onerun.archive.keeping import FOLDERS

    return archive.endswith(FOLDERS)


def verify_folders(archive: str, profile: str | None) -> dict[str, Any]:
    """Reads the archive as a whole. Returns: what --json prints. Raises: ArchiveDamaged."""
    from onerun.archive.unpacking import verified

    load_profile(profile).apply()  # the keys of an object store
    with verified(archive) as (local, digest):
        size = local.stat().st_size
    return {
        "status": "whole",
        "archive": archive,
        "sha256": digest,
        "bytes": size,
        "header": {},
        "counts": {},
    }


def restore_folders(
    archive: str, to: str | None, parts: Sequence[object], apply: bool, profile: str | None
) -> dict[str, Any]:
    """Plans, and with `apply` unpacks into the folder `to`. Returns: what --json prints. Raises: Mistakes, OnerunError.

    Args: parts: what was asked for of an archive of records; there is no such thing here.
    """
    from onerun.archive.unpacking import unpack, verified

    if not to:
        raise Mistakes(
            [
                Mistake(
                    "--to",
                    "is missing: which store of files? an archive of folders needs --to ./mlruns",
                )
            ]
        )
    if any(parts):
        words = "no parts, --artifacts or --overwrite: it is unpacked as a whole, and what is there stays"
        raise Mistakes([Mistake(archive, f"an archive of folders takes {words}")])
    load_profile(profile).apply()
    target = Path(to.removeprefix("file://")).expanduser().absolute()
    with verified(archive) as (local, _):
        done = unpack(local, target, apply)
    return {
        "status": "done" if apply else "planned",
        "archive": archive,
        "applied": apply,
        "overwritten": False,
        "new": done.files["new"],
        "differ": done.files["differs"],
        "found": {"files": dict(done.files)},
        "bytes": done.bytes,
        "differing": done.differing[:SHOWN],
        "places": [str(target)],
        "notes": done.notes,
    }
