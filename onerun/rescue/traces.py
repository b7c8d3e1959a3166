"""Traces of a file store (`traces/tr-...`): what is said of them, and their files, which hold the spans."""

import json
from pathlib import Path
from typing import Any

from onerun.archive.record_io import traces
from onerun.archive.record_io.layout import PLACE_OF_TRACE
from onerun.domain.file_store import is_whole, milliseconds
from onerun.rescue.assessments import rescue_assessments
from onerun.rescue.case import MENDED, QUARANTINED, Case
from onerun.rescue.places import add_facts, place
from onerun.store.files import reader

STATES = ("STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS")
LONGEST_ID = 50  # characters
LONGEST = {"client_request_id": 50, "request_preview": 1000, "response_preview": 1000}  # characters
LONGEST_VALUE = 8000  # characters of a tag or of metadata


def rescue_trace(case: Case, folder: Path, experiment: str) -> None:
    """Takes up one trace; one that cannot be read becomes a finding."""
    try:
        if len(case.key(folder.name)) > LONGEST_ID:
            raise reader.Unreadable("its name is no trace's id")
        if folder.name in case.traces:
            raise reader.Unreadable(
                f"a trace of that id is in experiment {case.traces[folder.name]}"
            )
        meta = _read(folder)
    except reader.Unreadable as error:
        case.found(folder, "trace", str(error), QUARANTINED)
        return
    case.traces[folder.name] = experiment
    meta = _mended(case, folder, meta)
    case.write_meta(f"{case.relative(folder)}/trace_info.yaml", meta)
    keys = ("timestamp_ms", "execution_duration_ms", "status", *LONGEST)
    case.facts.add("trace", folder.name, "", experiment, *(meta[key] for key in keys))
    _take(case, folder, "tags", "trace's tag", _tags(case, folder))
    _take(case, folder, "request_metadata", "trace's metadata", _metadata(case, folder))
    rescue_assessments(case, folder)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return reader.meta(folder / "trace_info.yaml")
    except reader.Unreadable as error:
        raise reader.Unreadable(f"trace_info.yaml: {error}") from None


def _take(case: Case, folder: Path, part: str, what: str, values: dict[str, str]) -> None:
    for key, value in values.items():
        case.write(f"{case.relative(folder)}/{part}/{key}", value)
        case.facts.add(what, f"trace {folder.name}", key, value)


def _mended(case: Case, folder: Path, meta: dict[str, Any]) -> dict[str, Any]:
    """In the words of MLflow 2, which its tool reads to the millisecond; those of MLflow 3 say the same."""
    said = meta.get("trace_id") or meta.get("request_id")
    wrong = [] if said == folder.name else [f"says it is {str(said)[:60]}"]
    start = milliseconds(meta.get("timestamp_ms", meta.get("request_time")))
    if start is None:
        wrong.append("has no time")
    status = meta.get("status") or meta.get("state")
    if status not in STATES:
        wrong.append(f"has status {str(status)[:40]!r}")
    duration = meta.get("execution_time_ms", meta.get("execution_duration_ms"))
    whole = {
        "trace_id": folder.name,
        "timestamp_ms": reader.times_below(folder)[0] if start is None else start,
        "execution_duration_ms": duration if is_whole(duration) else None,
        "status": status if status in STATES else STATES[0],
    }
    for key, longest in LONGEST.items():
        value = meta.get(key)
        whole[key] = value[:longest] if isinstance(value, str) else None
        if value != whole[key]:
            wrong.append(f"has {key} {str(value)[:40]!r}")
    if wrong:
        case.found(folder / "trace_info.yaml", "trace", ", ".join(wrong), MENDED)
    return whole


def _tags(case: Case, folder: Path) -> dict[str, str]:
    """Where its files lie is one of them."""
    tags = case.values(folder / "tags", "trace's tag", LONGEST_VALUE)
    _cut(case, folder / "tags", "trace's tag", tags, traces.NAME, traces.LONGEST_NAME)
    if PLACE_OF_TRACE in tags or reader.is_folder(folder / "artifacts"):
        said = tags.get(PLACE_OF_TRACE)
        tags[PLACE_OF_TRACE] = place(said, folder / "artifacts")
        case.totals["moved"] += tags[PLACE_OF_TRACE] != said
        case.totals["artifact bytes"] += add_facts(
            case.facts, f"trace {folder.name}", tags[PLACE_OF_TRACE]
        )
    return tags


def _metadata(case: Case, folder: Path) -> dict[str, str]:
    """Of tokens and costs a database holds numbers, and no others than those it knows."""
    home = folder / "request_metadata"
    metadata = case.values(home, "trace's metadata", LONGEST_VALUE)
    _cut(case, home, "trace's metadata", metadata, traces.SESSION, traces.LONGEST_SESSION)
    kept = traces.kept(metadata)
    for key, value in metadata.items():
        if key not in kept or (kept[key] != value and _json(kept[key]) != _json(value)):
            why = f"a database holds of it {kept.get(key, 'nothing')}"
            case.found(home / key, "trace's metadata", why, QUARANTINED)
    return kept


def _cut(case: Case, home: Path, what: str, values: dict[str, str], key: str, longest: int) -> None:
    if len(values.get(key, "")) > longest:
        case.found(
            home / key, what, f"{len(values[key])} characters, cut to {longest}", QUARANTINED
        )
        values[key] = values[key][:longest]


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None
