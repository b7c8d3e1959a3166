"""What people and judges said of a trace (`traces/tr-.../assessments/a-....yaml`)."""

import json
from pathlib import Path
from typing import Any

from onerun.domain.file_store import milliseconds
from onerun.rescue.case import MENDED, QUARANTINED, Case
from onerun.store.files import reader

LONGEST_ID = 50  # characters
KINDS = ("feedback", "expectation")  # MLflow's tool takes no others
LONGEST = {
    "name": 250,
    "source_type": 50,
    "source_id": 250,
    "run_id": 32,
    "span_id": 50,
    "overrides": 50,
}  # characters
KEYS = (*LONGEST, "rationale", "create_time_ms", "last_update_time_ms", "valid", "metadata")


def rescue_assessments(case: Case, folder: Path) -> None:
    """Takes up those of one trace; what is none becomes a finding."""
    try:
        files = list(reader.files_below(folder / "assessments"))
    except reader.Unreadable as error:
        case.unreadable(folder / "assessments", "assessments", error)
        return
    for name, path in files:
        try:
            _assessment(case, folder, case.key(name), path)
        except reader.Unreadable as error:
            case.found(path, "assessment", str(error), QUARANTINED)


def _assessment(case: Case, folder: Path, name: str, path: Path) -> None:
    identity = name.removesuffix(".yaml")
    if identity == name or "/" in name or len(identity) > LONGEST_ID:
        raise reader.Unreadable("its name is no assessment's")
    if identity in case.assessments:
        raise reader.Unreadable(
            f"an assessment of that id is of trace {case.assessments[identity]}"
        )
    meta = reader.meta(path)
    kind, value = _value(meta)
    error = _plain(meta[kind].get("error") or None)
    said, wrong = _mended(path, meta, identity)
    if wrong:
        case.found(path, "assessment", ", ".join(wrong), MENDED)
    case.assessments[identity] = folder.name
    source = {key: said[key] for key in ("source_type", "source_id")}
    whole = {
        **said,
        "assessment_id": identity,
        "source": source,
        kind: {"value": value, "error": error},
    }
    case.write_meta(f"{case.relative(folder)}/assessments/{name}", whole)
    case.facts.add(
        "assessment",
        f"trace {folder.name}",
        identity,
        kind,
        value,
        error,
        *(said[key] for key in KEYS),
    )


def _value(meta: dict[str, Any]) -> tuple[str, Any]:
    """Returns: its kind and its value: MLflow keeps lists and mappings as JSON in a text. Raises: Unreadable."""
    kind = next((each for each in KINDS if meta.get(each) and isinstance(meta[each], dict)), None)
    if kind is None:
        raise reader.Unreadable(
            f"neither {' nor '.join(KINDS)}, which is all that MLflow's tool takes"
        )
    said = meta[kind]
    if "value" in said or "serialized_value" not in said:
        return kind, _plain(said.get("value"))
    try:
        return kind, json.loads(said["serialized_value"]["value"])
    except (KeyError, TypeError, ValueError):
        raise reader.Unreadable(f"the value of its {kind} is no JSON") from None


def _plain(value: object) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        raise reader.Unreadable(f"{str(value)[:40]!r} is nothing that JSON holds") from None


def _mended(path: Path, meta: dict[str, Any], identity: str) -> tuple[dict[str, Any], list[str]]:
    """Returns: all but its value, in words that MLflow's tool knows (its times have others), and what is wrong."""
    source = meta["source"] if isinstance(meta.get("source"), dict) else {}
    said = {**meta, **{key: source.get(key) for key in ("source_type", "source_id")}}
    said["name"] = meta.get("assessment_name", meta.get("name"))
    whole: dict[str, Any] = {
        "valid": meta.get("valid") is not False,
        "metadata": _plain(meta.get("metadata") or None),
    }
    wrong = (
        []
        if meta.get("assessment_id") == identity
        else [f"says it is {str(meta.get('assessment_id'))[:40]}"]
    )
    for key, otherwise in zip(
        ("create_time", "last_update_time"), reader.times_below(path), strict=True
    ):
        time = milliseconds(meta.get(f"{key}_ms", meta.get(key)))
        whole[f"{key}_ms"] = otherwise if time is None else time
        wrong += [f"has no {key}"] if time is None else []
    for key in (*LONGEST, "rationale"):
        value = said.get(key)
        fits = isinstance(value, str) and len(value) <= LONGEST.get(key, len(value))
        whole[key] = value if fits else {"name": identity, "source_type": "CODE"}.get(key)
        wrong += [f"has {key} {str(value)[:40]!r}"] if whole[key] != value else []
    return whole, wrong
