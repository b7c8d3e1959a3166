"""Traces of a file store: taken over as they are when their own file can be read."""

from pathlib import Path

from tasks.archives.rescue import reading
from tasks.archives.rescue.case import QUARANTINED, Case


def rescue_trace(case: Case, folder: Path, experiment: str) -> None:
    """Takes up one trace; one that cannot be read becomes a finding."""
    home = case.relative(folder)
    try:
        meta = reading.meta(folder / "trace_info.yaml")
    except reading.Unreadable as error:
        case.found(folder, "trace", f"trace_info.yaml: {error}", QUARANTINED)
        return
    case.write_meta(f"{home}/trace_info.yaml", meta)
    case.facts.add("trace", str(meta.get("trace_id") or meta.get("request_id") or folder.name), "", experiment)
    for part in ("tags", "request_metadata"):
        for key, value in case.values(folder / part, "trace's tag").items():
            case.write(f"{home}/{part}/{key}", value)
    for name, path in list(reading.files_below(folder / "assessments")):
        try:
            case.write_meta(f"{home}/assessments/{name}", reading.meta(path))
        except reading.Unreadable as error:
            case.found(path, "assessment", str(error), QUARANTINED)
