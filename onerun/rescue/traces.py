"""Traces of a file store (`traces/tr-...`): their own file, tags, metadata, and assessments.

Their artifacts hold the spans.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onerun.archive.record_io import layout
from onerun.archive.record_io.layout import PLACE_OF_TRACE
from onerun.domain.file_store import is_whole, milliseconds
from onerun.rescue.checksums import add_artifacts, artifact_address
from onerun.rescue.context import QUARANTINED, REPAIRED, RescueContext
from onerun.store.files import reader
from onerun.store.files.reader import Unreadable

STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
LONGEST_ID = 50  # characters, of a trace and of an assessment
LONGEST = {"client_request_id": 50, "request_preview": 1000, "response_preview": 1000}  # characters
LONGEST_VALUE = 8000  # characters of a tag or of metadata
KINDS = ("feedback", "expectation")  # of assessments; MLflow's tool takes no others
LONGEST_OF_ASSESSMENT = {
    "name": 250,
    "source_type": 50,
    "source_id": 250,
    "run_id": 32,
    "span_id": 50,
    "overrides": 50,
}  # characters
KEYS_OF_ASSESSMENT = (
    *LONGEST_OF_ASSESSMENT,
    "rationale",
    "create_time_ms",
    "last_update_time_ms",
    "valid",
    "metadata",
)


def rescue_trace(context: RescueContext, folder: Path, experiment: str) -> None:
    """Rescue one trace; one that cannot be read becomes a finding."""
    try:
        if len(context.key(folder.name)) > LONGEST_ID:
            raise Unreadable("its name is no trace's id")
        if folder.name in context.traces:
            other = context.traces[folder.name]
            raise Unreadable(f"a trace of that id is in experiment {other}")
        meta = _read(folder)
    except Unreadable as error:
        context.found(folder, "trace", error, QUARANTINED)
        return
    context.traces[folder.name] = experiment
    meta = _repaired(context, folder, meta)
    context.write_meta(f"{context.relative(folder)}/trace_info.yaml", meta)
    keys = ("timestamp_ms", "execution_duration_ms", "status", *LONGEST)
    context.checksums.add("trace", folder.name, "", experiment, *(meta[key] for key in keys))
    _take(context, folder, "tags", "trace's tag", _tags(context, folder))
    metadata = _metadata(context, folder)
    _take(context, folder, "request_metadata", "trace's metadata", metadata)
    _rescue_assessments(context, folder)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return reader.meta(folder / "trace_info.yaml")
    except Unreadable as error:
        raise Unreadable(f"trace_info.yaml: {error}", error.cause) from None


def _take(
    context: RescueContext, folder: Path, part: str, what: str, values: Mapping[str, str]
) -> None:
    for key, value in values.items():
        context.write(f"{context.relative(folder)}/{part}/{key}", value)
        context.checksums.add(what, f"trace {folder.name}", key, value)


def _repaired(context: RescueContext, folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Return it with MLflow 2's keys, which its tool reads to the millisecond."""
    identity = meta.get("trace_id") or meta.get("request_id")
    wrong = [] if identity == folder.name else [f"says it is {str(identity)[:60]}"]
    start = milliseconds(meta.get("timestamp_ms", meta.get("request_time")))
    if start is None:
        wrong.append("has no time")
        start = reader.times_below(folder)[0]
    status = meta.get("status") or meta.get("state")
    if status not in STATES:
        wrong.append(f"has status {str(status)[:40]!r}")
        status = STATES[0]
    duration = meta.get("execution_time_ms", meta.get("execution_duration_ms"))
    whole: dict[str, Any] = {
        "trace_id": folder.name,
        "timestamp_ms": start,
        "execution_duration_ms": duration if is_whole(duration) else None,
        "status": status,
    }
    for key, longest in LONGEST.items():
        value = meta.get(key)
        whole[key] = value[:longest] if isinstance(value, str) else None
        if value != whole[key]:
            wrong.append(f"has {key} {str(value)[:40]!r}")
    if wrong:
        context.found(folder / "trace_info.yaml", "trace", ", ".join(wrong), REPAIRED)
    return whole


def _tags(context: RescueContext, folder: Path) -> dict[str, str]:
    """Return the tags; one of them says where the trace's files are."""
    home, what = folder / "tags", "trace's tag"
    tags = context.values(home, what, LONGEST_VALUE)
    _cut(context, home, what, tags, layout.TRACE_NAME, layout.LONGEST_TRACE_NAME)
    if PLACE_OF_TRACE in tags or reader.is_folder(folder / "artifacts"):
        before = tags.get(PLACE_OF_TRACE)
        address = artifact_address(before, folder / "artifacts")
        tags[PLACE_OF_TRACE] = address
        context.totals["moved"] += address != before
        size = add_artifacts(context.checksums, f"trace {folder.name}", address)
        context.totals["artifact bytes"] += size
    return tags


def _metadata(context: RescueContext, folder: Path) -> dict[str, str]:
    """Return the metadata; of tokens and costs a database holds only numbers that it knows."""
    home, what = folder / "request_metadata", "trace's metadata"
    metadata = context.values(home, what, LONGEST_VALUE)
    _cut(context, home, what, metadata, layout.TRACE_SESSION, layout.LONGEST_SESSION)
    kept = layout.metadata_kept(metadata)
    for key, value in metadata.items():
        if key not in kept or (kept[key] != value and _json(kept[key]) != _json(value)):
            cause = f"a database holds of it {kept.get(key, 'nothing')}"
            context.found(home / key, what, cause, QUARANTINED)
    return kept


def _cut(
    context: RescueContext, home: Path, what: str, values: dict[str, str], key: str, longest: int
) -> None:
    if len(values.get(key, "")) > longest:
        cause = f"{len(values[key])} characters, cut to {longest}"
        context.found(home / key, what, cause, QUARANTINED)
        values[key] = values[key][:longest]


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _rescue_assessments(context: RescueContext, folder: Path) -> None:
    """Rescue `assessments/a-....yaml` of one trace; what is none becomes a finding."""
    try:
        files = list(reader.files_below(folder / "assessments"))
    except Unreadable as error:
        context.unreadable(folder / "assessments", "assessments", error)
        return
    for name, path in files:
        try:
            _rescue_assessment(context, folder, context.key(name), path)
        except Unreadable as error:
            context.found(path, "assessment", error, QUARANTINED)


def _rescue_assessment(context: RescueContext, folder: Path, name: str, path: Path) -> None:
    identity = name.removesuffix(".yaml")
    if identity == name or "/" in name or len(identity) > LONGEST_ID:
        raise Unreadable("its name is no assessment's")
    if identity in context.assessments:
        other = context.assessments[identity]
        raise Unreadable(f"an assessment of that id is of trace {other}")
    meta = reader.meta(path)
    kind, value = _value_of_assessment(meta)
    error = _as_json(meta[kind].get("error") or None)
    whole = _repaired_assessment(context, path, meta, identity)
    context.assessments[identity] = folder.name
    source = {key: whole[key] for key in ("source_type", "source_id")}
    written = {
        **whole,
        "assessment_id": identity,
        "source": source,
        kind: {"value": value, "error": error},
    }
    context.write_meta(f"{context.relative(folder)}/assessments/{name}", written)
    values = (kind, value, error, *(whole[key] for key in KEYS_OF_ASSESSMENT))
    context.checksums.add("assessment", f"trace {folder.name}", identity, *values)


def _value_of_assessment(meta: Mapping[str, Any]) -> tuple[str, Any]:
    """Return kind and value; MLflow keeps lists and mappings as JSON. Raises: Unreadable."""
    kind = next((each for each in KINDS if meta.get(each) and isinstance(meta[each], dict)), None)
    if kind is None:
        kinds = " nor ".join(KINDS)
        raise Unreadable(f"neither {kinds}, which is all that MLflow's tool takes")
    held = meta[kind]
    if "value" in held or "serialized_value" not in held:
        return kind, _as_json(held.get("value"))
    try:
        return kind, json.loads(held["serialized_value"]["value"])
    except (KeyError, TypeError, ValueError):
        raise Unreadable(f"the value of its {kind} is no JSON") from None


def _as_json(value: object) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise Unreadable(f"{str(value)[:40]!r} is nothing that JSON holds") from None


def _repaired_assessment(
    context: RescueContext, path: Path, meta: dict[str, Any], identity: str
) -> dict[str, Any]:
    """Return all but its value, with keys that MLflow's tool knows."""
    source = meta["source"] if isinstance(meta.get("source"), dict) else {}
    given = {**meta, **{key: source.get(key) for key in ("source_type", "source_id")}}
    given["name"] = meta.get("assessment_name", meta.get("name"))
    whole: dict[str, Any] = {
        "valid": meta.get("valid") is not False,
        "metadata": _as_json(meta.get("metadata") or None),
    }
    wrong = []
    if meta.get("assessment_id") != identity:
        wrong.append(f"says it is {str(meta.get('assessment_id'))[:40]}")
    times = zip(("create_time", "last_update_time"), reader.times_below(path), strict=True)
    for key, of_file in times:
        time = milliseconds(meta.get(f"{key}_ms", meta.get(key)))
        if time is None:
            wrong.append(f"has no {key}")
            time = of_file
        whole[f"{key}_ms"] = time
    defaults = {"name": identity, "source_type": "CODE"}
    for key in (*LONGEST_OF_ASSESSMENT, "rationale"):
        value = given.get(key)
        fits = isinstance(value, str) and len(value) <= LONGEST_OF_ASSESSMENT.get(key, len(value))
        whole[key] = value if fits else defaults.get(key)
        if whole[key] != value:
            wrong.append(f"has {key} {str(value)[:40]!r}")
    if wrong:
        context.found(path, "assessment", ", ".join(wrong), REPAIRED)
    return whole
