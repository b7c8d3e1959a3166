"""Experiments of a file store: their own file read or rebuilt, then all that is in their folder."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from onerun.domain import names
from onerun.domain.file_store import LONGEST_EXPERIMENT_NAME, experiment_faults, is_whole
from onerun.rescue.checksums import artifact_address
from onerun.rescue.context import DROPPED, NOTED, QUARANTINED, REBUILT, REPAIRED, RescueContext
from onerun.rescue.models import rescue_model
from onerun.rescue.runs import RESERVED, rescue_run
from onerun.rescue.traces import rescue_trace
from onerun.store.files import reader
from onerun.store.files.reader import Cause, Unreadable

TRASH, REGISTRY = ".trash", "models"
LONGEST_ID = 18  # digits


def experiment_folders(context: RescueContext) -> list[tuple[Path, bool]]:
    """Return the folders of experiments, and whether they are in the trash."""
    active = _numbered(context, context.source, {TRASH, REGISTRY})
    trashed = _numbered(context, context.source / TRASH, set())
    known = {folder.name for folder in active}
    found = [(folder, False) for folder in active]
    for folder in trashed:
        if folder.name not in known:
            found.append((folder, True))
            continue
        cause = "the same id as an experiment that is not deleted"
        context.found(folder, "experiment", cause, QUARANTINED)
    return found


def _numbered(context: RescueContext, root: Path, ours: set[str]) -> list[Path]:
    """Return the folders called by a number; everything else becomes a finding."""
    found = []
    try:
        for name in reader.folders(root):
            if _is_id(name):
                found.append(root / name)
            elif name not in ours:
                cause = "MLflow would take it for an experiment: its name is no id"
                context.found(root / name, "folder", cause, QUARANTINED)
        for name in reader.others(root):
            if not (name.isdecimal() or name in ours) or not context.is_left_out(
                root / name, "experiment"
            ):
                context.found(root / name, "file", "does not belong here", QUARANTINED)
    except Unreadable as error:
        context.unreadable(root, "folder", error)
    return found


def _is_id(name: str) -> bool:
    is_number = name.isdecimal() and name.isascii() and len(name) <= LONGEST_ID
    return is_number and str(int(name)) == name


def rescue_experiment(context: RescueContext, folder: Path, trashed: bool) -> None:
    """Rescue one experiment with its runs, data sets and traces."""
    runs, strangers = _contents(context, folder)
    rebuilt = ""
    try:
        meta = _repaired(context, folder, reader.meta(folder / "meta.yaml"), trashed)
    except Unreadable as error:
        is_empty = not runs and not strangers and not reader.size_below(folder)
        if is_empty and error.cause != Cause.DENIED:
            context.found(folder, "experiment", "an empty folder", DROPPED)
            return
        rebuilt = f"meta.yaml: {error}"
        meta = _rebuilt(folder, trashed)
        context.found(folder / "meta.yaml", "experiment", error, REBUILT)
    tags = context.values(folder / "tags", "experiment tag")
    if rebuilt:
        tags[names.TAG_RESCUED] = rebuilt
    _make_name_unique(context, folder, meta, tags)
    _take(context, folder, meta, tags)
    datasets = _datasets(context, folder)
    for name in runs:
        rescue_run(context, folder / name, meta, datasets)
    for name in _subfolders(context, folder / "traces", "trace"):
        rescue_trace(context, folder / "traces" / name, meta["experiment_id"])


def rescue_models(context: RescueContext, folder: Path) -> None:
    """Rescue the logged models of an experiment; all runs are known by then."""
    if folder.name in context.names.values():
        for name in _subfolders(context, folder / "models", "model"):
            rescue_model(context, folder / "models" / name, folder.name)


def _subfolders(context: RescueContext, folder: Path, what: str) -> list[str]:
    try:
        return context.folders(folder, what)
    except Unreadable as error:
        context.unreadable(folder, "folder", error)
        return []


def resolve_duplicates(context: RescueContext, folders: list[Path]) -> None:
    """Decide which experiment keeps a run that is in several folders: the one that it names."""
    seen: dict[str, list[Path]] = {}
    for folder in folders:
        with suppress(Unreadable):
            for name in reader.folders(folder):
                seen.setdefault(name, []).append(folder / name)
    for name, copies in seen.items():
        if len(copies) > 1 and name not in RESERVED:
            keeper = next((each for each in copies if _names_its_experiment(each)), copies[0])
            context.duplicates[name] = keeper.parent.name


def _names_its_experiment(run: Path) -> bool:
    try:
        return str(reader.meta(run / "meta.yaml").get("experiment_id")) == run.parent.name
    except Unreadable:
        return False


def _contents(context: RescueContext, folder: Path) -> tuple[list[str], list[str]]:
    try:
        strangers = [name for name in reader.others(folder) if name != "meta.yaml"]
        runs = [name for name in reader.folders(folder) if name not in RESERVED]
    except Unreadable as error:
        context.found(folder, "experiment", error, QUARANTINED)
        return [], []
    for name in strangers:
        if context.is_left_out(folder / name, "run"):
            continue
        context.found(folder / name, "file", "does not belong here", QUARANTINED)
    return runs, strangers


def _rebuilt(folder: Path, trashed: bool) -> dict[str, Any]:
    """Return what the folder's name and the times of its content say."""
    first, last = reader.times_below(folder)
    return {
        "experiment_id": folder.name,
        "name": f"rescued-{folder.name}" if folder.name != "0" else "Default",
        "artifact_location": folder.absolute().as_uri(),
        "lifecycle_stage": "deleted" if trashed else "active",
        "creation_time": first,
        "last_update_time": last,
    }


def _repaired(
    context: RescueContext, folder: Path, meta: dict[str, Any], trashed: bool
) -> dict[str, Any]:
    """Return the fields that MLflow reads, those that are none taken from the folder."""
    whole = _rebuilt(folder, trashed)
    wrong = [fault.text for fault in experiment_faults(meta, folder.name)]
    name = meta.get("name")
    if isinstance(name, str) and name.strip():
        whole["name"] = name[:LONGEST_EXPERIMENT_NAME]
    for key in ("creation_time", "last_update_time"):  # MLflow's tool would write this moment
        if is_whole(meta.get(key)):
            whole[key] = meta[key]
    stage = meta.get("lifecycle_stage")
    if stage != whole["lifecycle_stage"]:
        where = "the trash" if trashed else "use"
        wrong.append(f"is {str(stage)[:20]!r} and its folder is in {where}")
    for cause in wrong:
        context.found(folder / "meta.yaml", "experiment", cause, REPAIRED)
    whole["artifact_location"] = artifact_address(meta.get("artifact_location"), folder)
    if whole["artifact_location"] != meta.get("artifact_location") and not trashed:
        context.totals["moved"] += 1
    return whole


def _make_name_unique(
    context: RescueContext, folder: Path, meta: dict[str, Any], tags: dict[str, str]
) -> None:
    if meta["name"] in context.names:
        other = context.names[meta["name"]]
        context.found(
            folder,
            "experiment",
            f"has the name of experiment {other}: {meta['name'][:80]!r}",
            REPAIRED,
        )
        tags[names.TAG_RESCUED] = f"was called {meta['name']}, as experiment {other} is"
        meta["name"] = f"{meta['name'][:230]} ({meta['experiment_id']})"
    context.names[meta["name"]] = meta["experiment_id"]


def _take(context: RescueContext, folder: Path, meta: dict[str, Any], tags: dict[str, str]) -> None:
    home = context.relative(folder)
    identity = meta["experiment_id"]
    context.write_meta(f"{home}/meta.yaml", meta)
    context.make_folder(
        f"{home}/datasets"
    )  # where there is none, MLflow's tool leaves out the models that runs read
    keys = ("name", "lifecycle_stage", "creation_time", "last_update_time")
    context.checksums.add("experiment", identity, "", *(meta[key] for key in keys))
    for key, value in tags.items():
        context.write(f"{home}/tags/{key}", value)
        context.checksums.add("experiment tag", identity, key, value)


def _datasets(context: RescueContext, folder: Path) -> dict[str, tuple[str, str]]:
    """Return the folder of each data set -> its name and digest."""
    found: dict[str, tuple[str, str]] = {}
    for name in _subfolders(context, folder / "datasets", "data set"):
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
                raise Unreadable("no name, digest or source")
        except Unreadable as error:
            context.found(path, "data set", error, QUARANTINED)
            continue
        key = (str(said["name"])[:500], str(said["digest"])[:36])
        if key in found.values():
            context.found(path, "data set", f"the same as another one: {key[0]} {key[1]}", NOTED)
        else:
            context.write_meta(f"{context.relative(folder)}/datasets/{name}/meta.yaml", said)
            context.checksums.add(
                "data set",
                folder.name,
                " ".join(key),
                said["source"],
                said["schema"],
                said["profile"],
            )
        found[name] = key
    return found
