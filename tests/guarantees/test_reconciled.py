"""Nobody is left to say that a training died, and nobody asks for a retry: the reconciler finds it."""

from collections.abc import Callable

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import Training

OWNER, MLFLOW = "onerun.tracking.lifecycle", "mlflow.tracking.client:MlflowClient"
MOMENTS = {
    "the run created, not yet tagged": f"{OWNER}:_make:after",
    "in train, while it learns": "onerun.training.local:fit:before",
    "in register, the version made, not recorded": f"{MLFLOW}.create_model_version:after",
    "in promote, the champion moved, not recorded": f"{MLFLOW}.set_registered_model_alias@2:after",
}


@pytest.mark.parametrize(
    "planted",
    [
        pytest.param(planted, id=moment.replace(", ", " ").replace(" ", "-"), marks=cell(
            "P1 P2", f"SIGKILL, {moment}; no retry", "a run that reads RUNNING", "by the reconciler"))
        for moment, planted in MOMENTS.items()
    ],
)  # fmt: skip
def test_p1_the_reconciler_ends_what_a_kill_left(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    planted: str,
) -> None:
    wanted, killed = undisturbed(), training()
    assert killed.run(f"{planted}:SIGKILL") == -9, killed.said()
    with recovery:
        killed.reconcile()
    assert violations(killed, Expected(wanted, status="KILLED")) == []
    before = facts(killed)
    killed.retry()  # and a retry is as good as ever
    assert violations(killed, Expected(wanted, before)) == []


@cell("P1", "the reconciler looks while a training works", "nothing", "nothing to do")
def test_p1_the_reconciler_leaves_the_living_alone(
    training: Callable[..., Training], undisturbed: Callable[..., Facts]
) -> None:
    from tests.guarantees.trainings import PATIENCE, waited

    wanted, living = undisturbed(), training()
    process = living.start("onerun.training.local:fit:before:wait")
    assert waited(living.struck), living.said()
    living.reconcile()
    assert [run.info.status for run in facts(living).runs] == ["RUNNING"]
    living.go_on()
    process.wait(PATIENCE)
    assert violations(living, Expected(wanted, attempts=1)) == []
