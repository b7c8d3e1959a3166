"""`onerun restore`: what an archive holds and a store lacks, brought back."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field

from onerun.commands.command import Command
from onerun.commands.options import Argument
from onerun.commands.profile_store import use_store
from onerun.commands.store_options import PartOptions
from onerun.commands.ui import Ui
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import load_profile
from onerun.domain.text import counted, size

if TYPE_CHECKING:
    from onerun.archive import Restored

SHOWN_PLACES = 10


class RestoreOptions(PartOptions):
    """Options of a restore."""

    archive: Annotated[str, Argument("", metavar="ARCHIVE")] = Field(
        description="a file, or its s3:// address"
    )
    apply: bool = Field(False, description="write; without it only the plan is shown")
    verify: bool = Field(False, description="read the archive alone, and no store")
    artifacts: Annotated[str | None, Argument(metavar="ROOT")] = Field(
        None, description="files go below this folder or address, not where they were"
    )
    overwrite: bool = Field(False, description="make what differs as it is in the archive")
    to: Annotated[str | None, Argument(metavar="FOLDER")] = Field(
        None, description="the file store that an archive of folders is unpacked into"
    )


class VerifyResult(BaseModel):
    """A whole archive: every member was read and has the checksum that the manifest says.

    sha256, bytes: of the file. header: when it was written, from which store.
    counts: records by kind.
    """

    status: str = "whole"
    archive: str
    sha256: str
    bytes: int
    header: dict[str, Any]
    counts: dict[str, int]

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        if "written" not in self.header:
            yield f"{self.archive} is whole: {size(self.bytes)} of folders"
            return
        written = f"written {self.header['written']} from {self.header['store']}"
        yield f"{self.archive} is whole: {size(self.bytes)}, {written}"
        yield f"  {counted(self.counts)}"


class RestoreResult(BaseModel):
    """What a restore found or, when `applied`, wrote.

    new, differ: how many records and files. found: the same by kind. bytes: of new files.
    differing: the first differences, in words. places: where files go.
    """

    status: str
    archive: str
    applied: bool
    overwritten: bool
    new: int
    differ: int
    found: dict[str, dict[str, int]]
    bytes: int
    differing: list[str]
    places: list[str]
    notes: list[str]

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        done = "restored" if self.applied else "new"
        yield f"  {'':<18}{done:>10}{'the same':>10}{'differ':>10}"
        for kind, counts in self.found.items():
            yield f"  {kind.replace('-', ' '):<18}{_columns(counts)}"
        yield from (f"  differs: {each}" for each in self.differing)
        if self.differ and self.overwritten:
            yield "  what differs was overwritten"
        elif self.differ:
            yield "  what differs is left as it is"
        yield from (f"  note: {each}" for each in self.notes)
        if self.bytes:
            yield from (f"  {size(self.bytes)} of files below {each}" for each in self.places[:1])
            yield from (f"    and {each}" for each in self.places[1:SHOWN_PLACES])
        if not self.applied:
            yield "  nothing was changed; --apply does it"


def _columns(counts: Mapping[str, int]) -> str:
    return "".join(f"{counts.get(verdict, 0):>10,}" for verdict in ("new", "same", "differs"))


def run(options: RestoreOptions, ui: Ui) -> RestoreResult | VerifyResult:
    """Plan and, with `apply`, restore. Raises: Mistakes, OnerunError."""
    result = _verify(options) if options.verify else _restore(options)
    for line in result.lines():
        ui.say(line)
    return result


def _verify(options: RestoreOptions) -> VerifyResult:
    from onerun import archive as archives

    load_profile(options.profile).apply()  # the keys of an object store
    whole = archives.read_back(options.archive)
    return VerifyResult(
        archive=options.archive,
        sha256=whole.digest,
        bytes=whole.bytes,
        header=whole.header,
        counts=whole.counts,
    )


def _restore(options: RestoreOptions) -> RestoreResult:
    from onerun import archive as archives

    if archives.holds_folders(options.archive):
        done = _restore_folders(options)
    else:
        done = _restore_records(options)
    return RestoreResult(
        status="done" if options.apply else "planned",
        archive=options.archive,
        applied=options.apply,
        overwritten=options.apply and options.overwrite,
        new=done.new,
        differ=done.differ,
        found={kind: dict(counts) for kind, counts in done.found.items()},
        bytes=done.bytes,
        differing=list(done.differing),
        places=list(done.places),
        notes=list(done.notes),
    )


def _restore_records(options: RestoreOptions) -> "Restored":
    from onerun import archive as archives

    if options.to:
        advice = "is for archives of folders; this one goes into the profile's store"
        raise Mistakes([Mistake("--to", advice)])
    use_store(options.profile, must_exist=False)
    return archives.restore(
        options.archive,
        options.selection,
        apply=options.apply,
        artifacts=options.artifacts,
        overwrite=options.overwrite,
    )


def _restore_folders(options: RestoreOptions) -> "Restored":
    from onerun import archive as archives

    if not options.to:
        advice = "is missing: which file store? an archive of folders needs --to ./mlruns"
        raise Mistakes([Mistake("--to", advice)])
    if not options.selection.everything or options.artifacts or options.overwrite:
        advice = (
            "an archive of folders takes no parts, --artifacts or --overwrite: it is unpacked "
            "as a whole, and existing files stay"
        )
        raise Mistakes([Mistake(options.archive, advice)])
    load_profile(options.profile).apply()
    return archives.restore_folders(options.archive, options.to, apply=options.apply)


COMMAND = Command(
    name="restore",
    summary="Bring back what an archive holds and the MLflow store lacks, with its ids and times.",
    options=RestoreOptions,
    run=run,
    examples=[
        "onerun restore backups/store-5d41402abc4b-….tar.gz",
        "onerun restore s3://backups/mlflow/store-5d41402abc4b-….tar.gz --apply",
        "onerun restore backups/part-5d41402abc4b-….tar.gz --model houses --apply",
        "onerun restore backups/weekly-5d41402abc4b-….folders.tar.gz --to ./mlruns --apply",
    ],
    notes=(
        "The archive is read and verified as a whole first. Without --apply nothing is written.\n"
        "What the store has with another content is listed, and left as it is."
    ),
    exit_codes={
        1: "the archive is damaged or the store could not be written",
        130: "interrupted (the same command again goes on)",
    },
    interrupted="interrupted; what was restored is whole, the same command again goes on",
)
