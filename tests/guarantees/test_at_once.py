"""Several at once: one flow run in two pods, many trainings of one model, two hands at one alias."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.guarantees.cells import cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.trainings import PATIENCE, ROOT, Training, waited
from tests.servers import MlflowServer

MANY = 8


def machines(folder: Path, count: int) -> list[dict[str, str]]:
    """Returns: variables that give each process a temporary folder, and so locks, of its own: as on other machines."""
    places = [folder / f"machine-{number}" for number in range(count)]
    for place in places:
        place.mkdir()
    return [{"TMPDIR": str(place)} for place in places]


@cell(
    "P1 P2",
    "one flow run is started twice at once, on two machines",
    "one run; one waits its turn",
    "by itself",
)
def test_p1_p2_one_flow_run_in_two_pods(
    training: Callable[..., Training], undisturbed: Callable[..., Facts], tmp_path: Path
) -> None:
    wanted, doubled = undisturbed(), training()
    places = [{**machine, "ONERUN_WORK": machine["TMPDIR"]} for machine in machines(tmp_path, 2)]
    processes = [doubled.start(ONERUN_STORE=str(tmp_path / "store"), **place) for place in places]
    codes = [process.wait(PATIENCE) for process in processes]
    assert codes == [0, 0], doubled.said()[-4000:]
    assert violations(doubled, Expected(wanted)) == []
    assert doubled.said().count("promote done") == 1


@cell("P1 P2", "a flow run in train is taken for dead and started again, and is alive", "one run; one steps back",
      "by itself")  # fmt: skip
def test_p1_p2_two_processes_at_work_on_one_flow_run(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    tmp_path: Path,
    turns: Callable[[int], None],
) -> None:
    turns(2)  # it lost its lease while it was cut off
    wanted, doubled = undisturbed(), training()
    first, second = (
        {**machine, "ONERUN_WORK": machine["TMPDIR"]} for machine in machines(tmp_path, 2)
    )
    cut_off = doubled.start(
        "onerun.training.local:fit:before:wait", ONERUN_STORE=str(tmp_path / "store"), **first
    )
    assert waited(doubled.struck)
    again = doubled.start(ONERUN_STORE=str(tmp_path / "store"), **second)
    assert again.wait(PATIENCE) == 0, doubled.said()[-4000:]
    doubled.go_on()
    assert cut_off.wait(PATIENCE) == 0, doubled.said()[-4000:]
    assert "this one steps back" in doubled.said()
    assert violations(doubled, Expected(wanted, attempts=2)) == []


@pytest.fixture(params=[
    pytest.param("sqlite", marks=cell(
        "P1 P2", f"{MANY} trainings of one recipe at once, into one SQLite store", "a run and a version each",
        "by itself")),
    pytest.param("server", marks=cell(
        "P1 P2", f"{MANY} trainings of one recipe at once, into one MLflow server", "a run and a version each",
        "by itself")),
])  # fmt: skip
def store(request: pytest.FixtureRequest) -> str | None:
    """Returns: the tracking URI; None: an SQLite file."""
    if request.param == "sqlite":
        return None
    server: MlflowServer = request.getfixturevalue("server")
    return server.uri


def test_p1_p2_many_trainings_at_once(
    training: Callable[..., Training],
    undisturbed: Callable[..., Facts],
    tmp_path: Path,
    turns: Callable[[int], None],
    store: str | None,
) -> None:
    turns(MANY)
    wanted = undisturbed()
    first = training(tracking_uri=store)
    many = [first, *(first.again() for _ in range(MANY - 1))]
    processes = [
        one.start(**machine) for one, machine in zip(many, machines(tmp_path, MANY), strict=True)
    ]
    codes = [process.wait(PATIENCE) for process in processes]
    assert codes == [0] * MANY, first.said()[-4000:]
    found = [facts(one) for one in many]
    assert len({now.run.info.experiment_id for now in found if now.run}) == 1
    assert sorted(int(version.version) for version in found[0].versions) == list(range(1, MANY + 1))
    for one in many:
        assert violations(one, Expected(wanted, others=MANY - 1, attempts=1)) == []


@cell(
    "P2",
    "two promotions of one model at once, on two machines",
    "an alias and a ledger that agree",
    "by itself",
)
def test_p2_two_promotions_at_once(training: Callable[..., Training], tmp_path: Path) -> None:
    store = training()
    client = MlflowClient(store.tracking_uri)
    client.create_registered_model("diabetes")
    for _ in range(3):
        client.create_model_version("diabetes", str(tmp_path), run_id=None)
    given = {**os.environ, "MLFLOW_TRACKING_URI": store.tracking_uri, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flows.promote", "--model", "diabetes", "--to"]
    subprocess.run([*command, "1"], cwd=tmp_path, env=given, check=True, stdout=subprocess.DEVNULL)
    processes = [
        subprocess.Popen(
            [*command, version],
            cwd=tmp_path,
            env=given | machine,
            stderr=subprocess.PIPE,
            text=True,
        )
        for version, machine in zip(("2", "3"), machines(tmp_path, 2), strict=True)
    ]
    said = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    codes = [process.returncode for process in processes]
    moves = facts(store).moves
    assert [move.to_version for move in moves if move.state == "done"] == [
        move.to_version for move in moves
    ]
    assert [move.from_version for move in moves[1:]] == [move.to_version for move in moves[:-1]]
    assert facts(store).aliases == {"champion": moves[-1].to_version}
    assert codes.count(0) == len(moves) - 1 >= 1
    assert all(
        code == 0 or "it was moved meanwhile" in words
        for code, words in zip(codes, said, strict=True)
    )
