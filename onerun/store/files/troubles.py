"""Everything in a store of files that MLflow stumbles over, or loses in silence."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.parameters import conflicts, duplicates
from onerun.store.files import layout, reading
from onerun.store.files.layout import Broken, Kind
from onerun.store.files.measuring import newest_change, size_of
from onerun.store.files.values import values_in


def troubles(root: Path) -> Iterator[Finding]:
    """Yields: what is wrong, experiment by experiment, and in the registry."""
    seen: dict[str, Path] = {}
    homes: dict[str, list[Path]] = defaultdict(list)
    names: dict[str, Path] = {}
    for folder, kind in layout.classified(root):
        if kind == Kind.COPY:
            yield _finding(
                "backup-folder", folder, "its meta.yaml names another experiment than its folder"
            )
        elif kind == Kind.STRANGER:
            yield _finding(
                "folder-of-something-else",
                folder,
                "it holds nothing of an experiment, or its name is no id",
            )
        else:
            if folder.name in seen:
                yield _finding(
                    "experiment-twice", folder, f"its id is also that of {seen[folder.name]}"
                )
            seen[folder.name] = folder
            yield from _of_experiment(folder, names)
            yield from _parts_of(folder)
            for path in layout.run_folders(folder):
                homes[path.name].append(path)
                yield from _of_run(path)
            if kind == Kind.EXPERIMENT:
                yield from _others(folder)
    yield from _twice(homes)
    yield from _files(root)
    yield from _models(root, set(homes))
    yield from _registry(root)


def _of_experiment(folder: Path, names: dict[str, Path]) -> Iterator[Finding]:
    try:
        name = reading.experiment(folder).name
    except FileNotFoundError:
        yield _finding("experiment-without-meta", folder, "there is no meta.yaml")
    except Broken as error:
        yield _finding("experiment-with-broken-meta", folder, f"meta.yaml {error}")
    else:
        if not isinstance(layout.meta_of(folder)["name"], str):
            yield _finding(
                "experiment-with-broken-meta", folder, f"meta.yaml says that its name is {name}"
            )
        elif names.setdefault(name, folder) != folder:
            yield _finding(
                "experiment-twice", folder, f"its name is also that of {names[name]}: {name}"
            )


def _files(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        ours = path.name == layout.META or path.name.startswith(".onerun")
        if not ours and (path.is_symlink() or not path.is_dir()):
            yield _finding("stray", path, "MLflow knows no such file")


def _others(folder: Path) -> Iterator[Finding]:
    """What lies in an experiment's folder and is nothing of it."""
    yield from _files(folder)
    for path in layout.folders(folder):
        if path.is_symlink():
            continue
        if path.name not in layout.RESERVED and not layout.is_run_id(path.name):
            yield _finding("stray", path, "its name is no run's id")


def _twice(homes: dict[str, list[Path]]) -> Iterator[Finding]:
    for first, *others in homes.values():
        for path in others:
            yield _finding(
                "run-twice", path, f"a run of that id is in experiment {first.parent.name} too"
            )


def _of_run(path: Path) -> Iterator[Finding]:
    try:
        reading.run(path, ())
    except FileNotFoundError:
        yield _finding("run-without-meta", path, "there is no meta.yaml")
    except Broken as error:
        yield _finding("run-with-broken-meta", path, f"meta.yaml {error}")
    tags, params = values_in(path / "tags"), values_in(path / "params")
    for file, cause in (*tags.unreadable, *params.unreadable):
        yield _finding("unreadable-part", file, cause)
    several = (
        f"{key} holds several lines"
        for key, text in params.good.items()
        if len(set(text.splitlines())) > 1
    )
    for cause in (*several, *conflicts(params.good, tags.good)):
        yield _finding("conflicting-parameter", path, cause)
    for cause in duplicates(params.good):
        yield _finding("duplicate-parameter", path, cause)


def _parts_of(experiment: Path) -> Iterator[Finding]:
    """Data sets and traces. What is in metrics, inputs and outputs is read by the rescue alone."""
    for path in layout.folders(experiment / "datasets"):
        yield from _unreadable(path)
    for path in layout.folders(experiment / "traces"):
        if not (path / "trace_info.yaml").is_file():
            yield _finding("unreadable-part", path, "there is no trace_info.yaml")


def _unreadable(folder: Path) -> Iterator[Finding]:
    try:
        layout.meta_of(folder)
    except FileNotFoundError:
        yield _finding("unreadable-part", folder, "there is no meta.yaml")
    except Broken as error:
        yield _finding("unreadable-part", folder, f"meta.yaml {error}")


def _models(root: Path, runs: set[str]) -> Iterator[Finding]:
    for folder in layout.experiment_folders(root):
        for path in layout.model_folders(folder):
            try:
                model = reading.model(path)
            except FileNotFoundError:
                yield _finding("model-without-meta", path, "there is no meta.yaml")
            except Broken as error:
                yield _finding("model-without-meta", path, f"meta.yaml {error}")
            else:
                if model.run_id and model.run_id not in runs:
                    yield _finding("model-without-run", path, f"there is no run {model.run_id}")


def _registry(root: Path) -> Iterator[Finding]:
    for model in layout.folders(root / layout.MODELS):
        yield from _unreadable(model)
        versions = [path for path in layout.folders(model) if path.name.startswith("version-")]
        for path in versions:
            yield from _unreadable(path)
        there = {path.name.removeprefix("version-") for path in versions}
        for alias, version in reading.texts(model / "aliases").items():
            if version.strip() not in there:
                since = newest_change(model / "aliases" / alias)
                cause = f"there is no version {version.strip()}"
                yield Finding("alias-to-nothing", f"{model.name}@{alias}", None, since, cause)


def _finding(kind: str, folder: Path, cause: str) -> Finding:
    return Finding(kind, str(folder), size_of(folder), newest_change(folder), cause)
