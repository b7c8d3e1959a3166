"""The flow's process is killed with SIGKILL, at every stage boundary and between each side effect and its record."""

from collections.abc import Callable

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import Training

OWNER, RUNS, MODELS = "onerun.tracking.lifecycle", "onerun.tracking.runs", "onerun.tracking.models"
WRITER, REGISTRY, MLFLOW = (
    "onerun.data.snapshot_writer",
    "onerun.tracking.registry",
    "mlflow.tracking.client:MlflowClient",
)
RUNNING = "a run that reads RUNNING"

MOMENTS = {
    "before anything is opened": (f"{OWNER}:open_run:before", "nothing"),
    "the experiment made, no run yet": (f"{OWNER}:usable_experiment:after", "an empty experiment"),
    "the run created, not yet tagged": (f"{OWNER}:_make:after", f"{RUNNING}, not yet counted as an attempt"),
    "the run opened": (f"{OWNER}:open_run:after", RUNNING),
    "parameters logged, provenance not": ("onerun.tracking.provenance:log_folder:before", RUNNING),
    "in ingest, the snapshot half written": (f"{WRITER}:_publish:before", f"{RUNNING}; a `.partial-` folder"),
    "in ingest, the snapshot written, not logged": (f"{WRITER}:_publish:after", f"{RUNNING}; a snapshot"),
    "in ingest, the snapshot logged, not tagged": (f"{RUNS}:log_snapshot:after", f"{RUNNING}; a snapshot"),
    "ingest done, not recorded": ("onerun.data.ingest:ingest:after", RUNNING),
    "between ingest and validate": (f"{OWNER}:record_stage@1:after", RUNNING),
    "in validate": ("onerun.data.validate:validate:before", RUNNING),
    "between validate and train": (f"{OWNER}:record_stage@2:after", RUNNING),
    "in train, while it learns": ("onerun.training.local:fit:before", f"{RUNNING}; scratch files"),
    "in train, learned, not saved": ("onerun.training.local:fit:after", f"{RUNNING}; scratch files"),
    "in train, while it saves the model": ("mlflow.pyfunc:save_model:before", f"{RUNNING}; scratch files"),
    "in train, the model saved, not logged": (f"{MODELS}:save_model:after", f"{RUNNING}; scratch files"),
    "in train, the logged model made, empty": (f"{MODELS}:_sign:before", f"{RUNNING}; a PENDING logged model"),
    "in train, the logged model made, no file of it stored": (
        f"{MODELS}:_point_to:after", f"{RUNNING}; a PENDING logged model"),
    "in train, the model uploaded, not READY": (
        f"{MLFLOW}.log_model_artifacts:after", f"{RUNNING}; a PENDING logged model"),
    "in train, the model tagged, not READY": (f"{MODELS}:tag_model:after", f"{RUNNING}; a PENDING logged model"),
    "train done, not recorded": (f"{MODELS}:log_model:after", f"{RUNNING}; a READY logged model"),
    "between train and evaluate": (f"{OWNER}:record_stage@3:after", RUNNING),
    "in evaluate, before it scores": ("onerun.evaluation.comparison:compare:before", RUNNING),
    "in evaluate, scored, nothing logged": ("onerun.evaluation.comparison:compare:after", RUNNING),
    "in evaluate, report and plots logged, metrics not": ("onerun.evaluation.evaluate:run_metrics:before", RUNNING),
    "evaluate done, not recorded": ("onerun.evaluation.evaluate:evaluate:after", RUNNING),
    "between evaluate and register": (f"{OWNER}:record_stage@4:after", RUNNING),
    "in register, the registered model made, no version": (
        f"{REGISTRY}:_make_registered_model:after", f"{RUNNING}; a registered model without versions"),
    "in register, the version made, not recorded": (f"{MLFLOW}.create_model_version:after", f"{RUNNING}; a version"),
    "in register, its alias announced, not moved": (f"{REGISTRY}:announce:after", f"{RUNNING}; an announced move"),
    "in register, its alias moved, not recorded": (
        f"{MLFLOW}.set_registered_model_alias:after", f"{RUNNING}; a moved alias, announced in the ledger"),
    "register done, not recorded": ("onerun.promotion.register:register:after", RUNNING),
    "between register and promote": (f"{OWNER}:record_stage@5:after", RUNNING),
    "in promote, the move announced, not made": (f"{REGISTRY}:announce@2:after", f"{RUNNING}; an announced move"),
    "in promote, the champion moved, not recorded": (
        f"{MLFLOW}.set_registered_model_alias@2:after", f"{RUNNING}; a moved alias, announced in the ledger"),
    "in promote, the move recorded, the stage not": (f"{REGISTRY}:record@2:after", f"{RUNNING}; a champion"),
    "promote done, not recorded": ("onerun.promotion.promote:promote:after", f"{RUNNING}; a champion"),
    "all stages done, the run not ended": (f"{OWNER}:record_stage@6:after", f"{RUNNING}; a champion"),
}  # fmt: skip
ENDED = {
    "the run ended, Prefect not told": (
        f"{OWNER}:end_run:after",
        "a FINISHED run, a flow run that reads RUNNING",
    ),
}
FAST = "in promote, the champion moved, not recorded"


def moments() -> list[object]:
    found = []
    for moment, (planted, left) in (MOMENTS | ENDED).items():
        marks = [cell("P1 P2 P7", f"SIGKILL, {moment}", left, "by a retry")]
        marks += [pytest.mark.fast] if moment == FAST else []
        found.append(
            pytest.param(planted, id=moment.replace(", ", " ").replace(" ", "-"), marks=marks)
        )
    return found


@pytest.mark.parametrize("planted", moments())
def test_p1_p2_killed_and_retried(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    planted: str,
) -> None:
    wanted, killed = undisturbed(), training()
    assert killed.run(f"{planted}:SIGKILL") == -9, killed.said()
    before = facts(killed)
    assert {run.info.status for run in before.runs} <= {
        "FINISHED" if "end_run" in planted else "RUNNING"
    }
    with recovery:
        killed.retry()
    assert violations(killed, Expected(wanted, before)) == []
