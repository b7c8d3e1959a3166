"""Experiments of a file store: their own file read or rebuilt, then all that is in their folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from onerun.domain import names
from onerun.domain.file_store import LONGEST_EXPERIMENT_NAME, experiment_faults, is_whole
from onerun.rescue.case import DROPPED, MENDED, QUARANTINED, REBUILT, TOLD, Case
from onerun.rescue.models import rescue_model
from onerun.rescue.places import place
from onerun.rescue.runs import RESERVED, rescue_run
from onerun.rescue.traces import rescue_trace
from onerun.store.files import reader

TRASH, REGISTRY = ".trash", "models"


def experiment_folders(case: Case) -> list[tuple[Path, bool]]:
    """Returns: the experiments' folders and whether they are in the trash; what is none becomes a finding."""
    active = _numbered(case, case.source, {TRASH, REGISTRY})
    trashed = _numbered(case, case.source / TRASH, set())
    known = {folder.name for folder in active}
    for folder in trashed:
        if folder.name in known:
            case.found(
                folder,
                "experiment",
                "the same id as an experiment that is not deleted",
                QUARANTINED,
            )
    return [(each, False) for each in active] + [
        (each, True) for each in trashed if each.name not in known
    ]


def _numbered(case: Case, root: Path, ours: set[str]) -> list[Path]:
    found = []
    try:
        for name in reader.folders(root):
            if name.isdecimal() and name.isascii() and len(name) <= 18 and str(int(name)) == name:
                found.append(root / name)
            elif name not in ours:
                case.found(
                    root / name,
                    "folder",
                    "MLflow would take it for an experiment: its name is no id",
                    QUARANTINED,
                )
        for name in reader.others(root):
            if not (name.isdecimal() or name in ours) or not case.is_left_out(
                root / name, "experiment"
            ):
                case.found(root / name, "file", "does not belong here", QUARANTINED)
    except reader.Unreadable as error:
        case.unreadable(root, "folder", error)
    return found


def rescue_experiment(case: Case, folder: Path, trashed: bool) -> None:
    """Takes up one experiment."""
    runs, strangers = _contents(case, folder)
    try:
        meta = _mended(case, folder, reader.meta(folder / "meta.yaml"), trashed)
        rebuilt = ""
    except reader.Unreadable as error:
        if (
            error.cause != reader.Cause.DENIED
            and not runs
            and not strangers
            and not reader.size_below(folder)
        ):
            case.found(folder, "experiment", "an empty folder", DROPPED)
            return
        rebuilt = f"meta.yaml: {error}"
        meta = _rebuilt(folder, trashed)
        case.found(folder / "meta.yaml", "experiment", str(error), REBUILT)
    tags = case.values(folder / "tags", "experiment tag")
    if rebuilt:
        tags[names.TAG_RESCUED] = rebuilt
    _unique(case, folder, meta, tags)
    _take(case, folder, meta, tags)
    datasets = _datasets(case, folder)
    for name in runs:
        rescue_run(case, folder / name, meta, datasets)
    for name in _subfolders(case, folder / "traces", "trace"):
        rescue_trace(case, folder / "traces" / name, meta["experiment_id"])


def rescue_models(case: Case, folder: Path) -> None:
    """Takes up the experiment's logged models; all runs are known by then."""
    if folder.name in case.names.values():
        for name in _subfolders(case, folder / "models", "model"):
            rescue_model(case, folder / "models" / name, folder.name)


def _subfolders(case: Case, folder: Path, what: str) -> list[str]:
    try:
        return case.folders(folder, what)
    except reader.Unreadable as error:
        case.unreadable(folder, "folder", error)
        return []


def claim(case: Case, folders: list[Path]) -> None:
    """Of a run that is in several experiments' folders, the one that the run itself names has it."""
    seen: dict[str, list[Path]] = {}
    for folder in folders:
        with suppress(reader.Unreadable):
            for name in reader.folders(folder):
                seen.setdefault(name, []).append(folder / name)
    for name, copies in seen.items():
        if len(copies) > 1 and name not in RESERVED:
            case.claims[name] = next(
                (each for each in copies if _says_so(each)), copies[0]
            ).parent.name


def _says_so(run: Path) -> bool:
    try:
        return str(reader.meta(run / "meta.yaml").get("experiment_id")) == run.parent.name
    except reader.Unreadable:
        return False


def _contents(case: Case, folder: Path) -> tuple[list[str], list[str]]:
    try:
        strangers = [name for name in reader.others(folder) if name != "meta.yaml"]
        runs = [name for name in reader.folders(folder) if name not in RESERVED]
    except reader.Unreadable as error:
        case.found(folder, "experiment", str(error), QUARANTINED)
        return [], []
    for name in strangers:
        if case.is_left_out(folder / name, "run"):
            continue
        case.found(folder / name, "file", "does not belong here", QUARANTINED)
    return runs, strangers


def _rebuilt(folder: Path, trashed: bool) -> dict[str, Any]:
    """From the folder's name and the times of what is in it."""
    first, last = reader.times_below(folder)
    return {
        "experiment_id": folder.name,
        "name": f"rescued-{folder.name}" if folder.name != "0" else "Default",
        "artifact_location": folder.absolute().as_uri(),
        "lifecycle_stage": "deleted" if trashed else "active",
        "creation_time": first,
        "last_update_time": last,
    }


def _mended(case: Case, folder: Path, meta: dict[str, Any], trashed: bool) -> dict[str, Any]:
    """Every field that MLflow reads is what it must be; the others come from the folder."""
    whole = _rebuilt(folder, trashed)
    for fault in experiment_faults(meta, folder.name):
        case.found(folder / "meta.yaml", "experiment", fault.text, MENDED)
    if isinstance(meta.get("name"), str) and meta["name"].strip():
        whole["name"] = meta["name"][:LONGEST_EXPERIMENT_NAME]
    for key in ("creation_time", "last_update_time"):  # MLflow's tool would write down this moment
        if is_whole(meta.get(key)):
            whole[key] = meta[key]
    stage = meta.get("lifecycle_stage")
    if stage != whole["lifecycle_stage"]:
        where = "the trash" if trashed else "use"
        case.found(
            folder / "meta.yaml",
            "experiment",
            f"is {str(stage)[:20]!r} and its folder is in {where}",
            MENDED,
        )
    whole["artifact_location"] = place(meta.get("artifact_location"), folder)
    if whole["artifact_location"] != meta.get("artifact_location") and not trashed:
        case.totals["moved"] += 1
    return whole


def _unique(case: Case, folder: Path, meta: dict[str, Any], tags: dict[str, str]) -> None:
    if meta["name"] in case.names:
        other = case.names[meta["name"]]
        case.found(
            folder,
            "experiment",
            f"has the name of experiment {other}: {meta['name'][:80]!r}",
            MENDED,
        )
        tags[names.TAG_RESCUED] = f"was called {meta['name']}, as experiment {other} is"
        meta["name"] = f"{meta['name'][:230]} ({meta['experiment_id']})"
    case.names[meta["name"]] = meta["experiment_id"]


def _take(case: Case, folder: Path, meta: dict[str, Any], tags: dict[str, str]) -> None:
    home = case.relative(folder)
    identity = meta["experiment_id"]
    case.write_meta(f"{home}/meta.yaml", meta)
    case.make_folder(
        f"{home}/datasets"
    )  # where there is none, MLflow's tool leaves out the models that runs read
    keys = ("name", "lifecycle_stage", "creation_time", "last_update_time")
    case.facts.add("experiment", identity, "", *(meta[key] for key in keys))
    for key, value in tags.items():
        case.write(f"{home}/tags/{key}", value)
        case.facts.add("experiment tag", identity, key, value)


def _datasets(case: Case, folder: Path) -> dict[str, tuple[str, str]]:
    """Returns: the folder of each data set -> its name and digest."""
    found: dict[str, tuple[str, str]] = {}
    for name in _subfolders(case, folder / "datasets", "data set"):
        path = folder / "datasets" / name / "meta.yaml"
        try:
            meta = reader.meta(path)
            said = {
                key: meta.get(key)
                for key in ("name", "digest", "source_type", "source", "schema", "profile")
            }
            if not all(
                isinstance(said[key], str) for key in ("name", "digest", "source_type", "source")
            ):
                raise reader.Unreadable("no name, digest or source")
        except reader.Unreadable as error:
            case.found(path, "data set", str(error), QUARANTINED)
            continue
        key = (str(said["name"])[:500], str(said["digest"])[:36])
        if key in found.values():
            case.found(path, "data set", f"the same as another one: {key[0]} {key[1]}", TOLD)
        else:
            case.write_meta(f"{case.relative(folder)}/datasets/{name}/meta.yaml", said)
            case.facts.add(
                "data set",
                folder.name,
                " ".join(key),
                said["source"],
                said["schema"],
                said["profile"],
            )
        found[name] = key
    return found
