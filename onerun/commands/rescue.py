"""`onerun rescue`: an old file store (./mlruns), examined and brought into a database."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from onerun.commands.command import Command
from onerun.commands.options import Argument, OutputOptions
from onerun.commands.ui import Ui
from onerun.config.addresses import redact, with_driver
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import TELEMETRY_OFF
from onerun.domain.text import size

REPAIR_KEEPS_IN = "rescue"  # in the working directory
SHOWN = 40  # findings
NO_DATABASE = "is missing: which database? --to sqlite:///mlflow.db"


class RescueOptions(OutputOptions):
    """Options of a rescue."""

    source: Annotated[str | None, Argument("--from", metavar="FOLDER")] = Field(
        None, description="the file store: the folder with the experiments, such as ./mlruns"
    )
    repair: bool = Field(False, description="a database that was migrated badly: see --to")
    to: Annotated[str | None, Argument(metavar="URI")] = Field(
        None, description="the database: an SQLite file that does not exist, or an empty database"
    )
    apply: bool = Field(False, description="do it; without it nothing is written")
    keep_in: Annotated[str | None, Argument(metavar="FOLDER")] = Field(
        None,
        description=f"backup, quarantine and report go there (FOLDER-rescue, or {REPAIR_KEEPS_IN})",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.repair == (self.source is not None):
            raise ValueError("give either --from FOLDER, an old file store, or --repair")
        return self


class FoundDamage(BaseModel):
    """Something that is wrong with the file store: where, what, why, and what is done about it."""

    path: str
    what: str
    cause: str
    done: str
    bytes: int

    def line(self) -> str:
        """Return it as a person reads it."""
        return f"  {self.done:<12} {self.what} {self.path}: {self.cause} ({size(self.bytes)})"


class RescueResult(BaseModel):
    """What was found in a file store and, with `apply`, what the database holds.

    status: `examined`, `rescued` or `not proven`. before, after: facts by kind, in the folder and
    in the database; digests_*: one SHA-256 of each kind. backup, quarantine, report: addresses.
    """

    status: str
    source: str
    findings: list[FoundDamage]
    totals: dict[str, int]
    before: dict[str, int]
    to: str
    after: dict[str, int] | None
    digests_before: dict[str, str]
    digests_after: dict[str, str]
    differences: list[str]
    orphans: list[str]
    backup: str
    quarantine: str
    report: str
    notes: list[str]

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        yield self.source
        yield from (each.line() for each in self.findings[:SHOWN])
        if len(self.findings) > SHOWN:
            yield f"  ... and {len(self.findings) - SHOWN} more (--json, or the report, has all)"
        yield ""
        yield from self._table()
        artifacts = size(self.totals.get("artifact bytes", 0))
        yield f"  {artifacts} of artifacts stay where they are"
        for name in ("backup", "quarantine", "report"):
            if address := getattr(self, name):
                yield f"  {name:<10} {address}"
        yield from (f"  note: {each}" for each in self.notes)
        yield from (f"  DIFFERENT: {each}" for each in (*self.differences, *self.orphans))
        yield self._end()

    def _table(self) -> Iterator[str]:
        if self.after is None:
            yield f"  {'':<24}{'can be saved':>14}"
            for kind, count in self.before.items():
                yield f"  {_plural(kind):<24}{count:>14,}"
            return
        yield f"  {'':<24}{'before':>14}{'after':>13}"
        for kind, count in self.before.items():
            yield f"  {_plural(kind):<24}{count:>14,}{self.after.get(kind, 0):>13,}"

    def _end(self) -> str:
        if self.status == "examined":
            return "  nothing was changed; --to sqlite:///mlflow.db --apply rescues it"
        if self.status == "rescued":
            shown_by = f"`mlflow ui --backend-store-uri {self.to}` shows it"
            return f"  the same, fact by fact: {shown_by}"
        return "  the database differs from the folder, and was not put in its place"


class RepairResult(BaseModel):
    """What was found in a database that was migrated badly and, with `apply`, put right.

    experiments: id of an experiment that has runs and no row -> where its files are.
    orphans: rows that refer to something that does not exist, by table.
    """

    status: str
    to: str
    experiments: dict[str, str | None]
    orphans: dict[str, int]
    backup: str

    def lines(self) -> Iterator[str]:
        """Yield the result as a person reads it."""
        for identity, location in self.experiments.items():
            yield f"  experiment {identity} has runs and no row; their files: {location or '?'}"
        for table, count in self.orphans.items():
            yield f"  orphans: {count:,} rows of {table}"
        if self.backup:
            yield f"  backed up: {self.backup}"
            yield f"  {len(self.experiments)} experiments were made again"
        elif self.experiments:
            yield "  --apply makes them"
        else:
            yield "  nothing to repair"


def _plural(kind: str) -> str:
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def run(options: RescueOptions, ui: Ui) -> RescueResult | RepairResult:
    """Examine and, with `apply`, rescue. Raises: Mistakes, OnerunError."""
    os.environ.update(TELEMETRY_OFF)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it logs each table that it makes
    if options.source is None:
        result: RescueResult | RepairResult = _repair(options)
    else:
        result = _rescue(options, options.source)
    for line in result.lines():
        ui.say(line)
    return result


def _rescue(options: RescueOptions, source: str) -> RescueResult:
    from onerun import rescue

    to = with_driver(options.to) if options.to else None
    if not options.apply:
        return RescueResult(status="examined", **asdict(rescue.examine(source)))
    if to is None:
        raise Mistakes([Mistake("--to", NO_DATABASE)])
    done = rescue.rescue(source, to, options.keep_in)
    status = "rescued" if done.proven else "not proven"
    return RescueResult(status=status, **asdict(done))


def _repair(options: RescueOptions) -> RepairResult:
    from onerun import rescue

    if not options.to:
        raise Mistakes([Mistake("--to", NO_DATABASE)])
    store = with_driver(options.to)
    done = rescue.repair(store, options.apply, options.keep_in or REPAIR_KEEPS_IN)
    return RepairResult(
        status="repaired" if done.applied else "examined",
        to=redact(store),
        experiments=done.locations,
        orphans=done.orphans,
        backup=done.backup.uri if done.backup else "",
    )


def _exit_code(result: RescueResult | RepairResult) -> int:
    return 1 if result.status == "not proven" else 0


COMMAND = Command(
    name="rescue",
    summary="Examine an old MLflow file store (./mlruns), and bring it into a database.",
    options=RescueOptions,
    run=run,
    examples=[
        "onerun rescue --from ./mlruns",
        "onerun rescue --from ./mlruns --to sqlite:///mlflow.db --apply",
        "onerun rescue --from /srv/mlruns --to postgresql://user@host/mlflow --apply",
        "onerun rescue --repair --to sqlite:///mlflow.db --apply",
    ],
    notes=(
        "Without --apply it is examined and nothing is written. With it: the folder is backed up\n"
        "as it is, repaired in a copy, migrated by MLflow's own tool, and the database compared with\n"
        "what was in the folder, fact by fact. The folder is only read; artifacts stay where they are."
    ),
    exit_codes={0: "done and proven (or examined)", 1: "the database is not what the folder was"},
    interrupted=(
        "interrupted; the old store is as it was, and the new one is not done: run it again"
    ),
    needs_arguments=True,
    code_of=_exit_code,
)
