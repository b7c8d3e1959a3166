"""What is wrong with the metadata that a store of files keeps: one list for clean-up and rescue.

Metadata is what a YAML file holds: nothing about it is certain but that its keys are strings.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any, NamedTuple, TypeGuard

RUN_STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATUSES = (0, 1, 2, 3)
VERSION_STATUSES = ("READY", "PENDING_REGISTRATION", "FAILED_REGISTRATION")
LIFECYCLES = ("active", "deleted")
LONGEST_KEY = 250  # characters; MLflow's columns hold no more
LONGEST_RUN_NAME = 250
LONGEST_EXPERIMENT_NAME = 256
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Meta = Mapping[str, Any]


class Harm(StrEnum):
    """What a fault does."""

    UNREADABLE = "unreadable"  # nothing can be done with it
    MISLEADING = "misleading"  # MLflow stumbles over it, or shows what is not so
    BEYOND = "beyond a database"  # MLflow reads it, and no database holds it


class Fault(NamedTuple):
    """One thing that is wrong with metadata."""

    text: str
    harm: Harm = Harm.UNREADABLE


def experiment_faults(meta: Meta, identity: str) -> Iterator[Fault]:
    """Yield what is wrong with an experiment's metadata.

    Stores of old versions have no times: that is not a fault.
    """
    if str(meta.get("experiment_id")) != identity:
        yield Fault(f"names itself {shown(meta.get('experiment_id'))}")
    name = meta.get("name")
    if not isinstance(name, str) or not name.strip():
        harm = Harm.MISLEADING if "name" in meta else Harm.UNREADABLE
        yield Fault(f"its name is {shown(name)!r}", harm)
    elif len(name) > LONGEST_EXPERIMENT_NAME:
        yield Fault(f"its name has {len(name)} characters", Harm.BEYOND)
    yield from _time_faults(meta, "creation_time", "last_update_time")


def run_faults(meta: Meta, identity: str, experiment: str) -> Iterator[Fault]:
    """Yield what is wrong with the metadata of a run of that experiment."""
    named = meta.get("run_id") or meta.get("run_uuid")
    if named != identity:
        yield Fault(f"names run {shown(named)}")
    if str(meta.get("experiment_id")) != experiment:
        yield Fault(f"names experiment {shown(meta.get('experiment_id'))}")
    status = meta.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or status not in RUN_STATUSES:
        yield Fault(f"has status {shown(status)!r}")
    lifecycle = meta.get("lifecycle_stage")
    if lifecycle not in LIFECYCLES:
        harm = Harm.MISLEADING if lifecycle is None else Harm.UNREADABLE
        yield Fault(f"has life cycle {shown(lifecycle)!r}", harm)
    if meta.get("start_time") is None:
        harm = Harm.MISLEADING if "start_time" in meta else Harm.UNREADABLE
        yield Fault("has no start_time", harm)
    keys = ("start_time", "end_time", "deleted_time")
    yield from _time_faults(meta, *keys, text=Harm.UNREADABLE)
    yield from _run_name_faults(meta)


def _run_name_faults(meta: Meta) -> Iterator[Fault]:
    name = meta.get("run_name") or meta.get("name")
    if name is not None and (not isinstance(name, str) or len(name) > LONGEST_RUN_NAME):
        limit = f"of which a database holds {LONGEST_RUN_NAME} characters"
        yield Fault(f"has the name {shown(name)!r}, {limit}", Harm.BEYOND)


def model_faults(meta: Meta, identity: str) -> Iterator[Fault]:
    """Yield what is wrong with a logged model's metadata."""
    if meta.get("model_id") != identity:
        yield Fault(f"names itself {shown(meta.get('model_id'))}", Harm.MISLEADING)
    if not isinstance(meta.get("name"), str):
        yield Fault(f"has name {shown(meta.get('name'))!r}", Harm.MISLEADING)
    keys = ("creation_timestamp", "last_updated_timestamp")
    for key in keys:
        if meta.get(key) is None:
            yield Fault(f"has {key} 'None'", Harm.MISLEADING)
    yield from _time_faults(meta, *keys, text=Harm.UNREADABLE)
    if meta.get("status") not in MODEL_STATUSES:
        yield Fault(f"has status {shown(meta.get('status'))!r}", Harm.MISLEADING)


def version_faults(meta: Meta, number: str) -> Iterator[Fault]:
    """Yield what is wrong with a registered version's metadata."""
    if not isinstance(meta.get("source"), str):
        yield Fault("has no source")
    if str(meta.get("version")) != number:
        yield Fault(f"names version {shown(meta.get('version'))}", Harm.MISLEADING)
    if meta.get("status") not in VERSION_STATUSES:
        yield Fault(f"has status {shown(meta.get('status'))!r}", Harm.MISLEADING)
    yield from _time_faults(meta, "creation_timestamp", "last_updated_timestamp")


def registered_model_faults(meta: Meta, name: str) -> Iterator[Fault]:
    """Yield what is wrong with a registered model's metadata."""
    if meta.get("name") != name:
        yield Fault(f"names itself {shown(meta.get('name'))!r}", Harm.MISLEADING)
    yield from _time_faults(meta, "creation_timestamp", "last_updated_timestamp")


def _time_faults(meta: Meta, *keys: str, text: Harm = Harm.MISLEADING) -> Iterator[Fault]:
    """Yield what is not a time. Args: text: the harm of one that is not a number."""
    for key in keys:
        value = meta.get(key)
        if value is not None and not is_whole(value):
            harm = Harm.BEYOND if is_number(value) else text
            yield Fault(f"has {key} {shown(value)!r}", harm)


def shown(value: object) -> str:
    """Return what stands in a message of a value that may be anything."""
    return str(value)[:40]


def is_whole(value: object) -> bool:
    """Return whether it is a whole number that fits into a database."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether it is a finite number."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def milliseconds(value: object) -> int | None:
    """Return a time since 1970, given as a number or as MLflow 3 writes it; else None."""
    if isinstance(value, int):
        return value if is_whole(value) else None
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
