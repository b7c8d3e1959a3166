"""The flow's process gets SIGTERM (a pod that is moved, a worker that is stopped) or SIGINT (Ctrl-C)."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import PATIENCE, Training

OWNER = "onerun.tracking.lifecycle"
MOMENTS = {
    "while the run is opened": f"{OWNER}:_make:after",
    "in ingest": "onerun.data.snapshot_writer:_publish:before",
    "between ingest and validate": f"{OWNER}:record_stage@1:after",
    "in validate": "onerun.data.validate:validate:before",
    "in train, while it learns": "onerun.training.local:fit:before",
    "in train, the model uploaded, not READY": "mlflow.tracking.client:MlflowClient.log_model_artifacts:after",
    "between train and evaluate": f"{OWNER}:record_stage@3:after",
    "in evaluate": "onerun.evaluation.comparison:compare:after",
    "in register, the version made, not recorded": "mlflow.tracking.client:MlflowClient.create_model_version:after",
    "in promote, the champion moved, not recorded": (
        "mlflow.tracking.client:MlflowClient.set_registered_model_alias@2:after"
    ),
}
FAST = "SIGTERM, in register, the version made, not recorded"


def moments() -> list[object]:
    found = []
    for name in ("SIGTERM", "SIGINT"):
        for moment, planted in MOMENTS.items():
            fault = f"{name}, {moment}"
            marks = [
                cell(
                    "P1 P2 P7",
                    fault,
                    "a run that reads KILLED and says why; a retry finishes it",
                    "by itself",
                )
            ]
            marks += [pytest.mark.fast] if fault == FAST else []
            found.append(
                pytest.param(
                    name, planted, id=fault.replace(", ", " ").replace(" ", "-"), marks=marks
                )
            )
    return found


@pytest.mark.parametrize(("name", "planted"), moments())
def test_p1_p2_ends_itself_as_killed_and_is_retried(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    name: str,
    planted: str,
) -> None:
    wanted, told = undisturbed(), training()
    told.run(f"{planted}:{name}")
    recovery.seconds.append(time.time() - told.struck()[0])
    assert violations(told, Expected(wanted, status="KILLED")) == []
    before = facts(told)
    told.retry()
    assert violations(told, Expected(wanted, before)) == []


@cell(
    "P1 P2 P7", "SIGTERM twice, a second apart", "a run that reads KILLED and says why", "by itself"
)
def test_p1_an_impatient_second_signal_changes_nothing(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], recovery: Recovery
) -> None:
    wanted, told = undisturbed(), training()
    process = told.start("onerun.evaluation.comparison:compare:before:SIGTERM")
    while process.poll() is None and not told.struck():
        time.sleep(0.05)
    with recovery:
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert violations(told, Expected(wanted, status="KILLED")) == []
    told.retry()
    assert violations(told, Expected(wanted)) == []
