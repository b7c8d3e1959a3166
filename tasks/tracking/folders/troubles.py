"""Everything in a store of files that MLflow stumbles over, or loses in silence."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from domain.maintenance.findings import Finding
from tasks.tracking.folders import reading
from tasks.tracking.folders.reading import Broken, Kind, newest_change, size_of


def troubles(root: Path) -> Iterator[Finding]:
    """Yields: what is wrong, experiment by experiment, and in the registry."""
    seen: dict[str, Path] = {}
    homes: dict[str, list[Path]] = defaultdict(list)
    names: dict[str, Path] = {}
    for folder, kind in reading.classified(root):
        if kind == Kind.COPY:
            yield _finding("backup-folder", folder, "its meta.yaml names another experiment than its folder")
        elif kind == Kind.STRANGER:
            yield _finding(
                "folder-of-something-else", folder, "it holds nothing of an experiment, or its name is no id"
            )
        else:
            if folder.name in seen:
                yield _finding("experiment-twice", folder, f"its id is also that of {seen[folder.name]}")
            seen[folder.name] = folder
            yield from _of_experiment(folder, names)
            for path in reading.run_folders(folder):
                homes[path.name].append(path)
                yield from _of_run(path)
            if kind == Kind.EXPERIMENT:
                yield from _others(folder)
    yield from _twice(homes)
    yield from _files(root)
    yield from _models(root, set(homes))
    yield from _aliases(root)


def _of_experiment(folder: Path, names: dict[str, Path]) -> Iterator[Finding]:
    try:
        name = reading.experiment(folder).name
    except FileNotFoundError:
        yield _finding("experiment-without-meta", folder, "there is no meta.yaml")
    except Broken as error:
        yield _finding("experiment-with-broken-meta", folder, f"meta.yaml {error}")
    else:
        if names.setdefault(name, folder) != folder:
            yield _finding("experiment-twice", folder, f"its name is also that of {names[name]}: {name}")


def _files(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        ours = path.name == reading.META or path.name.startswith(".onerun")
        if not ours and (path.is_symlink() or not path.is_dir()):
            yield _finding("stray", path, "MLflow knows no such file")


def _others(folder: Path) -> Iterator[Finding]:
    """What lies in an experiment's folder and is nothing of it."""
    yield from _files(folder)
    for path in reading.folders(folder):
        if path.is_symlink():
            continue
        if path.name not in reading.RESERVED and not reading.is_run_id(path.name):
            yield _finding("stray", path, "its name is no run's id")


def _twice(homes: dict[str, list[Path]]) -> Iterator[Finding]:
    for first, *others in homes.values():
        for path in others:
            yield _finding("run-twice", path, f"a run of that id is in experiment {first.parent.name} too")


def _of_run(path: Path) -> Iterator[Finding]:
    try:
        reading.run(path, ())
    except FileNotFoundError:
        yield _finding("run-without-meta", path, "there is no meta.yaml")
    except Broken as error:
        yield _finding("run-with-broken-meta", path, f"meta.yaml {error}")
    names: dict[str, list[str]] = {}
    for file in (path / "params").rglob("*"):
        key = file.relative_to(path / "params").as_posix()
        if file.is_dir():
            continue
        names.setdefault(key.lower(), []).append(key)
        if cause := _not_one_value(file, key):
            yield _finding("conflicting-parameter", path, cause)
    for same in names.values():
        if len(same) > 1:
            yield _finding("duplicate-parameter", path, f"{len(same)} of them: {', '.join(sorted(same))}")


def _not_one_value(file: Path, key: str) -> str | None:
    if file.is_symlink() or not file.is_file() or file.stat().st_size > reading.LARGEST_META:
        return None  # no value of MLflow's: the rescue tells of it
    return f"{key} holds several lines" if len(set(file.read_text(errors="replace").splitlines())) > 1 else None


def _models(root: Path, runs: set[str]) -> Iterator[Finding]:
    for folder in reading.experiment_folders(root):
        for path in reading.model_folders(folder):
            try:
                model = reading.model(path)
            except FileNotFoundError:
                yield _finding("model-without-meta", path, "there is no meta.yaml")
            except Broken as error:
                yield _finding("model-without-meta", path, f"meta.yaml {error}")
            else:
                if model.run_id and model.run_id not in runs:
                    yield _finding("model-without-run", path, f"there is no run {model.run_id}")


def _aliases(root: Path) -> Iterator[Finding]:
    for model in reading.folders(root / reading.MODELS):
        there = {path.name.removeprefix("version-") for path in reading.folders(model)}
        for alias, version in reading.texts(model / "aliases").items():
            if version.strip() not in there:
                since = int(1000 * (model / "aliases" / alias).stat().st_mtime)
                cause = f"there is no version {version.strip()}"
                yield Finding("alias-to-nothing", f"{model.name}@{alias}", None, since, cause)


def _finding(kind: str, folder: Path, cause: str) -> Finding:
    return Finding(kind, str(folder), size_of(folder), newest_change(folder), cause)
