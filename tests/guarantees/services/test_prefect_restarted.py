"""The Prefect server is killed and started again in the middle of a training, on the same port and database."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarantees import trainings
from tests.guarantees.cells import Recovery, cell
from tests.guarantees.holding import Expected, Facts, facts, violations
from tests.guarantees.services.here import TrainingHere, when_called
from tests.guarantees.trainings import RECIPE, ROOT, waited
from tests.servers import PrefectServer, prefect_server

GOES_ON = "a training that goes on"
STAGES = {"train": "onerun.training.local.fit", "promote": "onerun.promotion.promote._move"}


@pytest.fixture(scope="module")
def own_server(
    tmp_path_factory: pytest.TempPathFactory, environment: object
) -> Iterator[PrefectServer]:
    """Returns: a Prefect server that only these tests use."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def prefect(own_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrefectServer]:
    """The server, set as Prefect's API for this test."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", own_server.api_url)
    with temporary_settings({PREFECT_API_URL: own_server.api_url}):
        yield own_server


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            function,
            id=stage,
            marks=cell("P1 P2 P7", f"the Prefect server is killed for 5 s and more, in {stage}", GOES_ON, "by itself"),
        )
        for stage, function in STAGES.items()
    ],
)  # fmt: skip
def test_p1_p2_in_a_worker(
    prefect: PrefectServer,
    template_store: Path,
    wanted: Facts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recovery: Recovery,
    function: str,
) -> None:
    trainings.new_store(template_store, tmp_path)
    disturbed = TrainingHere(tmp_path, RECIPE)
    back = threading.Timer(5, prefect.start)

    def stop() -> None:
        prefect.stop()
        back.start()

    when_called(monkeypatch, function, stop)
    try:
        with recovery:
            assert disturbed.run() == 0, disturbed.said()
    finally:
        back.join(120)
    assert waited(lambda: disturbed.state() == "COMPLETED", 60)
    assert violations(disturbed, Expected(wanted, attempts=1)) == []


@cell(
    "P1 P2",
    "the Prefect server is killed for 5 s and more while a command trains",
    GOES_ON,
    "by itself",
)
def test_p1_p2_on_the_command_line(
    prefect: PrefectServer, template_store: Path, wanted: Facts, tmp_path: Path, recovery: Recovery
) -> None:
    trainings.new_store(template_store, tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    given = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    command = [sys.executable, "-m", "flows.train", "--recipe", "recipe.yaml"]
    with (tmp_path / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env={**os.environ, **given}, stdout=log, stderr=log
        )
        assert waited(lambda: "ingest" in (tmp_path / "log.txt").read_text())
        with recovery:
            prefect.stop()
            threading.Timer(5, prefect.start).start()
            assert process.wait(240) == 0, (tmp_path / "log.txt").read_text()
    done = TrainingHere(tmp_path, RECIPE)
    now = facts(done)
    assert [run.info.status for run in now.runs] == ["FINISHED"]
    assert len(now.versions) == 1
    done.flow_run_id = now.runs[0].data.tags["onerun.flow_run_id"]  # type: ignore[assignment]
    assert waited(lambda: done.state() == "COMPLETED", 60)
