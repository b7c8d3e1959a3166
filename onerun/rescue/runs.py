"""Runs of a file store: their own file read or rebuilt, their parameters, metrics, tags, inputs and outputs."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from onerun.domain import names
from onerun.domain.file_store import (
    LIFECYCLES,
    LONGEST_RUN_NAME,
    RUN_STATUSES,
    is_whole,
    run_faults,
)
from onerun.rescue.case import DROPPED, MENDED, QUARANTINED, REBUILT, TOLD, Case
from onerun.rescue.places import add_facts, place
from onerun.store.files import reader

RESERVED = {"tags", "datasets", "traces", "models", ".trash"}
LARGEST_FLOAT = 1.7976931348623157e308
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def rescue_run(
    case: Case, folder: Path, experiment: Mapping[str, Any], datasets: Mapping[str, tuple[str, str]]
) -> None:
    """Takes up one run; a folder that is none becomes a finding."""
    reason = _no_run(case, folder)
    if reason:
        case.found(folder, "run", reason, QUARANTINED)
        return
    tags = case.values(folder / "tags", "tag", 8000)
    try:
        meta = _mended(case, folder, reader.meta(folder / "meta.yaml"), experiment)
    except reader.Unreadable as error:
        case.found(folder / "meta.yaml", "run", str(error), REBUILT)
        meta = _rebuilt(folder, experiment, tags)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
    case.runs[folder.name] = experiment["experiment_id"]
    _take(case, folder, meta, tags)
    _metrics(case, folder)
    _inputs(case, folder, datasets)
    _outputs(case, folder)
    case.totals["artifact bytes"] += add_facts(
        case.facts, f"run {folder.name}", meta["artifact_uri"]
    )


def _no_run(case: Case, folder: Path) -> str:
    """Returns: why the folder is no run, or an empty text."""
    parts = ("meta.yaml", "params", "metrics", "tags", "artifacts", "inputs", "outputs")
    if not _ID.fullmatch(folder.name):
        return "its name is no run's id"
    if case.claims.get(folder.name, folder.parent.name) != folder.parent.name:
        return f"a run of that id is in experiment {case.claims[folder.name]}"
    try:
        there = {*reader.folders(folder), *reader.others(folder)}
    except reader.Unreadable as error:
        return str(error)
    if not there.intersection(parts):
        return "an empty folder" if not reader.size_below(folder) else "nothing of a run is in it"
    return ""


def _rebuilt(
    folder: Path, experiment: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """From the folder's name, its tags, its metrics and the times of its files. How it ended nobody knows: KILLED."""
    first, last = reader.times_below(folder)
    stamps = [point.timestamp for point in _first_points(folder)]
    return {
        "run_id": folder.name,
        "run_uuid": folder.name,
        "experiment_id": experiment["experiment_id"],
        "run_name": tags.get("mlflow.runName", f"rescued-{folder.name[:8]}"),
        "user_id": tags.get("mlflow.user", "unknown"),
        "source_type": 4,
        "source_name": "",
        "entry_point_name": "",
        "source_version": "",
        "status": 5,
        "start_time": min([first, *stamps]),
        "end_time": last,
        "lifecycle_stage": experiment["lifecycle_stage"],
        "artifact_uri": (folder / "artifacts").absolute().as_uri(),
        "tags": [],
    }


def _first_points(folder: Path) -> list[reader.Point]:
    found: list[reader.Point] = []
    try:
        for _, file in reader.files_below(folder / "metrics"):
            found += [point for point, _ in zip(reader.points(file, []), range(1), strict=False)]
    except reader.Unreadable:
        pass  # becomes a finding where the metrics are taken up
    return [point for point in found if point.timestamp > 0]


def _mended(
    case: Case, folder: Path, meta: dict[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    """Every field that MLflow reads is what it must be; the others come from the folder."""
    whole = _rebuilt(folder, experiment, {})
    wrong = [fault.text for fault in run_faults(meta, folder.name, experiment["experiment_id"])]
    status = meta.get("status")
    if isinstance(status, str):
        status = {name: number for number, name in RUN_STATUSES.items()}.get(status)
    if is_whole(status) and status in RUN_STATUSES:
        whole["status"] = status
    if meta.get("lifecycle_stage") in LIFECYCLES:
        whole["lifecycle_stage"] = meta["lifecycle_stage"]
    for key in ("start_time", "end_time", "deleted_time"):
        value = meta.get(key)
        if is_whole(value) or (value is None and key != "start_time"):
            whole[key] = value
    for key in ("source_name", "entry_point_name", "source_version"):
        whole[key] = meta[key] if isinstance(meta.get(key), str) else ""
    whole["user_id"] = meta["user_id"] if isinstance(meta.get("user_id"), str) else None
    name = meta.get("run_name") or meta.get("name")
    whole["run_name"] = name[:LONGEST_RUN_NAME] if isinstance(name, str) else None
    whole["artifact_uri"] = place(meta.get("artifact_uri"), folder / "artifacts")
    case.totals["moved"] += whole["artifact_uri"] != meta.get("artifact_uri")
    if wrong:
        case.found(folder / "meta.yaml", "run", ", ".join(wrong), MENDED)
    return whole


def _take(case: Case, folder: Path, meta: dict[str, Any], tags: Mapping[str, str]) -> None:
    home, owner = case.relative(folder), f"run {folder.name}"
    case.write_meta(f"{home}/meta.yaml", meta)
    keys = (
        "run_name",
        "user_id",
        "start_time",
        "end_time",
        "lifecycle_stage",
        "source_name",
        "deleted_time",
    )
    case.facts.add(
        "run",
        folder.name,
        "",
        meta["experiment_id"],
        RUN_STATUSES[meta["status"]],
        *(meta.get(key) for key in keys),
    )
    for key, value in case.values(folder / "params", "parameter", 8000).items():
        case.write(f"{home}/params/{key}", value)
        case.facts.add("parameter", owner, key, value)
    for key, value in tags.items():
        case.write(f"{home}/tags/{key}", value)
        case.facts.add("tag", owner, key, value)


def _metrics(case: Case, folder: Path) -> None:
    try:
        files = list(reader.files_below(folder / "metrics"))
    except reader.Unreadable as error:
        case.unreadable(folder / "metrics", "metrics", error)
        return
    for key, file in files:
        bad: list[str] = []
        try:
            case.key(key)
            _metric(case, folder, key, file, bad)
        except reader.Unreadable as error:
            case.found(file, "metric", str(error), QUARANTINED)
        if bad:
            case.found(
                file, "metric", f"{len(bad)} lines are none of a metric: {bad[0]}", QUARANTINED
            )


def _metric(case: Case, folder: Path, key: str, file: Path, bad: list[str]) -> None:
    """A database holds a point once, and no infinity: the same as MLflow's tool makes of it."""
    lines: dict[tuple[int, int, float, bool], str] = {}
    repeated = 0
    for point in reader.points(file, bad):
        nan = point.value != point.value
        value = 0.0 if nan else min(max(point.value, -LARGEST_FLOAT), LARGEST_FLOAT)
        seen = (point.timestamp, point.step, value, nan)
        repeated += seen in lines
        lines[seen] = f"{point.timestamp} {point.value!r} {point.step}\n"
    if repeated:
        case.found(
            file, "metric", f"{repeated} points are there twice; a database holds each once", TOLD
        )
    if not lines:
        case.found(file, "metric", "no point in it", DROPPED if not bad else TOLD)
        return
    case.write(f"{case.relative(folder)}/metrics/{key}", "".join(lines.values()))
    for seen in lines:
        case.facts.add("metric", f"run {folder.name}", key, *seen)


def _inputs(case: Case, folder: Path, datasets: Mapping[str, tuple[str, str]]) -> None:
    home, owner = case.relative(folder), f"run {folder.name}"
    seen: set[tuple[str, str]] = set()
    first = {key: name for name, key in reversed(list(datasets.items()))}
    for name, path, meta in _vertices(case, folder / "inputs", "input"):
        source = str(meta.get("source_id"))
        tags = {str(key): str(value) for key, value in _mapping(meta.get("tags")).items()}
        kind = meta.get("source_type", "DATASET")
        source = first[datasets[source]] if kind == "DATASET" and source in datasets else source
        if wrong := _no_input(kind, source, datasets, seen):
            case.found(path, "input", wrong, QUARANTINED)
            continue
        seen.add((kind, source))
        case.facts.add(
            "input",
            owner,
            f"model {source}" if kind == "MODEL" else " ".join(datasets[source]),
            tags,
        )
        case.write_meta(
            f"{home}/inputs/{name}/meta.yaml", {**meta, "source_id": source, "tags": tags}
        )


def _no_input(
    kind: str,
    source: str,
    datasets: Mapping[str, tuple[str, str]],
    seen: Collection[tuple[str, str]],
) -> str:
    """Returns: why it cannot be taken, or an empty text."""
    if kind not in ("MODEL", "DATASET"):
        return f"its source is of kind {str(kind)[:40]!r}"
    if kind == "DATASET" and source not in datasets:
        return f"its data set {source[:40]} is not there"
    return (
        f"the run has {source[:40]} as another input already; a database holds one"
        if (kind, source) in seen
        else ""
    )


def _outputs(case: Case, folder: Path) -> None:
    for name, _, meta in _vertices(case, folder / "outputs", "output"):
        step = meta["step"] if is_whole(meta.get("step")) else 0
        case.write_meta(f"{case.relative(folder)}/outputs/{name}/meta.yaml", {**meta, "step": step})
        case.facts.add("output", f"run {folder.name}", name, step)


def _vertices(case: Case, folder: Path, what: str) -> list[tuple[str, Path, dict[str, Any]]]:
    found = []
    try:
        for name in case.folders(folder, what):
            path = folder / name / "meta.yaml"
            try:
                found.append((name, path, reader.meta(path)))
            except reader.Unreadable as error:
                case.found(path, what, str(error), QUARANTINED)
    except reader.Unreadable as error:
        case.unreadable(folder, f"{what}s", error)
    return found


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
