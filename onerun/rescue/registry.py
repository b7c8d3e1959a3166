"""The registry of a file store (`models/NAME`): registered models, versions, aliases, tags."""

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
from onerun.rescue.checksums import artifact_address
from onerun.rescue.context import DROPPED, NOTED, QUARANTINED, REBUILT, REPAIRED, RescueContext
from onerun.store.artifact_paths import is_local
from onerun.store.files import reader
from onerun.store.files.reader import Unreadable

_VERSION = re.compile(r"version-([1-9]\d{0,8})")


def rescue_registry(context: RescueContext) -> None:
    """Rescue all registered models."""
    root = context.source / "models"
    try:
        for name in reader.folders(root):
            try:
                _model(context, root / name)
            except Unreadable as error:
                context.unreadable(root / name, "registered model", error)
        for name in reader.others(root):
            if not context.is_left_out(root / name, "registered model"):
                context.found(root / name, "file", "does not belong here", QUARANTINED)
    except Unreadable as error:
        if root.is_symlink() or root.exists():
            context.unreadable(root, "registry", error)


def _model(context: RescueContext, folder: Path) -> None:
    name = context.key(folder.name)
    if name.startswith("m-") and "artifacts" in reader.folders(folder):
        context.found(
            folder, "registered model", "a logged model in the registry's folder", QUARANTINED
        )
        return
    versions = [each for each in context.folders(folder, "version") if _VERSION.fullmatch(each)]
    tags = context.values(folder / "tags", "registered model's tag")
    try:
        meta = reader.meta(folder / "meta.yaml")
        for fault in registered_model_faults(meta, name):
            context.found(folder / "meta.yaml", "registered model", fault.text, REPAIRED)
    except Unreadable as error:
        if not versions:
            cause = Unreadable(f"meta.yaml: {error}; and it has no version", error.cause)
            context.found(folder, "registered model", cause, QUARANTINED)
            return
        context.found(folder / "meta.yaml", "registered model", error, REBUILT)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
        meta = {}
    whole = _times(folder, meta) | {
        "name": name,
        "description": _text(meta.get("description")),
    }
    context.write_meta(f"models/{name}/meta.yaml", whole)
    context.checksums.add(
        "registered model", name, "", whole["description"], whole["creation_timestamp"]
    )
    for key, value in tags.items():
        context.write(f"models/{name}/tags/{key}", value)
        context.checksums.add("registered model's tag", name, key, value)
    good = {
        version
        for each in versions
        if (version := _version(context, folder / each, name)) is not None
    }
    _aliases(context, folder, good)


def _times(folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
    first, last = reader.times_below(folder)
    found = {"creation_timestamp": first, "last_updated_timestamp": last}
    return found | {key: meta[key] for key in found if is_whole(meta.get(key))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _version(context: RescueContext, folder: Path, name: str) -> int | None:
    """Rescue one version. Return its number; None: nothing says what it is a version of."""
    number = int(folder.name.partition("-")[2])
    try:
        meta = reader.meta(folder / "meta.yaml")
        if not isinstance(meta.get("source"), str):
            raise Unreadable("no source in it")
    except Unreadable as error:
        cause = Unreadable(f"meta.yaml: {error}; nothing says which model it is", error.cause)
        context.found(folder, "version", cause, QUARANTINED)
        return None
    for fault in version_faults(meta, str(number)):
        context.found(folder / "meta.yaml", "version", fault.text, REPAIRED)
    whole = _times(folder, meta) | {
        "name": name,
        "version": number,
        "source": meta["source"],
        "status": meta["status"] if meta.get("status") in VERSION_STATUSES else "READY",
        "current_stage": meta["current_stage"]
        if isinstance(meta.get("current_stage"), str)
        else "None",
        "storage_location": _storage(context, meta),
    }
    for key in ("description", "user_id", "run_id", "run_link", "status_message"):
        whole[key] = _text(meta.get(key))
    _note_missing(context, folder, whole)
    context.write_meta(f"models/{name}/{folder.name}/meta.yaml", whole)
    keys = ("source", "run_id", "current_stage", "description", "status", "creation_timestamp")
    context.checksums.add("version", name, str(number), *(whole[key] for key in keys))
    for key, value in context.values(folder / "tags", "version's tag").items():
        context.write(f"models/{name}/{folder.name}/tags/{key}", value)
        context.checksums.add("version's tag", f"{name} version {number}", key, value)
    return number


def _storage(context: RescueContext, meta: dict[str, Any]) -> str | None:
    """Return where the version's files are: they may have moved along with the store."""
    source, said = meta["source"], _text(meta.get("storage_location"))
    model = source.removeprefix("models:/")
    if model in context.models:
        return artifact_address(said, context.model_homes[model] / "artifacts")
    return said


def _note_missing(context: RescueContext, folder: Path, version: dict[str, Any]) -> None:
    where = version["storage_location"] or version["source"]
    near = where.removeprefix("file://")
    if (
        version["source"].startswith("models:/m-")
        and version["source"].removeprefix("models:/") not in context.models
    ):
        context.found(
            folder, "version", f"its logged model {version['source'][8:60]} does not exist", NOTED
        )
    elif is_local(where) and ":/" not in near and not os.path.exists(near):  # noqa: PTH110
        context.found(folder, "version", f"its files do not exist: {where[:200]}", NOTED)


def _aliases(context: RescueContext, folder: Path, versions: set[int]) -> None:
    for alias, value in context.values(folder / "aliases", "alias").items():
        if "/" in alias:
            context.found(folder / "aliases" / alias, "alias", "its name is no alias's", DROPPED)
            continue
        if not value.strip().isdecimal() or int(value) not in versions:
            context.found(
                folder / "aliases" / alias,
                "alias",
                f"points to nothing: {value.strip()[:40]!r}",
                DROPPED,
            )
            continue
        context.write(f"models/{folder.name}/aliases/{alias}", value)
        context.checksums.add("alias", folder.name, alias, int(value))
