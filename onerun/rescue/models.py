"""Logged models of a file store (`models/m-...`)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from onerun.domain import names
from onerun.domain.file_store import MODEL_STATUSES, is_whole, model_faults
from onerun.rescue.case import DROPPED, MENDED, QUARANTINED, REBUILT, TOLD, Case
from onerun.rescue.places import add_facts, place
from onerun.store.files import reader

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


def rescue_model(case: Case, folder: Path, experiment: str) -> None:
    """Takes up one logged model; a folder that is none becomes a finding."""
    if not _ID.fullmatch(folder.name) or folder.name in case.models:
        where = f"a model of that id is in experiment {case.models.get(folder.name)}"
        case.found(
            folder,
            "model",
            where if folder.name in case.models else "its name is no model's id",
            QUARANTINED,
        )
        return
    tags = case.values(folder / "tags", "model's tag")
    try:
        meta = _mended(case, folder, reader.meta(folder / "meta.yaml"), experiment)
    except reader.Unreadable as error:
        if not reader.size_below(folder / "artifacts"):
            case.found(folder, "model", f"meta.yaml: {error}; and it has no files", QUARANTINED)
            return
        case.found(folder / "meta.yaml", "model", str(error), REBUILT)
        meta = _rebuilt(folder, experiment)
        tags[names.TAG_RESCUED] = f"meta.yaml: {error}"
    case.models[folder.name] = experiment
    case.model_runs[folder.name] = meta["source_run_id"]
    case.model_homes[folder.name] = folder
    _take(case, folder, meta, tags)
    _metrics(case, folder)
    case.totals["artifact bytes"] += add_facts(
        case.facts, f"model {folder.name}", meta["artifact_location"]
    )


def _rebuilt(folder: Path, experiment: str) -> dict[str, Any]:
    """From the folder and from MLflow's own description beside the model's files."""
    first, last = reader.times_below(folder)
    try:
        said = reader.meta(folder / "artifacts" / "MLmodel")
    except reader.Unreadable:
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


def _mended(case: Case, folder: Path, meta: dict[str, Any], experiment: str) -> dict[str, Any]:
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
    whole["artifact_location"] = place(meta.get("artifact_location"), folder / "artifacts")
    if wrong:
        case.found(folder / "meta.yaml", "model", ", ".join(wrong), MENDED)
    return whole


def _take(case: Case, folder: Path, meta: dict[str, Any], tags: dict[str, str]) -> None:
    home, owner = case.relative(folder), f"model {folder.name}"
    case.write_meta(f"{home}/meta.yaml", meta)
    keys = (
        "experiment_id",
        "name",
        "status",
        "source_run_id",
        "creation_timestamp",
        "lifecycle_stage",
    )
    case.facts.add("model", folder.name, "", *(meta[key] for key in keys))
    for part, what, values in (
        ("params", "model's parameter", case.values(folder / "params", "model's parameter")),
        ("tags", "model's tag", tags),
    ):
        for key, value in values.items():
            case.write(f"{home}/{part}/{key}", value)
            case.facts.add(what, owner, key, value)


def _metrics(case: Case, folder: Path) -> None:
    try:
        files = list(reader.files_below(folder / "metrics"))
    except reader.Unreadable as error:
        case.unreadable(folder / "metrics", "model's metrics", error)
        return
    for key, file in files:
        try:
            _metric(case, folder, case.key(key), file)
        except reader.Unreadable as error:
            case.found(file, "model's metric", str(error), QUARANTINED)


def _metric(case: Case, folder: Path, key: str, file: Path) -> None:
    """Of what was measured in a run at one time and step, a database holds one value: facts are of what is kept."""
    bad: list[str] = []
    good: dict[tuple[int, int, str], tuple[str, Measured]] = {}
    dropped = 0
    for words in reader.metric_lines(file, bad):
        try:
            said = _measured(words, case.runs)
        except (ValueError, OverflowError):
            bad.append(" ".join(words)[:60])
            continue
        moment = (said.timestamp, said.step, said.run)
        dropped += moment in good
        good[moment] = (" ".join(words) + "\n", said)
    for _, said in good.values():
        case.facts.add("model's metric", f"model {folder.name}", key, *said)
    if dropped:
        why = f"{dropped} values at the time and step of another one; a database holds one of them: the last is kept"
        case.found(file, "model's metric", why, TOLD)
    if bad:
        case.found(
            file, "model's metric", f"{len(bad)} lines are none of a metric: {bad[0]}", QUARANTINED
        )
    if good:
        case.write(
            f"{case.relative(folder)}/metrics/{key}", "".join(line for line, _ in good.values())
        )
    elif not bad:
        case.found(file, "model's metric", "no point in it", DROPPED)


def _measured(words: list[str], runs: Mapping[str, str]) -> Measured:
    """A line: time, value, step, run; of a data set, its name and digest. Raises: ValueError, OverflowError."""
    timestamp, value, step, run, *rest = words
    if len(rest) == 1 or len(run) > 32:
        raise ValueError(words)
    name, digest = (" ".join(rest[:-1]) or None, rest[-1]) if rest else (None, None)
    # MLflow's tool reads six words and no more, and its database no metric of a run that is gone.
    if (name and " " in name) or run not in runs:
        raise ValueError(words)
    return Measured(int(timestamp), float(value), int(step), run, name, digest)


def tell_orphans(case: Case) -> None:
    """Logged models whose run is gone are kept, and told."""
    for model, run in case.model_runs.items():
        if run and run not in case.runs:
            case.found(case.model_homes[model], "model", f"its run {run} is gone", TOLD)
