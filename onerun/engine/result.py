"""What a training says of itself when it is done: a typed object, the JSON of `--json`, and lines for a person."""

import os
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from onerun.domain import names
from onerun.domain.references import Evaluation, GateResult, Promotion, Snapshot, Version
from onerun.tracking.lifecycle import OwnedRun
from onerun.tracking.runs import client


class SnapshotSummary(BaseModel):
    """The ingested table. digest: over names, types and values. rows, columns: how many."""

    uri: str
    digest: str
    rows: int
    columns: int


class TrainingResult(BaseModel):
    """The result of a training.

    Attributes:
        run_id: the MLflow run that holds all of it.
        model: the registered model, and `version` the version that this training made.
        model_uri: `models:/NAME/VERSION`, for `mlflow.pyfunc.load_model`.
        promoted: whether the alias moved to this version; `reason` says why or why not, with the numbers.
        metrics: of the model on the test part; baseline_metrics, champion_metrics: of the others on the same rows.
        gates: each rule, whether it passed (`held`), and the numbers.
        report: where the report lies: a path, or the address of the run's artifact.
        seconds: how long each stage took, also those that an earlier attempt had finished.
        flow_run_id: of Prefect; None for a training without Prefect.
        approval: the flow run that asks a person, where one does.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    status: str = "completed"
    run_id: str
    experiment: str
    experiment_id: str
    flow_run_id: str | None = None
    model: str
    version: str
    model_uri: str
    promoted: bool
    alias: str
    reason: str
    waits_for_approval: bool = False
    approval: str | None = None
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    champion_metrics: dict[str, float] | None
    gates: tuple[GateResult, ...]
    snapshot: SnapshotSummary
    seconds: dict[str, float]
    report: str
    tracking_uri: str = Field(description="Of the MLflow store, without secrets.")

    def links(self) -> dict[str, str]:
        """Return where to look: an address, or the command that makes one."""
        page = f"/#/experiments/{self.experiment_id}/runs/{self.run_id}"
        if self.tracking_uri.startswith("http"):
            shown = f"{self.tracking_uri.rstrip('/')}{page}"
        else:
            command = f"mlflow ui --backend-store-uri {shlex.quote(self.tracking_uri)}"
            shown = f"run {self.run_id}; `{command}` shows it at http://127.0.0.1:5000{page}"
        return {"MLflow": shown, "Report": self.report}


def result_of(
    run: OwnedRun,
    snapshot: Snapshot,
    evaluation: Evaluation,
    version: Version,
    promotion: Promotion,
    tracking_uri: str,
    flow_run_id: str | None,
) -> TrainingResult:
    """Return the result of a training whose stages are done."""
    found = client().get_run(run.run_id)
    return TrainingResult(
        run_id=run.run_id,
        experiment=run.experiment,
        experiment_id=run.experiment_id,
        flow_run_id=flow_run_id,
        model=version.model,
        version=version.version,
        model_uri=f"models:/{version.model}/{version.version}",
        promoted=promotion.promoted,
        alias=promotion.alias,
        reason=promotion.reason,
        waits_for_approval=promotion.waits,
        metrics=evaluation.metrics,
        baseline_metrics=evaluation.baseline_metrics,
        champion_metrics=evaluation.champion_metrics,
        gates=evaluation.gates,
        snapshot=SnapshotSummary(
            uri=snapshot.uri,
            digest=snapshot.digest,
            rows=snapshot.rows,
            columns=len(snapshot.columns),
        ),
        seconds=_stage_seconds(found.data.metrics),
        report=_readable(f"{found.info.artifact_uri}/{names.ARTIFACT_REPORT}"),
        tracking_uri=tracking_uri,
    )


def _stage_seconds(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the seconds of each stage, also of those that an earlier attempt had finished."""
    keys = {stage: f"{names.PREFIX_STAGE_SECONDS}{stage}" for stage in names.STAGES}
    return {stage: round(metrics[key], 3) for stage, key in keys.items() if key in metrics}


def _readable(address: str) -> str:
    """Return a local file as a path relative to the working folder where it lies below, any other address as it is."""
    parts = urlsplit(address)
    if parts.scheme not in ("", "file"):
        return address
    path = Path(unquote(parts.path))
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
