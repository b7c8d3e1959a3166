"""What a training says of itself when it is done: the one object that `--json` prints."""

from typing import Any

from onerun.domain import names
from onerun.domain.references import Evaluation, Promotion, Snapshot, Version
from onerun.tracking.ownership import OwnedRun
from onerun.tracking.runs import client


def outcome(
    run: OwnedRun,
    flow_run_id: str,
    snapshot: Snapshot,
    evaluation: Evaluation,
    version: Version,
    promotion: Promotion,
    approval: str | None,
) -> dict[str, Any]:
    """`approval`: id of the flow run that asks for it. Returns: the result as plain JSON values."""
    return {
        "status": "completed",
        "run_id": run.run_id,
        "experiment": run.experiment,
        "experiment_id": run.experiment_id,
        "flow_run_id": flow_run_id,
        "model": version.model,
        "version": version.version,
        "promoted": promotion.promoted,
        "alias": promotion.alias,
        "reason": promotion.reason,
        "approval": approval,
        "metrics": evaluation.metrics,
        "baseline_metrics": evaluation.baseline_metrics,
        "champion_metrics": evaluation.champion_metrics,
        "gates": [gate.model_dump() for gate in evaluation.gates],
        "snapshot": {
            "uri": snapshot.uri,
            "digest": snapshot.digest,
            "rows": snapshot.rows,
            "columns": len(snapshot.columns),
        },
        "seconds": _stage_seconds(run.run_id),
    }


def _stage_seconds(run_id: str) -> dict[str, float]:
    """Also of the stages that an earlier attempt had finished: they stand on the run."""
    metrics = client().get_run(run_id).data.metrics
    keys = {stage: f"{names.PREFIX_STAGE_SECONDS}{stage}" for stage in names.STAGES}
    return {stage: round(metrics[key], 3) for stage, key in keys.items() if key in metrics}
