"""The model registry of a file store (`models/NAME`): registered models, versions, aliases, tags."""

import os
import re
from pathlib import Path
from typing import Any

from onerun.domain import names
from onerun.domain.file_store import (
    VERSION_STATUSES,
    is_whole,
    registered_model_faults,
    version_faults,
)
from onerun.rescue.case import DROPPED, MENDED, QUARANTINED, REBUILT, TOLD, Case
from onerun.rescue.places import place
from onerun.store.artifact_paths import is_local
from onerun.store.files import reader

_VERSION = re.compile(r"version-([1-9]\d{0,8})")


def rescue_registry(case: Case) -> None:
    """Takes up all registered models."""
    root = case.source / "models"
    try:
        for name in reader.folders(root):
            try:
                _model(case, root / name)
            except reader.Unreadable as error:
                case.unreadable(root / name, "registered model", error)
        for name in reader.others(root):
            if not case.is_left_out(root / name, "registered model"):
                case.found(root / name, "file", "does not belong here", QUARANTINED)
    except reader.Unreadable as error:
        if root.is_symlink() or root.exists():
            case.unreadable(root, "registry", error)


def _model(case: Case, folder: Path) -> None:
    name = case.key(folder.name)
    if name.startswith("m-") and "artifacts" in reader.folders(folder):
        case.found(
            folder, "registered model", "a logged model in the registry's folder", QUARANTINED
        )
        return
    versions = [each for each in case.folders(folder, "version") if _VERSION.fullmatch(each)]
    tags = case.values(folder / "tags", "registered model's tag")
    try:
        meta = reader.meta(folder / "meta.yaml")
        for fault in registered_model_faults(meta, name):
            case.found(folder / "meta.yaml", "registered model", fault.text, MENDED)
    except reader.Unreadable as error:
        if not versions:
            case.found(
                folder,
                "registered model",
                f"meta.yaml: {error}; and it has no version",
                QUARANTINED,
            )
            return
        case.found(folder / "meta.yaml", "registered model", str(error), REBUILT)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
        meta = {}
    whole = _times(folder, meta) | {
        "name": name,
        "description": _text(meta.get("description")),
    }
    case.write_meta(f"models/{name}/meta.yaml", whole)
    case.facts.add("registered model", name, "", whole["description"], whole["creation_timestamp"])
    for key, value in tags.items():
        case.write(f"models/{name}/tags/{key}", value)
        case.facts.add("registered model's tag", name, key, value)
    good = {
        version for each in versions if (version := _version(case, folder / each, name)) is not None
    }
    _aliases(case, folder, good)


def _times(folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
    first, last = reader.times_below(folder)
    found = {"creation_timestamp": first, "last_updated_timestamp": last}
    return found | {key: meta[key] for key in found if is_whole(meta.get(key))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _version(case: Case, folder: Path, name: str) -> int | None:
    """Returns: the version's number; None when nothing says what it is a version of."""
    number = int(folder.name.partition("-")[2])
    try:
        meta = reader.meta(folder / "meta.yaml")
        if not isinstance(meta.get("source"), str):
            raise reader.Unreadable("no source in it")
    except reader.Unreadable as error:
        case.found(
            folder, "version", f"meta.yaml: {error}; nothing says which model it is", QUARANTINED
        )
        return None
    for fault in version_faults(meta, str(number)):
        case.found(folder / "meta.yaml", "version", fault.text, MENDED)
    whole = _times(folder, meta) | {
        "name": name,
        "version": number,
        "source": meta["source"],
        "status": meta["status"] if meta.get("status") in VERSION_STATUSES else "READY",
        "current_stage": meta["current_stage"]
        if isinstance(meta.get("current_stage"), str)
        else "None",
        "storage_location": _storage(case, meta),
    }
    for key in ("description", "user_id", "run_id", "run_link", "status_message"):
        whole[key] = _text(meta.get(key))
    _tell_missing(case, folder, whole)
    case.write_meta(f"models/{name}/{folder.name}/meta.yaml", whole)
    keys = ("source", "run_id", "current_stage", "description", "status", "creation_timestamp")
    case.facts.add("version", name, str(number), *(whole[key] for key in keys))
    for key, value in case.values(folder / "tags", "version's tag").items():
        case.write(f"models/{name}/{folder.name}/tags/{key}", value)
        case.facts.add("version's tag", f"{name} version {number}", key, value)
    return number


def _storage(case: Case, meta: dict[str, Any]) -> str | None:
    """The folder of a model of ours may have moved along with the store."""
    source, said = meta["source"], _text(meta.get("storage_location"))
    model = source.removeprefix("models:/")
    if model in case.models:
        return place(said, case.model_homes[model] / "artifacts")
    return said


def _tell_missing(case: Case, folder: Path, version: dict[str, Any]) -> None:
    where = version["storage_location"] or version["source"]
    near = where.removeprefix("file://")
    if (
        version["source"].startswith("models:/m-")
        and version["source"].removeprefix("models:/") not in case.models
    ):
        case.found(folder, "version", f"its logged model {version['source'][8:60]} is gone", TOLD)
    elif is_local(where) and ":/" not in near and not os.path.exists(near):  # noqa: PTH110
        case.found(folder, "version", f"its files are gone: {where[:200]}", TOLD)


def _aliases(case: Case, folder: Path, versions: set[int]) -> None:
    for alias, value in case.values(folder / "aliases", "alias").items():
        if "/" in alias:
            case.found(folder / "aliases" / alias, "alias", "its name is no alias's", DROPPED)
            continue
        if not value.strip().isdecimal() or int(value) not in versions:
            case.found(
                folder / "aliases" / alias,
                "alias",
                f"points to nothing: {value.strip()[:40]!r}",
                DROPPED,
            )
            continue
        case.write(f"models/{folder.name}/aliases/{alias}", value)
        case.facts.add("alias", folder.name, alias, int(value))
