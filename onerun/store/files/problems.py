"""What in a store of files MLflow stumbles over, loses in silence, or a database refuses.

Contents of metrics, inputs, outputs, traces and assessments are read by the rescue alone: reading
all of them takes as long as a rescue does.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.parameters import conflicts, duplicates
from onerun.domain.file_store import (
    Fault,
    Harm,
    experiment_faults,
    model_faults,
    registered_model_faults,
    run_faults,
    version_faults,
)
from onerun.domain.text import printable
from onerun.store.files import entities, layout, reader
from onerun.store.files.layout import META, FolderKind
from onerun.store.files.reader import Cause, Unreadable
from onerun.store.files.trash import newest_change, size_of

BEYOND = "beyond-a-database"  # read by MLflow, refused by a database


class Problem(NamedTuple):
    """One thing that is wrong: its kind (KINDS of `domain.cleanup.findings`), where, and why."""

    kind: str
    path: Path
    cause: str
    name: str = ""  # when it is called otherwise than by its path
    of_file: bool = True  # whether size and age of the path are its own

    def finding(self) -> Finding:
        """Return it with size and age, as clean-up and summary list it."""
        size = size_of(self.path) if self.of_file else None
        name = printable(self.name or str(self.path))
        return Finding(self.kind, name, size, newest_change(self.path), printable(self.cause))


def problems(root: Path) -> Iterator[Problem]:
    """Yield what is wrong, experiment by experiment, and in the registry."""
    by_id: dict[str, Path] = {}
    by_name: dict[str, Path] = {}
    homes: dict[str, list[Path]] = defaultdict(list)
    for folder, kind in layout.classified(root):
        if kind in (FolderKind.COPY, FolderKind.STRANGER):
            yield _not_an_experiment(folder, kind)
            continue
        if (first := by_id.setdefault(folder.name, folder)) != folder:
            yield Problem("experiment-twice", folder, f"its id is also that of {first}")
        yield from _experiment(folder, by_name)
        for path in layout.run_folders(folder):
            homes[path.name].append(path)
            yield from _run(path)
        if kind == FolderKind.EXPERIMENT:
            yield from _strays(folder)
    yield from _twice(homes)
    yield from _stray_files(root)
    yield from _models(root, set(homes))
    yield from _registry(root)


def _not_an_experiment(folder: Path, kind: FolderKind) -> Problem:
    if kind == FolderKind.COPY:
        cause = "its meta.yaml names another experiment than its folder"
        return Problem("backup-folder", folder, cause)
    cause = "it holds nothing of an experiment, or its name is no id"
    return Problem("folder-of-something-else", folder, cause)


def _meta(folder: Path, kind: str, faults: Iterable[Fault]) -> Iterator[Problem]:
    """Yield problems of a meta.yaml that can be read: those of MLflow, and those of a database."""
    texts: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        texts[BEYOND if fault.harm == Harm.BEYOND else kind].append(fault.text)
    for each, found in texts.items():
        yield Problem(each, folder, f"{META} {', '.join(found)}")


def _unreadable(folder: Path, what: str, error: Unreadable) -> Problem:
    kind = f"{what}-without-meta" if error.cause == Cause.MISSING else f"{what}-with-broken-meta"
    return Problem(kind, folder, f"{META}: {error}")


# Experiments


def _experiment(folder: Path, by_name: dict[str, Path]) -> Iterator[Problem]:
    try:
        meta = layout.meta_of(folder)
    except Unreadable as error:
        yield _unreadable(folder, "experiment", error)
    else:
        yield from _meta(
            folder, "experiment-with-broken-meta", experiment_faults(meta, folder.name)
        )
        name = meta.get("name")
        if isinstance(name, str) and (first := by_name.setdefault(name, folder)) != folder:
            yield Problem("experiment-twice", folder, f"its name is also that of {first}: {name}")
    yield from _values(folder / "tags")
    for path in layout.folders(folder / "datasets"):
        yield from _part(path)
    for path in layout.folders(folder / "traces"):
        if not (path / "trace_info.yaml").is_file():
            yield Problem("unreadable-part", path, "trace_info.yaml: missing")


def _strays(folder: Path) -> Iterator[Problem]:
    """Yield what lies in an experiment's folder and is nothing of it."""
    yield from _stray_files(folder)
    for path in layout.folders(folder):
        known = path.name in layout.RESERVED or layout.is_run_id(path.name)
        if not known and not path.is_symlink():
            yield Problem("stray", path, "its name is no run's id")


def _stray_files(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.iterdir()):
        ours = path.name == META or path.name.startswith(layout.OURS)
        if not ours and (path.is_symlink() or not path.is_dir()):
            yield Problem("stray", path, "MLflow knows no such file")


# Runs


def _run(path: Path) -> Iterator[Problem]:
    try:
        meta = layout.meta_of(path)
    except Unreadable as error:
        yield _unreadable(path, "run", error)
    else:
        faults = run_faults(meta, path.name, path.parent.name)
        yield from _meta(path, "run-with-broken-meta", faults)
    tags = _read_values(path / "tags")
    params = _read_values(path / "params")
    yield from _unreadable_values(tags)
    yield from _unreadable_values(params)
    for key, text in params.good.items():
        if len(set(text.splitlines())) > 1:
            yield Problem("conflicting-parameter", path, f"{key} holds several lines")
    for cause in conflicts(params.good, tags.good):
        yield Problem("conflicting-parameter", path, cause)
    for cause in duplicates(params.good):
        yield Problem("duplicate-parameter", path, cause)


def _read_values(folder: Path) -> reader.Values:
    try:
        return reader.values(folder)
    except Unreadable as error:
        return reader.Values({}, [(folder, error)])


def _unreadable_values(values: reader.Values) -> Iterator[Problem]:
    for file, error in values.unreadable:
        yield Problem("unreadable-part", file, str(error))


def _values(folder: Path) -> Iterator[Problem]:
    return _unreadable_values(_read_values(folder))


def _twice(homes: dict[str, list[Path]]) -> Iterator[Problem]:
    for first, *others in homes.values():
        for path in others:
            cause = f"a run of that id is in experiment {first.parent.name} too"
            yield Problem("run-twice", path, cause)


# Models


def _part(folder: Path) -> Iterator[Problem]:
    try:
        layout.meta_of(folder)
    except Unreadable as error:
        yield Problem("unreadable-part", folder, f"{META}: {error}")


def _models(root: Path, runs: set[str]) -> Iterator[Problem]:
    for experiment in layout.experiment_folders(root):
        for path in layout.model_folders(experiment):
            try:
                meta = layout.meta_of(path)
            except Unreadable as error:
                yield Problem("model-without-meta", path, f"{META}: {error}")
                continue
            yield from _meta(path, "model-without-meta", model_faults(meta, path.name))
            run = meta.get("source_run_id")
            if run and run not in runs:
                yield Problem("model-without-run", path, f"there is no run {run}")


def _registry(root: Path) -> Iterator[Problem]:
    for model in layout.folders(root / layout.MODELS):
        yield from _registered(model)
        versions = [path for path in layout.folders(model) if path.name.startswith("version-")]
        for path in versions:
            yield from _version(path)
        numbers = {path.name.removeprefix("version-") for path in versions}
        for alias, version in entities.texts(model / "aliases").items():
            name, file = f"{model.name}@{alias}", model / "aliases" / alias
            if version.strip() not in numbers:
                cause = f"there is no version {version.strip()}"
                yield Problem("alias-to-nothing", file, cause, name, of_file=False)
            elif "/" in alias:
                cause = "its name is no alias's"
                yield Problem("unreadable-part", file, cause, name)


def _registered(folder: Path) -> Iterator[Problem]:
    try:
        reader.checked_key(folder.name)
        meta = layout.meta_of(folder)
    except Unreadable as error:
        detail = str(error) if error.cause == Cause.BAD_NAME else f"{META}: {error}"
        yield Problem("unreadable-part", folder, detail)
    else:
        yield from _meta(folder, "unreadable-part", registered_model_faults(meta, folder.name))


def _version(folder: Path) -> Iterator[Problem]:
    try:
        meta = layout.meta_of(folder)
    except Unreadable as error:
        yield Problem("unreadable-part", folder, f"{META}: {error}")
    else:
        number = folder.name.removeprefix("version-")
        yield from _meta(folder, "unreadable-part", version_faults(meta, number))
