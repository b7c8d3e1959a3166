"""What is wrong with the metadata that a store of files keeps: one list for clean-up and rescue.

Metadata is what a YAML file says: nothing about it is certain but that its keys are strings.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
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


class Fault(NamedTuple):
    """One thing that is wrong with metadata."""

    text: str
    readable: bool = False  # whether MLflow reads it all the same, and only a database refuses it


def experiment_faults(meta: Meta, identity: str) -> list[Fault]:
    """Return what is wrong with an experiment's metadata.

    Stores of old versions have no times: that is no fault.
    """
    return list(_experiment_faults(meta, identity))


def _experiment_faults(meta: Meta, identity: str) -> Iterator[Fault]:
    if str(meta.get("experiment_id")) != identity:
        yield Fault(f"says it is {shown(meta.get('experiment_id'))}")
    name = meta.get("name")
    if not isinstance(name, str) or not name.strip():
        yield Fault(f"its name is {shown(name)!r}", readable="name" in meta)
    elif len(name) > LONGEST_EXPERIMENT_NAME:
        yield Fault(f"its name has {len(name)} characters", readable=True)
    for key in ("creation_time", "last_update_time"):
        if meta.get(key) is not None and not is_whole(meta[key]):
            yield Fault(f"has {key} {shown(meta[key])!r}", readable=True)


def run_faults(meta: Meta, identity: str, experiment: str) -> list[Fault]:
    """Return what is wrong with the metadata of a run of that experiment."""
    return list(_run_faults(meta, identity, experiment))


def _run_faults(meta: Meta, identity: str, experiment: str) -> Iterator[Fault]:
    said = meta.get("run_id") or meta.get("run_uuid")
    if said != identity:
        yield Fault(f"says it is run {shown(said)}")
    if str(meta.get("experiment_id")) != experiment:
        yield Fault(f"says it is of experiment {shown(meta.get('experiment_id'))}")
    status = meta.get("status")
    if not isinstance(status, int) or isinstance(status, bool) or status not in RUN_STATUSES:
        yield Fault(f"has status {shown(status)!r}")
    lifecycle = meta.get("lifecycle_stage")
    if lifecycle not in LIFECYCLES:
        yield Fault(f"has life cycle {shown(lifecycle)!r}", readable=lifecycle is None)
    yield from _run_times(meta)
    name = meta.get("run_name") or meta.get("name")
    if name is not None and (not isinstance(name, str) or len(name) > LONGEST_RUN_NAME):
        yield Fault(
            f"has the name {shown(name)!r}, of which a database holds {LONGEST_RUN_NAME} characters",
            readable=True,
        )


def _run_times(meta: Meta) -> Iterator[Fault]:
    if meta.get("start_time") is None:
        yield Fault("has no start_time", readable="start_time" in meta)
    for key in ("start_time", "end_time", "deleted_time"):
        value = meta.get(key)
        if value is not None and not is_whole(value):
            yield Fault(f"has {key} {shown(value)!r}", readable=is_number(value))


def model_faults(meta: Meta, identity: str) -> list[Fault]:
    """Return what is wrong with a logged model's metadata."""
    return list(_model_faults(meta, identity))


def _model_faults(meta: Meta, identity: str) -> Iterator[Fault]:
    if meta.get("model_id") != identity:
        yield Fault(f"says it is {shown(meta.get('model_id'))}", readable=True)
    if not isinstance(meta.get("name"), str):
        yield Fault(f"has name {shown(meta.get('name'))!r}", readable=True)
    for key in ("creation_timestamp", "last_updated_timestamp"):
        if not is_whole(value := meta.get(key)):
            readable = value is None or is_number(value)
            yield Fault(f"has {key} {shown(value)!r}", readable)
    if meta.get("status") not in MODEL_STATUSES:
        yield Fault(f"has status {shown(meta.get('status'))!r}", readable=True)


def version_faults(meta: Meta, number: str) -> list[Fault]:
    """Return what is wrong with a registered version's metadata."""
    return list(_version_faults(meta, number))


def _version_faults(meta: Meta, number: str) -> Iterator[Fault]:
    if not isinstance(meta.get("source"), str):
        yield Fault("has no source")
    if str(meta.get("version")) != number:
        yield Fault(f"says it is version {shown(meta.get('version'))}", readable=True)
    if meta.get("status") not in VERSION_STATUSES:
        yield Fault(f"has status {shown(meta.get('status'))!r}", readable=True)
    yield from _wrong_times(meta)


def registered_model_faults(meta: Meta, name: str) -> list[Fault]:
    """Return what is wrong with a registered model's metadata."""
    faults = list(_wrong_times(meta))
    if meta.get("name") != name:
        faults.append(Fault(f"says it is {shown(meta.get('name'))!r}", readable=True))
    return faults


def _wrong_times(meta: Meta) -> Iterator[Fault]:
    for key in ("creation_timestamp", "last_updated_timestamp"):
        if meta.get(key) is not None and not is_whole(meta[key]):
            yield Fault(f"has {key} {shown(meta[key])!r}", readable=True)


def shown(value: object) -> str:
    """Return what stands in a message of a value that may be anything."""
    return str(value)[:40]


def is_whole(value: object) -> bool:
    """Return whether it is a whole number that a database has room for."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether it is a finite number."""
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def milliseconds(said: object) -> int | None:
    """Return a time since 1970, said as a number or as MLflow 3 writes it; None for anything else."""
    if isinstance(said, int):
        return said if is_whole(said) else None
    try:
        when = said if isinstance(said, datetime) else datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return (when.replace(tzinfo=when.tzinfo or UTC) - EPOCH) // timedelta(milliseconds=1)
