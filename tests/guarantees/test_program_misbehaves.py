"""A training program (`run_in: command`) dies, hangs, floods, or meddles with the run."""

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import RECIPE, Training

PROGRAM = Path(__file__).parent / "programs" / "ridge.py"
COMMAND = RECIPE.replace(
    "model: {estimator: sklearn.linear_model.Ridge}\n", "task: regression\n"
) + (f"train: {{run_in: command, command: [python, {PROGRAM}]}}\n")
HURRIED = COMMAND.replace("]}", "], timeout: 60s}")
FAILED = "a FAILED run that says so"
ENDS_BADLY = {  # how it misbehaves -> what happens, what is said of it
    "SIGKILL": ("it is killed by SIGKILL", "was killed by SIGKILL (out of memory, perhaps)"),
    "SIGTERM": ("it is killed by SIGTERM", "was killed by SIGTERM"),
    "SIGINT": ("it is killed by SIGINT", "SIGINT"),
    "child SIGKILL": ("its child is killed by SIGKILL and it gives up", "the child ended with -9"),
    "child SIGTERM": ("its child is killed by SIGTERM and it gives up", "the child ended with -15"),
    "child SIGINT": ("its child is killed by SIGINT and it gives up", "the child ended with"),
    "exits 3": ("it exits with 3", "exited with 3"),
    "exits 0": (
        "it exits with 0 and leaves no model",
        "the program ended without an error and left no model",
    ),
    "MemoryError": ("it runs out of memory (MemoryError)", "MemoryError"),
    "dies in a nested run": ("it is killed within a nested run", "was killed by SIGKILL"),
}
MEDDLES = {
    "leaves a child": "it ends and leaves a child that ignores SIGTERM",
    "ends the run": "it ends the run through MLflow",
    "ends the run past MLflow": "it ends the run past MLflow",
    "starts a run of its own": "it starts a run of its own",
    "starts a nested run": "it starts a nested run",
    "logs in conflict": "it logs parameters that conflict with the recipe's and its own",
}


@pytest.mark.parametrize(
    ("how", "said"),
    [
        pytest.param(
            how, said, id=how.replace(" ", "-"),
            marks=cell("P1 P2 P7", fault, FAILED, "by a retry"),
        )
        for how, (fault, said) in ENDS_BADLY.items()
    ],
)  # fmt: skip
def test_p1_p2_a_program_ends_badly(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    how: str,
    said: str,
) -> None:
    wanted, struck = undisturbed(COMMAND), training(COMMAND)
    struck.run(MISBEHAVE=how)
    assert said in struck.said()
    nested = int(how == "dies in a nested run")
    assert violations(struck, Expected(wanted, status="FAILED", attempts=1, children=nested)) == []
    before = facts(struck)
    with recovery:
        struck.retry()
    assert violations(struck, Expected(wanted, before, attempts=2, children=nested)) == []


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            how, id=how.replace(" ", "-"), marks=cell("P1 P2 P7", fault, "nothing", "nothing to do")
        )
        for how, fault in MEDDLES.items()
    ],
)
def test_p1_p2_a_program_meddles_and_the_run_is_as_it_should(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], how: str
) -> None:
    wanted, struck = undisturbed(COMMAND), training(COMMAND)
    assert struck.run(MISBEHAVE=how) == 0, struck.said()
    conflicts = {"split.seed", "from_the_program", "name"} if how == "logs in conflict" else set()
    expected = Expected(
        wanted, attempts=1, children=int("nested" in how), conflicts=frozenset(conflicts)
    )
    assert violations(struck, expected) == []


@cell("P1 P2 P7", "it hangs, deaf to SIGTERM, over its time-out", FAILED, "by a retry")
def test_p1_p2_a_program_hangs(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], recovery: Recovery
) -> None:
    wanted, struck = undisturbed(HURRIED), training(HURRIED)
    struck.run(MISBEHAVE="hangs")
    assert "was stopped after 60 seconds (train.timeout)" in struck.said()
    assert violations(struck, Expected(wanted, status="FAILED", attempts=1)) == []
    before = facts(struck)
    with recovery:
        struck.retry()
    assert violations(struck, Expected(wanted, before, attempts=2)) == []


@pytest.fixture
def small_memory() -> Iterator[str]:
    """Returns: the process list of a control group of 500 MB, as a container's limit makes one."""
    group = Path(f"/sys/fs/cgroup/memory/onerun-{uuid.uuid4().hex[:8]}")
    try:
        group.mkdir()
    except OSError:
        pytest.skip("no control group of the memory can be made here (needs cgroup v1 and root)")
    (group / "memory.limit_in_bytes").write_text(str(500 * 2**20))
    yield str(group / "cgroup.procs")
    group.rmdir()


@cell("P1 P2 P7", "it runs out of memory and the kernel kills it", FAILED, "by a retry")
def test_p1_p2_out_of_memory(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    recovery: Recovery,
    small_memory: str,
) -> None:
    wanted, struck = undisturbed(COMMAND), training(COMMAND)
    struck.run(MISBEHAVE="out of memory", CGROUP_PROCS=small_memory)
    assert "was killed by SIGKILL (out of memory, perhaps)" in struck.said()
    assert violations(struck, Expected(wanted, status="FAILED", attempts=1)) == []
    before = facts(struck)
    with recovery:
        struck.retry()
    assert violations(struck, Expected(wanted, before, attempts=2)) == []


def peak(process: "subprocess.Popen[bytes]") -> int:
    """Returns: the most memory that the process, which is waited for, held at once, in MB."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_maxrss // 1024


@cell(
    "P1 P2 P7",
    "it writes 300 MB of output, partly in endless lines",
    "a log of bounded size",
    "nothing to do",
)
def test_p1_p2_a_flood_is_bounded(
    training: Callable[..., Training], undisturbed: Callable[..., Facts]
) -> None:
    wanted, calm = undisturbed(COMMAND), training(COMMAND)
    usual = peak(calm.start())
    struck, started = calm.again(), time.monotonic()
    flooded = struck.start(MISBEHAVE="floods")
    assert peak(flooded) < usual + 100
    assert flooded.returncode == 0, struck.said()[-4000:]
    assert len(struck.said()) < 700_000 + 11_000 * (time.monotonic() - started)
    assert violations(struck, Expected(wanted, others=1)) == []
