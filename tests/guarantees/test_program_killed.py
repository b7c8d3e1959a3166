"""The training runs in a process of its own (`run_in: process` or `command`), and that process dies."""

import signal
import time
from collections.abc import Callable

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import PATIENCE, RECIPE, Training, waited, working_in

PROCESS = RECIPE + "train: {run_in: process}\n"
RETRIED = RECIPE + "train: {run_in: process, retries: 1}\n"
LEARNS = "onerun.training.local:fit:before"
WORKER_SAVES = "onerun.tracking.models:save_model:after"
SAYS = {
    "SIGKILL": "killed by SIGKILL (out of memory, perhaps)",
    "SIGTERM": "killed by SIGTERM",
    "SIGINT": "SIGINT",
}


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        pytest.param(
            name, planted, id=f"{name}-{when.replace(' ', '-')}",
            marks=cell("P1 P2 P7", f"{name} to the training process {when}", "a FAILED run that says so", "by a retry"),
        )
        for name in ("SIGKILL", "SIGTERM", "SIGINT")
        for when, planted in {"while it learns": LEARNS, "with its model saved": WORKER_SAVES}.items()
    ],
)  # fmt: skip
def test_p1_p2_the_training_process_dies(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    name: str,
    planted: str,
) -> None:
    wanted, struck = undisturbed(PROCESS), training(PROCESS)
    struck.run(f"{planted}:{name}")
    assert SAYS[name] in struck.said()
    assert violations(struck, Expected(wanted, status="FAILED", attempts=1)) == []
    before = facts(struck)
    with recovery:
        struck.retry()
    assert violations(struck, Expected(wanted, before, attempts=2)) == []


@cell(
    "P1 P2",
    "SIGKILL to the training process, `train.retries: 1`",
    "a run that reads RUNNING",
    "by itself",
)
def test_p2_a_killed_training_process_is_started_again(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], recovery: Recovery
) -> None:
    wanted, struck = undisturbed(RETRIED), training(RETRIED)
    assert struck.run(f"{LEARNS}:SIGKILL") == 0, struck.said()
    recovery.seconds.append(time.time() - struck.struck()[0])
    assert violations(struck, Expected(wanted, attempts=1)) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("SIGKILL", marks=cell(
            "P1 P2", "SIGKILL to the flow's process while its training process works",
            "a run that reads RUNNING; the training process ends within 10 s", "by a retry")),
        pytest.param("SIGTERM", marks=cell(
            "P1 P2", "SIGTERM to the flow's process while its training process works",
            "a run that reads KILLED; no process", "by itself")),
        pytest.param("SIGINT", marks=cell(
            "P1 P2", "SIGINT to the flow's process while its training process works",
            "a run that reads KILLED; no process", "by itself")),
    ],
)  # fmt: skip
def test_p1_the_flow_dies_and_takes_its_training_process_along(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    name: str,
) -> None:
    wanted, struck = undisturbed(PROCESS), training(PROCESS)
    flow = struck.start(f"{LEARNS}:SIGSTOP")  # the training process stands still while it learns
    assert waited(struck.struck)
    begun = time.monotonic()
    flow.send_signal(getattr(signal, name))
    flow.wait(PATIENCE)
    if name == "SIGKILL":
        assert waited(lambda: not working_in(struck.folder), 60), "the training process lives on"
        assert violations(struck, Expected(wanted, status="RUNNING", state="RUNNING")) == []
        before = facts(struck)
        with recovery:
            struck.retry()
    else:
        recovery.seconds.append(time.monotonic() - begun)
        assert violations(struck, Expected(wanted, status="KILLED")) == []
        before = facts(struck)
        struck.retry()
    assert violations(struck, Expected(wanted, before)) == []
