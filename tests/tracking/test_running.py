"""Runs that read RUNNING in a real store, by SQL and by HTTP: found, looked at again, ended, and never by mistake."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from onerun.domain import names
from onerun.domain.errors import Superseded
from onerun.domain.reconcile.seen import RunSeen
from onerun.domain.reconcile.verdicts import Dead
from onerun.processes.identity import this_process
from onerun.tracking import lifecycle, running
from onerun.tracking.lifecycle import Identity, OwnedRun, end_run, open_run, training_lock
from onerun.tracking.runs import client, log_metrics, set_tags
from tests.servers import MlflowServer

DEAD = Dead(status="KILLED", evidence=("process 7 on vm is gone", "Prefect says Crashed"))


@pytest.fixture(params=["sql", "http"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Returns: a name for experiments of this test alone."""
    if request.param == "sql":
        request.getfixturevalue("tracking_uri")
    else:
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    return f"running {uuid4().hex[:8]}"


def opened(store: str, flow_run_id: str = "") -> OwnedRun:
    identity = Identity.of_flow_run(flow_run_id or str(uuid4()))
    return open_run(store, identity, "a name", "digest", {names.TAG_RUN_COUNT: "3"})


def seen(store: str, run_id: str) -> RunSeen:
    return running.running([store])[run_id]


def status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def test_all_is_found_page_by_page(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PAGE", 2)
    monkeypatch.setattr(running, "EXPERIMENTS_PER_SEARCH", 2)
    made = {opened(f"{store} {number % 3}").run_id for number in range(7)}
    end_run(opened(f"{store} 0").run_id, "FINISHED")
    found = running.running([f"{store} *"])
    assert set(found) == made
    assert {run.experiment for run in found.values()} == {
        f"{store} {number}" for number in range(3)
    }
    assert set(running.running([f"{store} 1"])) < made
    assert made <= set(running.running())


def test_what_is_known_of_a_run_of_ours_and_of_another(store: str) -> None:
    ours = opened(store, "f1")
    theirs = client().create_run(ours.experiment_id, tags={running.PARENT: ours.run_id}).info.run_id
    log_metrics(ours.run_id, {"rmse": 1.0})
    known = seen(store, ours.run_id)
    assert (known.flow_run_id, known.attempt, known.run_count, known.process) == (
        "f1",
        1,
        3,
        this_process(),
    )
    assert known.heartbeat and abs(datetime.now(UTC) - known.heartbeat) < timedelta(minutes=5)
    assert known.last_metric is not None
    assert seen(store, theirs).model_dump(include={"flow_run_id", "process", "parent", "heartbeat"}) == {
        "flow_run_id": None, "process": None, "parent": ours.run_id, "heartbeat": None,
    }  # fmt: skip


def test_a_dead_run_ends_with_its_last_sign_of_life_and_says_why(store: str) -> None:
    run_id = opened(store).run_id
    known = seen(store, run_id)
    assert running.end_dead(known, DEAD) is None
    run = client().get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.info.end_time == int(known.last_sign.timestamp() * 1000)
    assert run.data.tags["onerun.reconciled.why"] == "process 7 on vm is gone; Prefect says Crashed"
    assert "@" in run.data.tags["onerun.reconciled.by"]
    assert run.data.tags["onerun.reconciled.from"] == "RUNNING"
    assert datetime.fromisoformat(run.data.tags["onerun.reconciled.at"])
    assert running.end_dead(known, DEAD) == "it was ended meanwhile"


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda store, run_id: end_run(run_id, "FINISHED"), "ended meanwhile"),
        (lambda store, run_id: opened(store, "flow"), "a retry reopened it"),
        (
            lambda store, run_id: set_tags(
                run_id, {names.TAG_HEARTBEAT: "2026-01-01T00:00:00+00:00"}
            ),
            "sign of life",
        ),
        (lambda store, run_id: set_tags(run_id, {names.TAG_RECONCILE: "never"}), "is `never`"),
        (lambda store, run_id: client().delete_run(run_id), "ended meanwhile"),
    ],
    ids=["ended", "retried", "a beat, by whatever clock", "protected", "deleted"],
)
def test_what_changed_between_plan_and_act_is_left_alone(
    store: str, happens: Callable[[str, str], object], said: str, tracking_uri: str
) -> None:
    run_id = opened(f"{store} {said}", "flow").run_id
    known = running.running([f"{store} {said}"])[run_id]
    if said == "sign of life":
        set_tags(run_id, {names.TAG_HEARTBEAT: "2030-01-01T00:00:00+00:00"})
        known = running.running([f"{store} {said}"])[run_id]
    happens(f"{store} {said}", run_id)
    before = status(run_id)
    assert said in str(running.end_dead(known, DEAD))
    assert status(run_id) == before
    assert "onerun.reconciled.at" not in client().get_run(run_id).data.tags


def test_a_retry_that_is_opening_the_run_this_moment_wins(store: str) -> None:
    """It holds the lock; who comes second sees the attempt that it counted."""
    flow_run_id = str(uuid4())
    run_id = opened(store, flow_run_id).run_id
    known, left = seen(store, run_id), []
    with training_lock(flow_run_id):
        thread = threading.Thread(target=lambda: left.append(running.end_dead(known, DEAD)))
        thread.start()
        set_tags(run_id, {names.TAG_ATTEMPT: "2"})
    thread.join(60)
    assert left == ["a retry reopened it meanwhile"] and status(run_id) == "RUNNING"


def test_a_retry_on_another_machine_between_two_looks_wins_too(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock reaches there: the run is ended for a moment, and put back."""
    run_id = opened(store, "elsewhere").run_id
    known, really = seen(store, run_id), running._end

    def end(run: RunSeen, verdict: Dead) -> None:
        set_tags(run_id, {names.TAG_ATTEMPT: "2"})
        really(run, verdict)

    monkeypatch.setattr(running, "_end", end)
    assert "at the same moment" in str(running.end_dead(known, DEAD))
    assert status(run_id) == "RUNNING"
    assert "retry" in client().get_run(run_id).data.tags["onerun.reconciled.withdrawn"]


def test_an_owner_that_was_taken_for_dead_opens_its_run_again(store: str) -> None:
    run_id = opened(store).run_id
    assert lifecycle.beat(run_id) == "RUNNING"
    running.end_dead(seen(store, run_id), DEAD)
    assert lifecycle.beat(run_id) == "KILLED"
    lifecycle.reopen(run_id)
    assert status(run_id) == "RUNNING"


def test_a_superseded_process_does_not_open_the_run_that_another_has_finished(store: str) -> None:
    run_id = opened(store).run_id
    lifecycle.keep_running(run_id)  # it is open, and ours
    end_run(run_id, "FINISHED")
    lifecycle.keep_running(run_id)
    assert status(run_id) == "RUNNING", "a program of ours had ended it"
    set_tags(
        run_id, {names.TAG_PROCESS: this_process().model_copy(update={"pid": 1}).model_dump_json()}
    )
    end_run(run_id, "FINISHED")
    with pytest.raises(Superseded, match="opened by another process"):
        lifecycle.keep_running(run_id)
    assert status(run_id) == "FINISHED"


def test_runs_are_found_by_the_flow_runs_they_name(store: str) -> None:
    key = str(uuid4())
    run_id = opened(store, key).run_id
    end_run(run_id, "FAILED")
    assert running.named_flow_runs(datetime.now(UTC) - timedelta(hours=1), [store])[key] == [
        (run_id, "FAILED")
    ]
    assert running.of_flow_run(key) == [(run_id, "FAILED")]
    assert running.of_flow_run(str(uuid4())) == []
    time.sleep(0.01)
    assert key not in running.named_flow_runs(datetime.now(UTC), [store])
    assert set(running.ended_parents([run_id, "no such run", opened(store).run_id])) == {run_id}


def test_a_store_that_was_never_made_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert running.nothing_there()
    assert list(tmp_path.iterdir()) == []
