"""A store of files, as the maintenance asks for it. What it deletes is first moved into its own trash, in one step."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

import yaml

from onerun.archive import folders
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup.damaged import kept_by
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import DELETED, Group, Version
from onerun.domain.cleanup.plan import Item, by_family
from onerun.domain.cleanup.protection import GONE, Guards
from onerun.domain.cleanup.result import Outcome
from onerun.domain.wording import printable
from onerun.store.files import damaged, layout, leaving, measuring, reading
from onerun.store.files.layout import Kind
from onerun.store.files.looking import look_again, protected
from onerun.store.files.places import version_places
from onerun.store.files.protecting import store_guards
from onerun.store.files.troubles import troubles
from onerun.store.sql.database import maintenance_lock
from onerun.tracking.database import identity_of

Do = Callable[[Path], str | None]  # returns why it was not done


class FoldersStore:
    """`./mlruns` and the like."""

    can_hard_delete = True
    fingerprint = ""  # its files lie in it: those of another one are not there
    finds_owners = (
        False  # a run's folder is the run: one without meta.yaml is damaged, not ownerless
    )
    limits: tuple[str, ...] = (
        "a store of files has no transactions: clean it up while nobody trains with it",
    )

    def __init__(self, root: str) -> None:
        """Raises: Mistakes when there is no such folder."""
        self.root = Path(root.removeprefix("file://")).expanduser().absolute()
        if not self.root.is_dir():
            raise Mistakes([Mistake("MLFLOW_TRACKING_URI", f"{self.root}: no such folder")])
        self.identity = identity_of(str(self.root))
        self._archived: dict[Path, int] = {}  # folder -> what it was like when it was archived
        self._planned_at = (
            0  # milliseconds since 1970: how old damaged experiments are follows from it
        )

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Let one clean-up of this store run at a time, after finishing what a killed one began.

        Raises: MaintenanceUnderWay.
        """
        with maintenance_lock(self.root / ".onerun-maintenance.lock", str(self.root)):
            leaving.finish(self.root)
            yield

    @contextmanager
    def inventory(
        self, policy: Policy, live: Collection[str]
    ) -> Iterator[tuple[Guards, Iterator[Group]]]:
        """Folders that MLflow cannot read are left out; `damaged` and `troubles` tell of them."""
        yield (
            store_guards(self.root, policy, live),
            self._groups(tuple(best.metric for best in policy.keep.best)),
        )

    def _groups(self, metrics: tuple[str, ...]) -> Iterator[Group]:
        for folder, kind in layout.classified(self.root):
            if kind == Kind.EXPERIMENT:
                runs = [
                    run
                    for path in layout.run_folders(folder)
                    if (run := damaged.readable_run(path, metrics))
                ]
                yield Group(reading.experiment(folder), runs, list(reading.models(folder)))

    def damaged(self, policy: Policy, guard: Guards, now: int) -> Iterator[Item]:
        """Yields: experiments that MLflow cannot read and nobody changed or protects, to be archived and removed."""
        self._planned_at = now
        yield from damaged.items(self.root, policy, guard, now)

    def back_up(
        self, runs: Collection[str], experiments: Sequence[str], policy: Policy
    ) -> tuple[str, str, list[str]]:
        """Returns: address and SHA-256 of a verified archive of the folders, and notes; none when all are gone."""
        wanted = set(experiments)
        whole = [path for path in layout.experiment_folders(self.root) if path.name in wanted]
        single = [path for path in self._folders_of(runs) if not set(path.parents) & set(whole)]
        if not whole and not single:
            return "", "", []
        inside = [
            each
            for path in whole
            for each in (*layout.run_folders(path), *layout.model_folders(path))
        ]
        self._archived = {path: measuring.print_of(path) for path in (*single, *inside)}
        self._archived |= {
            path: measuring.print_of(path, own_alone=layout.kind_of(path) == Kind.EXPERIMENT)
            for path in whole
        }
        return folders.back_up(self.root, [*whole, *single], policy.archives, policy.name)

    def _folders_of(self, runs: Collection[str]) -> Iterator[Path]:
        """The runs' own folders and those of the models that they logged."""
        for folder in layout.experiment_folders(self.root):
            yield from (path for path in layout.run_folders(folder) if path.name in runs)
            yield from (
                Path(model.location).parent
                for model in reading.models(folder)
                if model.run_id in runs
            )

    def mark(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]
    ) -> Outcome:
        """Writes a tag, as MLflow does."""

        def write(path: Path) -> None:
            (path / "tags").mkdir(exist_ok=True)
            (path / "tags" / tag[0]).write_text(tag[1])

        return self._each(items, policy, going, write, _nothing)

    def soft_delete(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int
    ) -> Outcome:
        """Deletes as MLflow does: the run's meta.yaml says so."""

        def write(path: Path) -> None:
            meta = layout.meta_of(path) | {"lifecycle_stage": DELETED, "deleted_time": now}
            draft = path / f".{uuid4().hex}"
            draft.write_text(yaml.safe_dump(meta))
            draft.replace(path / layout.META)

        return self._each(items, policy, going, write, _nothing)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Moves the folders of runs and of their models out of the store, then removes them."""
        by_run = cache(
            leaving.models_by_run
        )  # an experiment is read once, not for each of its runs

        def models(run: Path) -> Sequence[Path]:
            return by_run(run.parent).get(run.name, ())

        def move(run: Path) -> str | None:
            return leaving.move_run_out(self.root, run, models(run))

        def as_archived(run: Path) -> str | None:
            """Returns: why a run or one of its models cannot be removed; None: it can."""
            words = (
                leaving.behind_a_link(self.root, path) or self._changed(path)
                for path in (run, *models(run))
            )
            return next(filter(None, words), None)

        outcome = self._each(items, policy, going, move, as_archived)
        return outcome._replace(notes=leaving.empty(self.root))

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Moves folders of emptied deleted experiments, and of damaged ones, out of the store; then removes them."""
        left = {}
        for item in items:
            if word := self._delete_experiment(item, policy):
                left[item.id] = word
        return Outcome(
            tuple(item.id for item in items if item.id not in left), left, leaving.empty(self.root)
        )

    def _delete_experiment(self, item: Item, policy: Policy) -> str | None:
        """Returns: why it was left; None: it is out of the store."""
        found = [path for path in layout.experiment_folders(self.root) if path.name == item.id]
        if len(found) != 1:
            return "its id is in the trash too" if found else GONE
        still = self._still_damaged if item.lifecycle == damaged.DAMAGED else self._still_empty
        return still(found[0], policy) or leaving.move_out(self.root, found[0])

    def _still_damaged(self, folder: Path, policy: Policy) -> str | None:
        """Returns: why a damaged experiment is left after all."""
        if layout.kind_of(folder) != Kind.DAMAGED:
            return "was repaired meanwhile"
        if word := self._changed(folder):
            return word
        guard = store_guards(
            self.root, policy, ()
        )  # whose flow run lived for the plan was kept there
        return kept_by(damaged.examined(folder), policy, guard, self._planned_at)

    def _still_empty(self, folder: Path, policy: Policy) -> str | None:
        """Returns: why an emptied, deleted experiment is left after all."""
        if (
            layout.kind_of(folder) != Kind.EXPERIMENT
            or reading.experiment(folder).lifecycle != DELETED
        ):
            return "is not deleted any more"
        if layout.run_folders(folder) or layout.model_folders(folder):
            return "still holds runs or logged models"
        return protected(folder, policy) or self._changed(folder, own_alone=True)

    def _changed(self, folder: Path, own_alone: bool = False) -> str | None:
        """Returns: why a folder is not in the archive as it is now; None: it is."""
        if folder not in self._archived:
            return "is not in the archive"
        same = measuring.print_of(folder, own_alone) == self._archived[folder]
        return None if same else "its files changed since they were archived"

    def _each(
        self, items: Sequence[Item], policy: Policy, going: Collection[str], do: Do, last_look: Do
    ) -> Outcome:
        """Looks again before the runs are changed, and at the folders of a family once more right before."""
        look = look_again(self.root, items, policy, going, last_look)
        left = dict(look.left)
        for family in by_family([item for item in items if item.id in look.folders]):
            folders = {item.id: look.folders[item.id] for item in family}
            changed = {run: word for run, path in folders.items() if (word := last_look(path))}
            for run, path in folders.items():
                if changed:
                    left[run] = (
                        changed.get(run)
                        or f"parent or child of {next(iter(changed))}, which is kept"
                    )
                elif word := _tried(do, path):
                    left[run] = word
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def database_size(self) -> None:
        """There is none."""

    def troubles(self) -> list[Finding]:
        """What MLflow stumbles over."""
        return [
            each._replace(
                id=printable(each.id), cause=printable(each.cause), place=printable(each.place)
            )
            for each in troubles(self.root)
        ]

    def version_places(self) -> list[tuple[Version, str | None]]:
        """Every registered version, and where its files lie; None: what it was made of is gone; "": not known."""
        return list(version_places(self.root))

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Returns: those of the runs that are still there."""
        found = (
            path.name
            for folder in layout.experiment_folders(self.root)
            for path in layout.run_folders(folder)
        )
        return set(found) & set(runs)

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Returns: those of the logged models that are still there."""
        found = (
            each.id
            for folder in layout.experiment_folders(self.root)
            for each in reading.models(folder)
        )
        return set(found) & set(models)

    def existing_traces(self, traces: Sequence[str]) -> set[str]:
        """Returns: all of them: in a store of files none is asked about."""
        return set(traces)


def _tried(do: Do, folder: Path) -> str | None:
    """One folder that may not be written to keeps none of the others."""
    try:
        return do(folder)
    except OSError as error:
        return f"cannot be changed: {error.strerror}"


def _nothing(_path: Path) -> None:
    """What is only marked needs no archive."""
