"""A store of files, as clean-up asks for it. What it deletes is first moved into its own trash."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import yaml

from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup.damaged import kept_by
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import DELETED, Group, RegisteredVersion, SnapshotUse
from onerun.domain.cleanup.plan import Item, by_family
from onerun.domain.cleanup.protection import Protections
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.result import Outcome
from onerun.store.files import damaged, entities, layout, problems, trash
from onerun.store.files.layout import FolderKind, FolderSelection
from onerun.store.files.protections import (
    protected,
    recheck_runs,
    snapshots_in_use,
    store_protections,
)
from onerun.store.files.reader import Unreadable
from onerun.store.files.trash import NotMoved
from onerun.store.lock import maintenance_lock
from onerun.tracking.database import identity_of


class FileStore:
    """`./mlruns` and the like."""

    can_hard_delete = True
    fingerprint = ""  # its files lie in it: those of another one are not there
    finds_owners = False  # a run's folder is the run: without meta.yaml it is damaged, no orphan
    limits: tuple[str, ...] = (
        "a store of files has no transactions: clean it up while nothing trains with it",
    )

    def __init__(self, root: str) -> None:
        """Raises: Mistakes when there is no such folder."""
        self.root = Path(root.removeprefix("file://")).expanduser().absolute()
        if not self.root.is_dir():
            raise Mistakes([Mistake("MLFLOW_TRACKING_URI", f"{self.root}: no such folder")])
        self.identity = identity_of(str(self.root))
        self._archived: dict[Path, int] = {}  # folder -> its fingerprint when it was archived
        self._planned_at = 0  # milliseconds since 1970: the age of damaged experiments follows

    def close(self) -> None:
        """Do nothing: nothing is held."""

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Let one clean-up of this store run at a time, after finishing what a killed one began.

        Raises: MaintenanceUnderWay.
        """
        with maintenance_lock(self.root / ".onerun-maintenance.lock", str(self.root)):
            trash.finish(self.root)
            yield

    @contextmanager
    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> Iterator[tuple[Protections, Iterator[Group]]]:
        """Yield what protects, and the experiments that MLflow can read."""
        metrics = tuple(best.metric for best in policy.keep.best)
        yield store_protections(self.root, policy, live), self._groups(metrics)

    def _groups(self, metrics: tuple[str, ...]) -> Iterator[Group]:
        for folder, kind in layout.classified(self.root):
            if kind == FolderKind.EXPERIMENT:
                found = (
                    entities.readable_run(path, metrics) for path in layout.run_folders(folder)
                )
                runs = [run for run in found if run]
                yield Group(entities.experiment(folder), runs, list(entities.models(folder)))

    def damaged(self, policy: Policy, protections: Protections, now: int) -> Iterator[Item]:
        """Yield experiments that MLflow cannot read and that nothing protects, to be removed."""
        self._planned_at = now
        yield from damaged.items(self.root, policy, protections, now)

    def archive_selection(
        self, runs: Collection[str], experiments: Sequence[str]
    ) -> FolderSelection | None:
        """Return the folders of runs, of their models and of experiments, fingerprinted."""
        wanted = set(experiments)
        whole = [path for path in layout.experiment_folders(self.root) if path.name in wanted]
        single = [path for path in self._folders_of(runs) if not set(path.parents) & set(whole)]
        if not whole and not single:
            return None
        inside = [
            each
            for path in whole
            for each in (*layout.run_folders(path), *layout.model_folders(path))
        ]
        self._archived = {path: trash.fingerprint(path) for path in (*single, *inside)}
        for path in whole:
            own_alone = layout.kind_of(path) == FolderKind.EXPERIMENT
            self._archived[path] = trash.fingerprint(path, own_alone)
        return FolderSelection(self.root, [*whole, *single])

    def _folders_of(self, runs: Collection[str]) -> Iterator[Path]:
        """Yield the runs' own folders and those of the models that they logged."""
        for folder in layout.experiment_folders(self.root):
            yield from (path for path in layout.run_folders(folder) if path.name in runs)
            for model in entities.models(folder):
                if model.run_id in runs:
                    yield Path(model.location).parent

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Write a tag to runs, as MLflow does."""

        def write(path: Path) -> None:
            (path / "tags").mkdir(exist_ok=True)
            (path / "tags" / tag[0]).write_text(tag[1])

        return self._each(items, policy, going, write)

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Delete runs as MLflow does: their meta.yaml says so."""

        def write(path: Path) -> None:
            meta = layout.meta_of(path) | {"lifecycle_stage": DELETED, "deleted_time": now}
            draft = path / f".{uuid4().hex}"
            draft.write_text(yaml.safe_dump(meta))
            draft.replace(path / layout.META)

        return self._each(items, policy, going, write)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Move the folders of runs and of their models out of the store, then remove them."""
        # an experiment is read once, not for each of its runs
        by_run = cache(trash.models_by_run)

        def models(run: Path) -> Sequence[Path]:
            return by_run(run.parent).get(run.name, ())

        def move(run: Path) -> None:
            trash.move_run_out(self.root, run, models(run))

        def require_archived(run: Path) -> None:
            for path in (run, *models(run)):
                trash.require_no_link(self.root, path)
                self._require_unchanged(path)

        outcome = self._each(items, policy, going, move, require_archived)
        return outcome._replace(notes=trash.empty(self.root))

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Move folders of emptied and of damaged experiments out of the store, then remove them."""
        left = {}
        for item in items:
            try:
                self._delete_experiment(item, policy)
            except NotMoved as refused:
                left[item.id] = refused.reason
        done = tuple(item.id for item in items if item.id not in left)
        return Outcome(done, left, trash.empty(self.root))

    def _delete_experiment(self, item: Item, policy: Policy) -> None:
        found = [path for path in layout.experiment_folders(self.root) if path.name == item.id]
        if len(found) != 1:
            raise NotMoved(Reason(ReasonKind.TWICE if found else ReasonKind.MISSING))
        if item.lifecycle == damaged.DAMAGED:
            self._require_damaged(found[0], policy)
        else:
            self._require_empty(found[0], policy)
        trash.move_out(self.root, found[0])

    def _require_damaged(self, folder: Path, policy: Policy) -> None:
        """Check that a damaged experiment still is one. Raises: NotMoved."""
        if layout.kind_of(folder) != FolderKind.DAMAGED or damaged.damage(folder) is None:
            raise NotMoved(Reason(ReasonKind.REPAIRED))
        self._require_unchanged(folder)
        # live flow runs need no look: what they keep was kept by the plan
        protections = store_protections(self.root, policy, ())
        if reason := kept_by(damaged.examined(folder), policy, protections, self._planned_at):
            raise NotMoved(reason)

    def _require_empty(self, folder: Path, policy: Policy) -> None:
        """Check that an experiment still is deleted and empty. Raises: NotMoved."""
        readable = layout.kind_of(folder) == FolderKind.EXPERIMENT
        if not readable or entities.experiment(folder).lifecycle != DELETED:
            raise NotMoved(Reason(ReasonKind.RESTORED))
        if layout.run_folders(folder) or layout.model_folders(folder):
            raise NotMoved(Reason(ReasonKind.NOT_EMPTY, "runs or logged models"))
        if reason := protected(folder, policy):
            raise NotMoved(reason)
        self._require_unchanged(folder, own_alone=True)

    def _require_unchanged(self, folder: Path, own_alone: bool = False) -> None:
        """Check that a folder is in the archive as it is now. Raises: NotMoved."""
        if folder not in self._archived:
            raise NotMoved(Reason(ReasonKind.NOT_ARCHIVED))
        if trash.fingerprint(folder, own_alone) != self._archived[folder]:
            raise NotMoved(Reason(ReasonKind.CHANGED, "files"))

    def _each(
        self,
        items: Sequence[Item],
        policy: Policy,
        going: Collection[str],
        do: Callable[[Path], None],
        check: Callable[[Path], None] = lambda _: None,
    ) -> Outcome:
        """Recheck the runs before they are changed, and each family once more right before.

        Args:
            items: runs of the plan.
            policy: what protects now.
            going: ids of everything in the plan.
            do: changes one run; raises NotMoved, OSError.
            check: says of a run's folder, by NotMoved, that it must be left.
        """
        found = recheck_runs(
            self.root, items, policy, planned=going, check=lambda path: _refusal(check, path)
        )
        left = dict(found.skipped)
        for family in by_family([item for item in items if item.id in found.folders]):
            left |= _change_family({item.id: found.folders[item.id] for item in family}, do, check)
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def snapshots_in_use(self) -> SnapshotUse:
        """Return the snapshots that runs name, deleted runs included."""
        return snapshots_in_use(self.root)

    def database_size(self) -> None:
        """Return None: there is no database."""

    def problems(self) -> list[Finding]:
        """Return what MLflow stumbles over."""
        return [problem.finding() for problem in problems.problems(self.root)]

    def version_places(self) -> list[tuple[RegisteredVersion, str | None]]:
        """Return every registered version and where its files lie, as `version_address` says."""
        return list(entities.version_places(self.root))

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Return those of the runs that are still there."""
        homes = layout.experiment_folders(self.root)
        return {path.name for home in homes for path in layout.run_folders(home)} & set(runs)

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Return those of the logged models that are still there."""
        homes = layout.experiment_folders(self.root)
        return {model.id for home in homes for model in entities.models(home)} & set(models)

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Return all of them: in a store of files none is asked about."""
        return set(traces)


def _change_family(
    folders: dict[str, Path], do: Callable[[Path], None], check: Callable[[Path], None]
) -> dict[str, Reason]:
    """Change a family of runs, whole or not at all. Returns: run id -> why it was left."""
    refused = {run: why for run, path in folders.items() if (why := _refusal(check, path))}
    if refused:
        related = Reason(ReasonKind.FAMILY, next(iter(refused)))
        return {run: refused.get(run, related) for run in folders}
    return {run: why for run, path in folders.items() if (why := _refusal(do, path))}


def _refusal(step: Callable[[Path], None], folder: Path) -> Reason | None:
    """Return why a step left a folder; one that may not be written to keeps none of the others."""
    try:
        step(folder)
    except NotMoved as refused:
        return refused.reason
    except Unreadable:
        return Reason(ReasonKind.UNREADABLE)
    except OSError as error:
        return Reason(ReasonKind.REFUSED, str(error.strerror))
    return None
