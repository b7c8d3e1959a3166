"""The exporter on a real store with real trainings: promoted, held, failed and killed."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from flows import metrics
from flows.monitoring.exposition import names_of
from onerun.domain.monitoring import series
from onerun.store.trainings import count_by_client, count_trainings
from onerun.tracking.database import make_whole
from onerun.tracking.lifecycle import Identity, end_run, open_run, record_stage
from onerun.tracking.runs import client
from tests.servers import POSTGRES_PASSWORD, POSTGRES_USER, MlflowServer

pytestmark = pytest.mark.timeout(900)  # the first test waits until a recipe was trained four times
ROOT = Path(__file__).parents[2]
RECIPE = str(ROOT / "recipes" / "diabetes.yaml")
STRICT = ["gates=[{metric: r2, min: 0.99}, {better_than: champion}]"]
BROKEN = ["train.run_in=command", "train.command=[python, -c, exit(3)]", "train.retries=0"]
KILLED = """
import os, sys
from onerun.tracking.lifecycle import Identity, open_run
open_run(sys.argv[1], Identity.of_flow_run(sys.argv[2]), "killed", "digest", {})
print("opened", flush=True)
os.kill(os.getpid(), 9)
"""
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> dict[str, str]:
    """Returns: variables that name a store in which a recipe was trained four times."""
    folder = tmp_path_factory.mktemp("watched")
    variables = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "PREFECT_API_URL": prefect_server,
    }
    variables |= {"ONERUN_WORK": str(folder / "work")}
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        with temporary_settings({PREFECT_API_URL: prefect_server}), contextlib.chdir(folder):
            _train_four_times()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return variables


def _train_four_times() -> None:
    from flows.train import train

    make_whole(os.environ["MLFLOW_TRACKING_URI"])
    assert train(RECIPE).promoted
    assert not train(RECIPE, STRICT).promoted
    with pytest.raises(Exception, match="exited with 3"):
        train(RECIPE, BROKEN)
    command = [sys.executable, "-c", KILLED, "diabetes", str(uuid4())]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    assert done.stdout == b"opened\n" and done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def watched(store: dict[str, str], prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, named by the environment. Returns: its folder."""
    for name, value in store.items():
        monkeypatch.setenv(name, value)
    folder = Path(store["ONERUN_WORK"]).parent
    monkeypatch.chdir(folder)
    return folder


def samples(text: str) -> Samples:
    """Returns: (name, labels) -> value, as Prometheus's own reader has it."""
    found = (each for family in read_plain(text) for each in family.samples)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in found}


def of(found: Samples, name: str, **labels: str) -> float | None:
    return found.get((name, tuple(sorted(labels.items()))))


def once(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capfd.readouterr()
    code = metrics.main(["--once", *arguments])
    return code, *capfd.readouterr()


def test_all_that_happened_is_told(watched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, text, errors = once(capfd)
    assert code == 0, errors
    found = samples(text)
    for state, count in {"finished": 2, "failed": 1, "running": 1, "killed": 0}.items():
        assert of(found, "onerun_trainings", recipe="diabetes", state=state) == count
    assert of(found, "onerun_training_duration_seconds_gcount", recipe="diabetes") == 2
    assert of(found, "onerun_training_duration_seconds_bucket", recipe="diabetes", le="+Inf") == 2
    assert of(found, "onerun_stage_duration_seconds_gcount", stage="ingest") == 3, (
        "the failed one came so far"
    )
    assert of(found, "onerun_stage_duration_seconds_gcount", stage="promote") == 2
    last = of(found, "onerun_training_last_duration_seconds", recipe="diabetes")
    train = of(found, "onerun_stage_last_duration_seconds", recipe="diabetes", stage="train")
    assert last and train and 0 < train < last
    assert (
        of(found, "onerun_gates_recent", recipe="diabetes", rule="threshold", outcome="broken") == 1
    )
    assert of(found, "onerun_promotions_recent", recipe="diabetes", outcome="promoted") == 1
    assert of(found, "onerun_promotions_recent", recipe="diabetes", outcome="held") == 1
    assert of(found, "onerun_alias_version", model="diabetes", alias="champion") == 1
    assert (
        of(found, "onerun_alias_moves_total", model="diabetes", alias="champion", kind="promote")
        == 1
    )
    moved = of(found, "onerun_alias_moved_timestamp_seconds", model="diabetes", alias="champion")
    assert moved and 0 < time.time() - moved < 3600
    assert of(found, "onerun_up") == of(found, "onerun_prefect_up") == 1
    assert (
        of(found, "onerun_running_runs", verdict="dead")
        == of(found, "onerun_orphans", kind="dead_run")
        == 1
    )
    assert (
        of(found, "onerun_runs", state="finished") == 2 and of(found, "onerun_model_versions") == 2
    )
    assert (
        of(found, "onerun_store_size_bytes", part="database")
        == (watched / "mlflow.db").stat().st_size
    )
    assert (of(found, "onerun_store_size_bytes", part="artifacts") or 0) > 10_000


def test_exactly_the_declared_series_are_exported(
    watched: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """So the dashboard, which asks for declared series alone, asks for what is there."""
    _, text, _ = once(capfd)
    declared = {name for each in series.ALL for name in names_of(each)}
    exported = {name for name, _ in samples(text)}
    assert exported == declared
    told = {
        labels: value
        for (name, labels), value in samples(text).items()
        if name == "onerun_troubles"
    }
    assert told == {(("kind", "dead-running"),): 1}, "of what is no trouble there is no series"
    assert {
        (f.name, f.type) for f in read_plain(text) if not f.name.endswith(("_gsum", "_gcount"))
    } >= {(each.name.removesuffix("_total"), each.kind) for each in series.ALL}


def test_sets_and_one_by_one_say_the_same(watched: Path) -> None:
    since = int((time.time() - 86_400) * 1000)
    in_sets, singly = count_trainings(since), count_by_client(since)
    assert singly._replace(recent=sorted(singly.recent)) == in_sets._replace(
        recent=sorted(in_sets.recent)
    )
    assert len(in_sets.recent) == 3 and in_sets.last["diabetes"].promotion
    assert count_trainings(since + 2 * 86_400_000).recent == []


def test_as_json_it_is_one_object(watched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, text, _ = once(capfd, "--json", "--no-files")
    told = json.loads(text)
    assert code == 0 and told["status"] == "done"
    (version,) = [each for each in told["samples"] if each["name"] == "onerun_alias_version"]
    assert version["labels"] == {"model": "diabetes", "alias": "champion"} and version["value"] == 1
    assert not [each for each in told["samples"] if each["labels"].get("part") == "artifacts"]


def test_without_prefect_what_reads_running_is_unknown(
    watched: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    code, text, _ = once(capfd, "--no-files")
    found = samples(text)
    assert code == 0 and of(found, "onerun_prefect_up") == 0
    assert of(found, "onerun_running_runs", verdict="unknown") == 1
    assert not [name for name, _ in found if name == "onerun_orphans"]


def test_a_store_that_is_not_there_is_told_and_not_made(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, text, errors = once(capfd)
    assert code == 2 and "does not exist" in errors
    found = samples(text)
    assert (
        of(found, "onerun_up") == 0
        and of(found, "onerun_looks_total", look="trainings", outcome="failed") == 1
    )
    assert not [name for name, _ in found if name == "onerun_trainings"], (
        "nothing old is shown as if it were new"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--every", "1s"], "--every: expected at least 5s"),
        (["--profile", "nowhere"], "nowhere"),
        (["--port", "99999"], "cannot be listened on"),
    ],
)
def test_a_mistake_is_told_before_anything_is_served(
    arguments: list[str],
    words: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert metrics.main(arguments) == 2
    assert words in capfd.readouterr().err


def scraped(address: str, accept: str = "") -> str:
    with urllib.request.urlopen(
        urllib.request.Request(address, headers={"Accept": accept}), timeout=60
    ) as answer:
        return str(answer.read().decode())


def until(address: str, name: str, value: float) -> Samples:
    deadline = time.monotonic() + 120
    while of(found := samples(scraped(address)), name) != value:
        assert time.monotonic() < deadline, (name, found)
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_it_stays_up_while_the_store_comes_and_goes(watched: Path, tmp_path: Path) -> None:
    shutil.copy(watched / "mlflow.db", tmp_path / "aside.db")
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": "sqlite:///here.db",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "flows.metrics", "--port", "0", "--every", "5s", "--no-files"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/metrics", first)
        assert address, first
        assert (
            of(
                until(address[0], "onerun_up", 0),
                "onerun_looks_total",
                look="trainings",
                outcome="worked",
            )
            == 0
        )
        (tmp_path / "aside.db").rename(tmp_path / "here.db")
        found = until(address[0], "onerun_up", 1)
        assert of(found, "onerun_trainings", recipe="diabetes", state="finished") == 2
        looks = of(found, "onerun_looks_total", look="trainings", outcome="worked")
        for _ in range(20):  # being scraped is no reason to look
            again = samples(scraped(address[0]))
        assert (of(again, "onerun_looks_total", look="trainings", outcome="worked") or 0) - (
            looks or 0
        ) <= 1
        text = scraped(address[0], "application/openmetrics-text")
        kinds = {each.name: each.type for each in read_openmetrics(text)}
        assert kinds["onerun_training_duration_seconds"] == "gaugehistogram"
        (tmp_path / "here.db").rename(tmp_path / "gone.db")
        assert not [
            name for name, _ in until(address[0], "onerun_up", 0) if name == "onerun_trainings"
        ]
        assert not (tmp_path / "here.db").exists()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "trainings: seen again" in rest and "here.db does not exist" in rest
    finally:
        process.kill()
        process.communicate()


def trained(experiment: str, flow_run: str, status: Any) -> None:
    """A training as the owner leaves it."""
    run = open_run(experiment, Identity.of_flow_run(flow_run), "a name", "digest", {})
    record_stage(run.run_id, "ingest", "{}", 1.5)
    if status:
        end_run(run.run_id, status)


def compare_on(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment = f"watched {uuid4().hex[:8]}"
    for status in ("FINISHED", "FAILED", "FINISHED", None):
        trained(experiment, str(uuid4()), status)
    since = int((time.time() - 3600) * 1000)
    found, singly = count_trainings(since), count_by_client(since)
    assert found.counts[experiment, "FINISHED"] == 2 and found.counts[experiment, "RUNNING"] == 1
    assert found.last[experiment] == singly.last[experiment] and found.last[experiment].stages == {
        "ingest": 1.5
    }
    assert sorted(found.recent) == sorted(singly.recent) and dict(found.last_ends) == dict(
        singly.last_ends
    )


def test_postgresql_says_the_same(
    postgres: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from sqlalchemy import create_engine, text

    from onerun.store.sql.engine import open_database

    monkeypatch.chdir(tmp_path)
    server = f"postgresql+psycopg://{POSTGRES_USER}:{POSTGRES_PASSWORD}@{postgres}"
    admin = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE watched"))
    admin.dispose()
    uri = f"{server}/watched"
    compare_on(uri, monkeypatch)
    database = open_database(uri)
    assert database.size > 1_000_000
    database.close()


def test_a_server_is_asked_through_its_api_and_measured_behind_it(
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    compare_on(mlflow_server.uri, monkeypatch)
    run = open_run(
        f"measured {tmp_path.name}", Identity.of_flow_run(str(uuid4())), "a name", "digest", {}
    )
    client().log_text(run.run_id, "x" * 5000, "a.txt")
    code, text, errors = once(capfd)
    found = samples(text)
    assert code == 0, errors
    assert (of(found, "onerun_store_unmeasured_experiments") or 0) >= 2, (
        "nobody can look behind a proxy"
    )
    assert of(found, "onerun_store_size_bytes", part="database") is None
    monkeypatch.setenv(
        "MLFLOW_ARTIFACTS_DESTINATION", str(mlflow_server.folder / "server-artifacts")
    )
    code, text, errors = once(capfd)
    assert (of(samples(text), "onerun_store_size_bytes", part="artifacts") or 0) >= 5000, errors
