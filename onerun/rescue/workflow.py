"""The order of a rescue. The old store is only read.

An SQLite file appears whole and proven, or not at all. A database of a server is filled step by
step: until it is proven, it carries a mark, and the same command goes on after a kill.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from onerun import storage
from onerun.archive import folders
from onerun.archive.backup import back_up
from onerun.archive.record_io import database, migration
from onerun.archive.restore import restore
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import Selection
from onerun.rescue.checksums import AFTER, BEFORE, SHOWN, Checksums
from onerun.rescue.context import LEFT_OUT, RescueContext, RescueFinding
from onerun.rescue.experiments import (
    experiment_folders,
    rescue_experiment,
    rescue_models,
    resolve_duplicates,
)
from onerun.rescue.models import note_orphans
from onerun.rescue.proof import prove
from onerun.rescue.registry import rescue_registry
from onerun.tracking.database import is_missing


@dataclass(frozen=True)
class Rescue:
    """What was found and, when `to` is not empty, what came of it."""

    source: str
    findings: list[RescueFinding]
    totals: dict[str, int]
    before: dict[str, int]
    to: str = ""
    after: dict[str, int] | None = None
    digests_before: dict[str, str] = field(
        default_factory=dict
    )  # kind of fact -> SHA-256 of all of them
    digests_after: dict[str, str] = field(default_factory=dict)
    differences: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    backup: str = ""
    quarantine: str = ""
    report: str = ""
    notes: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        """Return whether the database says what the old store said, without orphans."""
        return not self.differences and not self.orphans


def examine(source: str) -> Rescue:
    """Read the old store; nothing is written, not even beside it. Raises: Mistakes."""
    root = _root(source)
    with _open_checksums() as checksums:
        context = RescueContext(root, checksums)
        _read(context)
        counts, digests = checksums.counts(BEFORE), checksums.digests(BEFORE)
        return Rescue(
            str(root), context.findings, dict(context.totals), counts, digests_before=digests
        )


def rescue(source: str, to: str, keep_in: str | None = None) -> Rescue:
    """Back up, repair, migrate to the database `to` and prove it.

    Args:
        source: the folder of the old store.
        to: the database.
        keep_in: the folder of backup, quarantine and report; `<source>-rescue` when None.

    Raises:
        Mistakes: there is no store, or the database holds something.
        OnerunError: the backup failed.
    """
    root = _root(source)
    _require_free(to, root)
    home = Path(keep_in or f"{root}-rescue").expanduser().absolute()
    if home.resolve().is_relative_to(root.resolve()):
        raise Mistakes([Mistake("--keep-in", f"{home} lies in the old store, which is only read")])
    with storage.translated_errors(str(home)):
        home.mkdir(parents=True, exist_ok=True)
    backup = folders.back_up(root.parent, [root], str(home), root.name, without_unreadable=True)
    quarantine = home / f"quarantine-{backup.uri.split('-')[-2]}"
    with (
        _open_checksums() as checksums,
        tempfile.TemporaryDirectory(prefix=".rescue-", dir=home) as name,
    ):
        work = Path(name)
        context = RescueContext(root, checksums, work / "mlruns", quarantine)
        (work / "mlruns" / "0").mkdir(parents=True)  # MLflow's tool looks for one numbered folder
        _read(context)
        _drop_empty_default(work / "mlruns" / "0")
        migration.migrate(work, work / "mlflow.db")
        dangling: list[str] = []
        lost = [
            f"{each.what} {each.path}: {each.cause}"
            for each in context.findings
            if each.done == LEFT_OUT
        ]
        differences = lost[:SHOWN] + prove(checksums, f"sqlite:///{work}/mlflow.db", dangling)
        if not differences and not dangling:
            differences, dangling = _bring(work, root, to, checksums)
        done = Rescue(
            source=str(root),
            findings=context.findings,
            totals=dict(context.totals),
            before=checksums.counts(BEFORE),
            to=redact(to),
            after=checksums.counts(AFTER),
            digests_before=checksums.digests(BEFORE),
            digests_after=checksums.digests(AFTER),
            differences=tuple(differences),
            orphans=tuple(dangling),
            backup=backup.uri,
            quarantine=str(quarantine) if quarantine.exists() else "",
            report=str(home / "report.json"),
            notes=backup.notes,
        )
        if not done.proven:
            done = _kept_unproven(done, work / "mlflow.db", home / "not-proven.db")
    (home / "report.json").write_text(json.dumps(asdict(done), indent=2, ensure_ascii=True))
    return done


def _kept_unproven(done: Rescue, migrated: Path, kept: Path) -> Rescue:
    shutil.move(migrated, kept)
    notes = [f"what was migrated is in {kept}"]
    if not done.to.startswith("sqlite"):
        notes.append(
            f"{done.to} holds what was brought there, unproven: empty it before the next try"
        )
    return replace(done, to="", notes=(*done.notes, *notes))


def _root(source: str) -> Path:
    """Return the folder with the experiments. Raises: Mistakes: it is none."""
    path = Path(source.removeprefix("file://")).expanduser().absolute()
    path = path / "mlruns" if (path / "mlruns").is_dir() else path
    if not path.is_dir():
        raise Mistakes([Mistake("--from", f"{path} is no folder")])
    names = [each.name for each in path.iterdir()]
    if not any(name.isdecimal() or name in (".trash", "models") for name in names):
        raise Mistakes(
            [Mistake("--from", f"{path} is no file store of MLflow: it has no numbered folder")]
        )
    return path


@contextmanager
def _open_checksums() -> Iterator[Checksums]:
    with tempfile.TemporaryDirectory(prefix="onerun-facts-") as name:
        checksums = Checksums(Path(name))
        try:
            yield checksums
        finally:
            checksums.close()


def _read(context: RescueContext) -> None:
    experiments = experiment_folders(context)
    resolve_duplicates(context, [folder for folder, _ in experiments])
    for folder, trashed in experiments:
        rescue_experiment(context, folder, trashed)
    for folder, _ in experiments:
        rescue_models(context, folder)
    note_orphans(context)
    rescue_registry(context)


def _drop_empty_default(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
        (folder.parent / "models").mkdir(exist_ok=True)


def _require_free(to: str, root: Path) -> None:
    """Raise Mistakes unless the database is empty, or a killed rescue of `root` left it."""
    if not database.is_sql(to):
        advice = "sqlite:///mlflow.db or postgresql://user@host/name"
        raise Mistakes([Mistake("--to", f"{to} is no database: {advice}")])
    if is_missing(to):
        return
    with database.engine(to) as engine:
        half = migration.source_filling(engine)
        if half == str(root):
            return
        if half is not None:
            message = (
                f"a rescue of {half} into this database did not end: "
                "run that one again, or name an empty database"
            )
            raise Mistakes([Mistake("--to", message)])
        if database.row_count(engine, "runs") or database.row_count(engine, "experiments") > 1:
            raise Mistakes(
                [Mistake("--to", "the database holds experiments already; name an empty one")]
            )
        if to.startswith("sqlite"):
            message = "the file is there already (and empty): remove it or name another one"
            raise Mistakes([Mistake("--to", message)])


def _bring(work: Path, root: Path, to: str, checksums: Checksums) -> tuple[list[str], list[str]]:
    """Move an SQLite file to its place; fill another database by an archive, and compare again."""
    migrated = f"sqlite:///{work}/mlflow.db"
    if to.startswith("sqlite"):
        target = Path(to.partition(":///")[2].partition("?")[0]).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.rescued")
        shutil.copyfile(work / "mlflow.db", draft)
        draft.rename(target)
        return [], []
    archive = back_up(Selection(), str(work / "archive"), "rescue", files=False, store=migrated)
    with database.engine(to, make=True) as engine:
        migration.begin_filling(engine, str(root))
        restore(archive.uri, apply=True, store=to)
        checksums.forget_after()
        dangling: list[str] = []
        differences = prove(checksums, to, dangling)
        if not differences and not dangling:
            migration.end_filling(engine)
    return differences, dangling
