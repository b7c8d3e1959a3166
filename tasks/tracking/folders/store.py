"""A store of files, as the maintenance asks for it. What it deletes is first moved into its own trash, in one step."""

import fcntl
import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import yaml

from domain import names
from domain.maintenance.findings import Finding
from domain.maintenance.inventory import Group, LoggedModel, Run
from domain.maintenance.places import place_of
from domain.maintenance.plan import Item
from domain.maintenance.protection import Guards, guards, protecting_tag, references
from domain.maintenance.retention import selected_name
from domain.maintenance.words import age
from settings.mistakes import Mistake, Mistakes
from settings.policy import Policy
from tasks.archives import folders
from tasks.tracking.folders import reading
from tasks.tracking.tables.database import MaintenanceUnderWay
from tasks.tracking.tables.deletion import Outcome

GOING = ".onerun-going"  # folders on their way out: archived already
Do = Callable[[Path], None]


class FoldersStore:
    """`./mlruns` and the like."""

    can_hard_delete = True
    finds_owners = False  # a run's folder is the run: one without meta.yaml is damaged, not ownerless
    limits: tuple[str, ...] = ("a store of files has no transactions: clean it up while nobody trains with it",)

    def __init__(self, root: str) -> None:
        """Raises: Mistakes when there is no such folder."""
        self.root = Path(root.removeprefix("file://")).expanduser().absolute()
        if not self.root.is_dir():
            raise Mistakes([Mistake("MLFLOW_TRACKING_URI", f"{self.root}: no such folder")])
        self.identity = hashlib.sha256(str(self.root.resolve()).encode()).hexdigest()[:12]

    def close(self) -> None:
        """Nothing is held."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Two clean-ups do not meet. What a killed one moved aside is removed: it was archived."""
        with (self.root / ".onerun-maintenance.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise MaintenanceUnderWay(
                    f"another clean-up of {self.root} is under way; run this one after it"
                ) from None
            self._empty()
            yield

    def _empty(self) -> None:
        going = self.root / GOING
        if going.is_dir() and not going.is_symlink():
            shutil.rmtree(going)

    @contextmanager
    def inventory(self, policy: Policy, live: Collection[str]) -> Iterator[tuple[Guards, Iterator[Group]]]:
        """Folders that MLflow cannot read are left out; `damaged` and `troubles` tell of them."""
        registered = list(reading.versions(self.root))
        tags = {run.name: reading.texts(run / "tags") for run in self._runs()}
        owners = {model.id: model.run_id for model in self._models() if model.run_id}
        named = {each for version in registered for each in references(version)}
        yield (
            guards(
                registered,
                {model: run for model, run in owners.items() if model in named},
                tags,
                {run for run, held in tags.items() if held.get(names.TAG_FLOW_RUN_ID) in live},
                (),
                {run: held[reading.PARENT] for run, held in tags.items() if reading.PARENT in held},
                policy.protect.tags,
                policy.protect.experiments,
            ),
            self._groups([best.metric for best in policy.keep.best]),
        )

    def _runs(self) -> Iterator[Path]:
        for folder in reading.experiment_folders(self.root):
            yield from reading.run_folders(folder)

    def _models(self) -> Iterator[LoggedModel]:
        for folder in reading.experiment_folders(self.root):
            yield from reading.models(folder)

    def _groups(self, metrics: Sequence[str]) -> Iterator[Group]:
        for folder in reading.experiment_folders(self.root):
            try:
                experiment = reading.experiment(folder)
            except (FileNotFoundError, reading.Broken):
                continue
            runs = [run for path in reading.run_folders(folder) if (run := _readable(path, metrics))]
            yield Group(experiment, runs, list(reading.models(folder)))

    def damaged(self, policy: Policy, guard: Guards, now: int) -> Iterator[Item]:
        """Yields: experiments that MLflow cannot read and nobody changed or protects, to be archived and removed."""
        for folder in reading.experiment_folders(self.root):
            try:
                reading.experiment(folder)
            except (FileNotFoundError, reading.Broken) as error:
                since = now - reading.newest_change(folder)
                why = "no meta.yaml" if isinstance(error, FileNotFoundError) else f"meta.yaml {error}"
                if since >= 1000 * policy.keep.younger_than and not self._protected(folder, policy, guard):
                    why = f"{why}, unchanged for {age(since)}"
                    size = reading.size_of(folder)
                    yield Item(
                        "experiment", folder.name, folder.name, folder.name, folder.name, why, size, (), "damaged"
                    )

    def _protected(self, folder: Path, policy: Policy, guard: Guards) -> bool:
        runs = [run.name for run in reading.run_folders(folder)]
        models = [path.name for path in (folder / reading.MODELS).glob("m-*")]
        tagged = protecting_tag(reading.texts(folder / "tags"), policy.protect.tags)
        lives = any((run := _readable(path, ())) and run.status == "RUNNING" for path in reading.run_folders(folder))
        held = set(runs) & guard.runs.keys() or set(models) & guard.models.keys()
        return bool(tagged or lives or held or not selected_name(folder.name, policy.select))

    def back_up(self, runs: Collection[str], experiments: Sequence[str], policy: Policy) -> tuple[str, str, list[str]]:
        """Returns: address and SHA-256 of a verified archive of the folders, and notes."""
        wanted = set(experiments)
        whole = [path for path in reading.experiment_folders(self.root) if path.name in wanted]
        single = [path for path in self._folders_of(runs) if not set(path.parents) & set(whole)]
        return folders.back_up(self.root, [*whole, *single], policy.archives, policy.name)

    def _folders_of(self, runs: Collection[str]) -> list[Path]:
        """The runs' own folders and those of the models that they logged."""
        own = [path for path in self._runs() if path.name in runs]
        return own + [Path(model.location).parent for model in self._models() if model.run_id in runs]

    def mark(self, items: Sequence[Item], policy: Policy, going: Collection[str], tag: tuple[str, str]) -> Outcome:
        """Writes a tag."""

        def write(path: Path) -> None:
            (path / "tags").mkdir(exist_ok=True)
            (path / "tags" / tag[0]).write_text(tag[1])

        return self._each(items, policy, going, write)

    def soft_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str], now: int) -> Outcome:
        """Deletes as MLflow does: the run's meta.yaml says so."""

        def write(path: Path) -> None:
            meta = reading.meta_of(path) | {"lifecycle_stage": "deleted", "deleted_time": now}
            draft = path / f".{uuid4().hex}"
            draft.write_text(yaml.safe_dump(meta))
            draft.replace(path / reading.META)

        return self._each(items, policy, going, write)

    def hard_delete(self, items: Sequence[Item], policy: Policy, going: Collection[str]) -> Outcome:
        """Moves the folders of runs and of their models out of the store, then removes them."""

        models: dict[str, list[Path]] = {}
        for model in self._models():
            models.setdefault(model.run_id or "", []).append(Path(model.location).parent)

        def move(path: Path) -> None:
            for folder in (*models.get(path.name, ()), path):
                self._move_out(folder)

        outcome = self._each(items, policy, going, move)
        self._empty()
        return outcome

    def hard_delete_experiments(self, items: Sequence[Item], policy: Policy) -> Outcome:
        """Moves folders of emptied deleted experiments, and of damaged ones, out of the store; then removes them."""
        left = {}
        folders = {path.name: path for path in reading.experiment_folders(self.root)}
        for item in items:
            path = folders.get(item.id)
            if path is None:
                left[item.id] = "gone meanwhile"
            elif item.lifecycle != "damaged" and reading.run_folders(path):
                left[item.id] = "still holds runs"
            elif item.lifecycle == "damaged" and (path / reading.META).exists() and _reads(path):
                left[item.id] = "was repaired meanwhile"
            else:
                self._move_out(path)
        self._empty()
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def _move_out(self, folder: Path) -> None:
        if folder.is_symlink() or self.root.resolve() not in folder.resolve().parents:
            raise Mistakes([Mistake("", f"{folder} is a link or lies outside {self.root}; it was left as it is")])
        (self.root / GOING).mkdir(exist_ok=True)
        folder.rename(self.root / GOING / uuid4().hex)

    def _each(self, items: Sequence[Item], policy: Policy, going: Collection[str], do: Do) -> Outcome:
        """Looks again at each run right before it is changed."""
        folders = {path.name: path for path in self._runs()}
        needed = {each: version.words for version in reading.versions(self.root) for each in references(version)}
        needed |= {model.run_id: needed[model.id] for model in self._models() if model.run_id and model.id in needed}
        for run, path in folders.items():
            parent = path / "tags" / reading.PARENT
            if run not in going and parent.is_file():
                needed.setdefault(parent.read_text(), f"has child {run}")
        left: dict[str, str] = {}
        for item in items:
            found = folders.get(item.id)
            word = _changed(found, item, policy) or needed.get(item.id) if found else "gone meanwhile"
            if word or not found:
                left[item.id] = str(word)
            else:
                do(found)
        return Outcome(tuple(item.id for item in items if item.id not in left), left)

    def database_size(self) -> None:
        """There is none."""

    def troubles(self) -> list[Finding]:
        """What MLflow stumbles over."""
        return list(reading.troubles(self.root))

    def version_places(self) -> list[tuple[str, str | None]]:
        """Every registered version, and where its files lie; those of models and runs in their folders, read or not."""
        experiments = reading.experiment_folders(self.root)
        models = {path.name: str(path / "artifacts") for each in experiments for path in (each / "models").glob("m-*")}
        runs = {path.name: str(path / "artifacts") for path in self._runs()}
        return [(each.words, place_of(each, models.get, runs.get)) for each in reading.versions(self.root)]

    def existing(self, runs: Sequence[str]) -> set[str]:
        """Returns: those of the runs that are still there."""
        return {path.name for path in self._runs()} & set(runs)

    def existing_models(self, models: Sequence[str]) -> set[str]:
        """Returns: those of the logged models that are still there."""
        return {model.id for model in self._models()} & set(models)


def _readable(folder: Path, metrics: Sequence[str]) -> Run | None:
    try:
        return reading.run(folder, metrics)
    except (FileNotFoundError, reading.Broken):
        return None


def _changed(folder: Path, item: Item, policy: Policy) -> str | None:
    """Returns: why the run is left after all; None: it is as it was planned."""
    run = _readable(folder, ())
    if run is None or run.lifecycle != item.lifecycle:
        return "cannot be read any more" if run is None else f"{run.lifecycle} meanwhile"
    if run.status in ("RUNNING", "SCHEDULED"):
        return f"reads {run.status} meanwhile"
    return protecting_tag(reading.texts(folder / "tags"), policy.protect.tags)


def _reads(folder: Path) -> bool:
    try:
        reading.experiment(folder)
    except (FileNotFoundError, reading.Broken):
        return False
    return True
