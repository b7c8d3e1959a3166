"""`onerun backup`: an MLflow store, or parts of it, in one verified archive."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, Field

from onerun.commands.command import Command
from onerun.commands.options import Argument
from onerun.commands.profile_store import use_store
from onerun.commands.store_options import PartOptions
from onerun.commands.ui import Ui
from onerun.domain.text import counted, size


class BackupOptions(PartOptions):
    """Options of a backup."""

    to: Annotated[str | None, Argument(metavar="DEST")] = Field(
        None, description="a folder or s3://bucket/prefix (backups/ in the profile's store)"
    )
    keep: Annotated[int | None, Argument(metavar="N")] = Field(
        None, ge=1, le=3650, description="keep the newest N of this label and store (all)"
    )
    label: Annotated[str | None, Argument(metavar="TEXT")] = Field(
        None, description="how the archive's name begins (store, or part)"
    )


class BackupResult(BaseModel):
    """What was written.

    archive: its address. sha256, bytes: of the file. counts: records by kind. notes: what is not in it, and why.
    removed: older archives that `keep` removed. restore: the command that reads it back.
    """

    status: str = "done"
    archive: str
    sha256: str
    bytes: int
    counts: dict[str, int]
    notes: list[str]
    removed: list[str]
    restore: str

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        held = size(self.counts["file bytes"])
        yield self.archive
        yield f"  {counted(self.counts)}"
        yield f"  {size(self.bytes)} holding {held} of files; read back and whole"
        yield from (f"  note: {note}" for note in self.notes)
        yield from (f"  removed {uri}" for uri in self.removed)
        yield f"  back: {self.restore}"


def run(options: BackupOptions, ui: Ui) -> BackupResult:
    """Write the archive and read it back. Raises Mistakes, OnerunError: then there is no archive."""
    from onerun import archive, storage
    from onerun.archive import repository

    profile = use_store(options.profile)
    destination = options.to or storage.join(profile.variables()["ONERUN_STORE"], "backups")
    label = options.label or ("store" if options.selection.everything else "part")
    made = archive.back_up(options.selection, destination, label)
    result = BackupResult(
        archive=made.uri,
        sha256=made.digest,
        bytes=made.bytes,
        counts=dict(made.counts),
        notes=list(made.notes),
        removed=repository.keep(made.uri, options.keep) if options.keep else [],
        restore=f"python -m flows.restore {made.uri}",
    )
    for line in result.lines():
        ui.say(line)
    return result


COMMAND = Command(
    name="backup",
    summary="Back up an MLflow store, or parts of it, into one verified archive.",
    options=BackupOptions,
    run=run,
    examples=[
        "onerun backup",
        "onerun backup --to s3://backups/mlflow --keep 14",
        "onerun backup --experiment california-housing --to /mnt/backups",
        "onerun backup --model california-housing",
    ],
    notes=(
        "An archive is a compressed tar: records with their ids and times, files, and a manifest with the\n"
        "SHA-256 of each. It is read back before this ends. `onerun restore` brings back what is in it."
    ),
    exit_codes={1: "there is no archive"},
    interrupted="interrupted; there is no archive",
)
