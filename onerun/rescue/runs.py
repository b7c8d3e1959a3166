"""Runs of a file store: their own file read or rebuilt, and all that belongs to them.

Parameters, metrics, tags, inputs and outputs.
"""

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
from onerun.rescue.checksums import add_artifacts, artifact_address
from onerun.rescue.context import DROPPED, NOTED, QUARANTINED, REBUILT, REPAIRED, RescueContext
from onerun.store.files import reader
from onerun.store.files.reader import Cause, Unreadable

RESERVED = {"tags", "datasets", "traces", "models", ".trash"}
LARGEST_FLOAT = 1.7976931348623157e308
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def rescue_run(
    context: RescueContext,
    folder: Path,
    experiment: Mapping[str, Any],
    datasets: Mapping[str, tuple[str, str]],
) -> None:
    """Rescue one run; a folder that is none becomes a finding."""
    try:
        _require_run(context, folder)
    except Unreadable as error:
        context.found(folder, "run", error, QUARANTINED)
        return
    tags = context.values(folder / "tags", "tag", 8000)
    try:
        meta = _repaired(context, folder, reader.meta(folder / "meta.yaml"), experiment)
    except Unreadable as error:
        context.found(folder / "meta.yaml", "run", error, REBUILT)
        meta = _rebuilt(folder, experiment, tags)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
    context.runs[folder.name] = experiment["experiment_id"]
    _take(context, folder, meta, tags)
    _metrics(context, folder)
    _inputs(context, folder, datasets)
    _outputs(context, folder)
    context.totals["artifact bytes"] += add_artifacts(
        context.checksums, f"run {folder.name}", meta["artifact_uri"]
    )


def _require_run(context: RescueContext, folder: Path) -> None:
    """Raise Unreadable for a folder that is no run, or a run that another experiment keeps."""
    parts = ("meta.yaml", "params", "metrics", "tags", "artifacts", "inputs", "outputs")
    if not _ID.fullmatch(folder.name):
        raise Unreadable("its name is no run's id")
    keeper = context.duplicates.get(folder.name, folder.parent.name)
    if keeper != folder.parent.name:
        raise Unreadable(f"a run of that id is in experiment {keeper}")
    content = {*reader.folders(folder), *reader.others(folder)}
    if content.intersection(parts):
        return
    if reader.size_below(folder):
        raise Unreadable("nothing of a run is in it")
    raise Unreadable("an empty folder", Cause.EMPTY)


def _rebuilt(
    folder: Path, experiment: Mapping[str, Any], tags: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the folder's name, tags, metrics and the times of its files say.

    How the run ended is not known: KILLED.
    """
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
    except Unreadable:
        pass  # becomes a finding where the metrics are taken up
    return [point for point in found if point.timestamp > 0]


def _repaired(
    context: RescueContext, folder: Path, meta: dict[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that MLflow reads, those that are none taken from the folder."""
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
    _take_texts(meta, whole)
    whole["artifact_uri"] = artifact_address(meta.get("artifact_uri"), folder / "artifacts")
    context.totals["moved"] += whole["artifact_uri"] != meta.get("artifact_uri")
    if wrong:
        context.found(folder / "meta.yaml", "run", ", ".join(wrong), REPAIRED)
    return whole


def _take_texts(meta: Mapping[str, Any], whole: dict[str, Any]) -> None:
    """Take over the fields that are text."""
    for key in ("source_name", "entry_point_name", "source_version"):
        whole[key] = meta[key] if isinstance(meta.get(key), str) else ""
    whole["user_id"] = meta["user_id"] if isinstance(meta.get("user_id"), str) else None
    name = meta.get("run_name") or meta.get("name")
    whole["run_name"] = name[:LONGEST_RUN_NAME] if isinstance(name, str) else None


def _take(
    context: RescueContext, folder: Path, meta: dict[str, Any], tags: Mapping[str, str]
) -> None:
    home, owner = context.relative(folder), f"run {folder.name}"
    context.write_meta(f"{home}/meta.yaml", meta)
    keys = (
        "run_name",
        "user_id",
        "start_time",
        "end_time",
        "lifecycle_stage",
        "source_name",
        "deleted_time",
    )
    context.checksums.add(
        "run",
        folder.name,
        "",
        meta["experiment_id"],
        RUN_STATUSES[meta["status"]],
        *(meta.get(key) for key in keys),
    )
    for key, value in context.values(folder / "params", "parameter", 8000).items():
        context.write(f"{home}/params/{key}", value)
        context.checksums.add("parameter", owner, key, value)
    for key, value in tags.items():
        context.write(f"{home}/tags/{key}", value)
        context.checksums.add("tag", owner, key, value)


def _metrics(context: RescueContext, folder: Path) -> None:
    try:
        files = list(reader.files_below(folder / "metrics"))
    except Unreadable as error:
        context.unreadable(folder / "metrics", "metrics", error)
        return
    for key, file in files:
        bad: list[str] = []
        try:
            context.key(key)
            _metric(context, folder, key, file, bad)
        except Unreadable as error:
            context.found(file, "metric", error, QUARANTINED)
        if bad:
            context.found(
                file, "metric", f"{len(bad)} lines are none of a metric: {bad[0]}", QUARANTINED
            )


def _metric(context: RescueContext, folder: Path, key: str, file: Path, bad: list[str]) -> None:
    """Rescue a metric. A database holds a point once, and no infinity, as MLflow's tool does it."""
    lines: dict[tuple[int, int, float, bool], str] = {}
    repeated = 0
    for point in reader.points(file, bad):
        nan = point.value != point.value
        value = 0.0 if nan else min(max(point.value, -LARGEST_FLOAT), LARGEST_FLOAT)
        seen = (point.timestamp, point.step, value, nan)
        repeated += seen in lines
        lines[seen] = f"{point.timestamp} {point.value!r} {point.step}\n"
    if repeated:
        context.found(
            file, "metric", f"{repeated} points are there twice; a database holds each once", NOTED
        )
    if not lines:
        context.found(file, "metric", "no point in it", DROPPED if not bad else NOTED)
        return
    context.write(f"{context.relative(folder)}/metrics/{key}", "".join(lines.values()))
    for seen in lines:
        context.checksums.add("metric", f"run {folder.name}", key, *seen)


def _inputs(context: RescueContext, folder: Path, datasets: Mapping[str, tuple[str, str]]) -> None:
    home, owner = context.relative(folder), f"run {folder.name}"
    seen: set[tuple[str, str]] = set()
    first = {key: name for name, key in reversed(list(datasets.items()))}
    for name, path, meta in _vertices(context, folder / "inputs", "input"):
        source = str(meta.get("source_id"))
        tags = {str(key): str(value) for key, value in _mapping(meta.get("tags")).items()}
        kind = meta.get("source_type", "DATASET")
        source = first[datasets[source]] if kind == "DATASET" and source in datasets else source
        try:
            _require_input(kind, source, datasets, seen)
        except Unreadable as error:
            context.found(path, "input", error, QUARANTINED)
            continue
        seen.add((kind, source))
        context.checksums.add(
            "input",
            owner,
            f"model {source}" if kind == "MODEL" else " ".join(datasets[source]),
            tags,
        )
        context.write_meta(
            f"{home}/inputs/{name}/meta.yaml", {**meta, "source_id": source, "tags": tags}
        )


def _require_input(
    kind: str,
    source: str,
    datasets: Mapping[str, tuple[str, str]],
    seen: Collection[tuple[str, str]],
) -> None:
    """Raise Unreadable for an input that cannot be taken."""
    if kind not in ("MODEL", "DATASET"):
        raise Unreadable(f"its source is of kind {str(kind)[:40]!r}")
    if kind == "DATASET" and source not in datasets:
        raise Unreadable(f"its data set {source[:40]} is not there")
    if (kind, source) in seen:
        raise Unreadable(
            f"the run has {source[:40]} as another input already; a database holds one",
        )


def _outputs(context: RescueContext, folder: Path) -> None:
    for name, _, meta in _vertices(context, folder / "outputs", "output"):
        step = meta["step"] if is_whole(meta.get("step")) else 0
        context.write_meta(
            f"{context.relative(folder)}/outputs/{name}/meta.yaml", {**meta, "step": step}
        )
        context.checksums.add("output", f"run {folder.name}", name, step)


def _vertices(
    context: RescueContext, folder: Path, what: str
) -> list[tuple[str, Path, dict[str, Any]]]:
    found = []
    try:
        for name in context.folders(folder, what):
            path = folder / name / "meta.yaml"
            try:
                found.append((name, path, reader.meta(path)))
            except Unreadable as error:
                context.found(path, what, error, QUARANTINED)
    except Unreadable as error:
        context.unreadable(folder, f"{what}s", error)
    return found


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
