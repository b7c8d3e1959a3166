"""Logged models of a file store (`models/m-...`)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from onerun.domain import names
from onerun.domain.file_store import MODEL_STATUSES, is_whole, model_faults
from onerun.rescue.checksums import add_artifacts, artifact_address
from onerun.rescue.context import DROPPED, NOTED, QUARANTINED, REBUILT, REPAIRED, RescueContext
from onerun.store.files import reader
from onerun.store.files.reader import Unreadable

READY, FAILED = 2, 3
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,35}")


class Measured(NamedTuple):
    """One line of a model's metric."""

    timestamp: int  # milliseconds
    value: float
    step: int
    run: str
    dataset: str | None
    digest: str | None


def rescue_model(context: RescueContext, folder: Path, experiment: str) -> None:
    """Rescue one logged model; a folder that is none becomes a finding."""
    if folder.name in context.models:
        cause = f"a model of that id is in experiment {context.models[folder.name]}"
        context.found(folder, "model", cause, QUARANTINED)
        return
    if not _ID.fullmatch(folder.name):
        context.found(folder, "model", "its name is no model's id", QUARANTINED)
        return
    tags = context.values(folder / "tags", "model's tag")
    try:
        meta = _repaired(context, folder, reader.meta(folder / "meta.yaml"), experiment)
    except Unreadable as error:
        if not reader.size_below(folder / "artifacts"):
            useless = Unreadable(f"meta.yaml: {error}; and it has no files", error.cause)
            context.found(folder, "model", useless, QUARANTINED)
            return
        context.found(folder / "meta.yaml", "model", error, REBUILT)
        meta = _rebuilt(folder, experiment)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
    context.models[folder.name] = experiment
    context.model_runs[folder.name] = meta["source_run_id"]
    context.model_homes[folder.name] = folder
    _take(context, folder, meta, tags)
    _metrics(context, folder)
    context.totals["artifact bytes"] += add_artifacts(
        context.checksums, f"model {folder.name}", meta["artifact_location"]
    )


def _rebuilt(folder: Path, experiment: str) -> dict[str, Any]:
    """Return what the folder and MLflow's own description beside the model's files say."""
    first, last = reader.times_below(folder)
    try:
        said = reader.meta(folder / "artifacts" / "MLmodel")
    except Unreadable:
        said = {}
    run_id = said.get("run_id")
    return {
        "model_id": folder.name,
        "experiment_id": experiment,
        "name": "model",
        "artifact_location": (folder / "artifacts").absolute().as_uri(),
        "creation_timestamp": first,
        "last_updated_timestamp": last,
        "status": READY if said else FAILED,
        "status_message": None,
        "model_type": None,
        "source_run_id": run_id if isinstance(run_id, str) and len(run_id) <= 32 else None,
        "lifecycle_stage": "active",
    }


def _repaired(
    context: RescueContext, folder: Path, meta: dict[str, Any], experiment: str
) -> dict[str, Any]:
    whole = _rebuilt(folder, experiment)
    wrong = [fault.text for fault in model_faults(meta, folder.name)]
    if isinstance(meta.get("name"), str):
        whole["name"] = meta["name"]
    for key in ("creation_timestamp", "last_updated_timestamp"):
        if is_whole(meta.get(key)):
            whole[key] = meta[key]
    if meta.get("status") in MODEL_STATUSES:
        whole["status"] = meta["status"]
    for key in ("status_message", "model_type", "source_run_id"):
        whole[key] = meta[key] if isinstance(meta.get(key), str) else None
    whole["lifecycle_stage"] = "deleted" if meta.get("lifecycle_stage") == "deleted" else "active"
    whole["artifact_location"] = artifact_address(
        meta.get("artifact_location"), folder / "artifacts"
    )
    if wrong:
        context.found(folder / "meta.yaml", "model", ", ".join(wrong), REPAIRED)
    return whole


def _take(context: RescueContext, folder: Path, meta: dict[str, Any], tags: dict[str, str]) -> None:
    home, owner = context.relative(folder), f"model {folder.name}"
    context.write_meta(f"{home}/meta.yaml", meta)
    keys = (
        "experiment_id",
        "name",
        "status",
        "source_run_id",
        "creation_timestamp",
        "lifecycle_stage",
    )
    context.checksums.add("model", folder.name, "", *(meta[key] for key in keys))
    for part, what, values in (
        ("params", "model's parameter", context.values(folder / "params", "model's parameter")),
        ("tags", "model's tag", tags),
    ):
        for key, value in values.items():
            context.write(f"{home}/{part}/{key}", value)
            context.checksums.add(what, owner, key, value)


def _metrics(context: RescueContext, folder: Path) -> None:
    try:
        files = list(reader.files_below(folder / "metrics"))
    except Unreadable as error:
        context.unreadable(folder / "metrics", "model's metrics", error)
        return
    for key, file in files:
        try:
            _metric(context, folder, context.key(key), file)
        except Unreadable as error:
            context.found(file, "model's metric", error, QUARANTINED)


def _metric(context: RescueContext, folder: Path, key: str, file: Path) -> None:
    """Rescue a metric: a database holds one value of a run, a time and a step, the last one."""
    bad: list[str] = []
    good: dict[tuple[int, int, str], tuple[str, Measured]] = {}
    dropped = 0
    for words in reader.metric_lines(file, bad):
        try:
            said = _measured(words, context.runs)
        except (ValueError, OverflowError):
            bad.append(" ".join(words)[:60])
            continue
        moment = (said.timestamp, said.step, said.run)
        dropped += moment in good
        good[moment] = (" ".join(words) + "\n", said)
    for _, said in good.values():
        context.checksums.add("model's metric", f"model {folder.name}", key, *said)
    if dropped:
        cause = (
            f"{dropped} values at the time and step of another one; "
            "a database holds one of them: the last is kept"
        )
        context.found(file, "model's metric", cause, NOTED)
    if bad:
        context.found(
            file, "model's metric", f"{len(bad)} lines are none of a metric: {bad[0]}", QUARANTINED
        )
    if good:
        context.write(
            f"{context.relative(folder)}/metrics/{key}", "".join(line for line, _ in good.values())
        )
    elif not bad:
        context.found(file, "model's metric", "no point in it", DROPPED)


def _measured(words: list[str], runs: Mapping[str, str]) -> Measured:
    """Parse a line: time, value, step, run; of a data set, its name and digest.

    Raises: ValueError, OverflowError.
    """
    timestamp, value, step, run, *rest = words
    if len(rest) == 1 or len(run) > 32:
        raise ValueError(words)
    name, digest = (" ".join(rest[:-1]) or None, rest[-1]) if rest else (None, None)
    # MLflow's tool reads six words, and its database no metric of a run that does not exist.
    if (name and " " in name) or run not in runs:
        raise ValueError(words)
    return Measured(int(timestamp), float(value), int(step), run, name, digest)


def note_orphans(context: RescueContext) -> None:
    """Note logged models whose run does not exist; they are kept."""
    for model, run in context.model_runs.items():
        if run and run not in context.runs:
            context.found(
                context.model_homes[model], "model", f"its run {run} does not exist", NOTED
            )
