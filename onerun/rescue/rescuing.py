"""The order of a rescue. The old store is only read.

An SQLite file appears whole and proven, or not at all. A database of a server is filled step by step: until it is
proven, it says so, and the same command goes on where a killed one stopped.
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
from onerun.archive.record_io import database, filling, migration
from onerun.archive.restore import restore
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import Selection
from onerun.rescue.case import LEFT_OUT, Case, Finding
from onerun.rescue.experiments import claim, experiment_folders, rescue_experiment, rescue_models
from onerun.rescue.facts import SHOWN, Facts
from onerun.rescue.models import tell_orphans
from onerun.rescue.proof import prove
from onerun.rescue.registry import rescue_registry
from onerun.tracking.database import is_missing


@dataclass(frozen=True)
class Rescue:
    """What was found and, when `to` is not empty, what came of it."""

    source: str
    findings: list[Finding]
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
        """Whether the database says what the old store said, and refers to nothing that is not there."""
        return not self.differences and not self.orphans


def examine(source: str) -> Rescue:
    """Reads the old store; nothing is written to it, nor beside it. Raises: Mistakes when there is none."""
    root = _root(source)
    with _facts() as facts:
        case = Case(root, facts)
        _read(case)
        counts, digests = facts.counts("before"), facts.digests("before")
        return Rescue(str(root), case.findings, dict(case.totals), counts, digests_before=digests)


def rescue(source: str, to: str, keep_in: str | None = None) -> Rescue:
    """Backs up, mends, migrates to the database `to` and proves it.

    Args: keep_in: the folder of the backup, the quarantine and the report; `<source>-rescue` when None.

    Raises: Mistakes when there is no store, or the database holds something; OnerunError when the backup fails.
    """
    root = _root(source)
    _require_free(to, root)
    home = Path(keep_in or f"{root}-rescue").expanduser().absolute()
    if home.resolve().is_relative_to(root.resolve()):
        raise Mistakes([Mistake("--keep-in", f"{home} lies in the old store, which is only read")])
    with storage.translated_errors(str(home)):
        home.mkdir(parents=True, exist_ok=True)
    backup, _, notes = folders.back_up(
        root.parent, [root], str(home), root.name, without_unreadable=True
    )
    quarantine = home / f"quarantine-{backup.split('-')[-2]}"
    with _facts() as facts, tempfile.TemporaryDirectory(prefix=".rescue-", dir=home) as name:
        work = Path(name)
        case = Case(root, facts, work / "mlruns", quarantine)
        (work / "mlruns" / "0").mkdir(parents=True)  # MLflow's tool looks for one numbered folder
        _read(case)
        _drop_empty_default(work / "mlruns" / "0")
        migration.migrate(work, work / "mlflow.db")
        dangling: list[str] = []
        lost = [
            f"{each.what} {each.path}: {each.cause}"
            for each in case.findings
            if each.done == LEFT_OUT
        ]
        differences = lost[:SHOWN] + prove(facts, f"sqlite:///{work}/mlflow.db", dangling)
        if not differences and not dangling:
            differences, dangling = _bring(work, root, to, facts)
        done = Rescue(
            str(root), case.findings, dict(case.totals), facts.counts("before"), redact(to), facts.counts("after"),
            facts.digests("before"), facts.digests("after"),
            tuple(differences), tuple(dangling), backup, str(quarantine) if quarantine.exists() else "",
            str(home / "report.json"), tuple(notes),
        )  # fmt: skip
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
    """Returns: the folder with the experiments. Raises: Mistakes."""
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
def _facts() -> Iterator[Facts]:
    with tempfile.TemporaryDirectory(prefix="onerun-facts-") as name:
        facts = Facts(Path(name))
        try:
            yield facts
        finally:
            facts.close()


def _read(case: Case) -> None:
    experiments = experiment_folders(case)
    claim(case, [folder for folder, _ in experiments])
    for folder, trashed in experiments:
        rescue_experiment(case, folder, trashed)
    for folder, _ in experiments:
        rescue_models(case, folder)
    tell_orphans(case)
    rescue_registry(case)


def _drop_empty_default(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
        (folder.parent / "models").mkdir(exist_ok=True)


def _require_free(to: str, root: Path) -> None:
    """Raises: Mistakes when the database is none, or holds anything but what a killed rescue of `root` left."""
    if not database.is_sql(to):
        raise Mistakes(
            [
                Mistake(
                    "--to",
                    f"{to} is no database: sqlite:///mlflow.db or postgresql://user@host/name",
                )
            ]
        )
    if is_missing(to):
        return
    with database.engine(to) as engine:
        half = filling.source(engine)
        if half == str(root):
            return
        if half is not None:
            says = f"a rescue of {half} into this database did not end: run that one again, or name an empty database"
            raise Mistakes([Mistake("--to", says)])
        if database.row_count(engine, "runs") or database.row_count(engine, "experiments") > 1:
            raise Mistakes(
                [Mistake("--to", "the database holds experiments already; name an empty one")]
            )
        if to.startswith("sqlite"):
            raise Mistakes(
                [
                    Mistake(
                        "--to",
                        "the file is there already (and empty): remove it or name another one",
                    )
                ]
            )


def _bring(work: Path, root: Path, to: str, facts: Facts) -> tuple[list[str], list[str]]:
    """An SQLite file takes its place; another database is filled by an archive, and looked at again."""
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
        filling.begin(engine, str(root))
        restore(archive.uri, apply=True, store=to)
        facts.forget_after()
        dangling: list[str] = []
        differences = prove(facts, to, dangling)
        if not differences and not dangling:
            filling.end(engine)
    return differences, dangling
