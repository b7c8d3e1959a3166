"""The reconciler against a real store, a real Prefect server and real processes that are really killed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import (
    AwaitingRetry,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Pending,
    Running,
    Scheduled,
    Suspended,
)

from flows.reconcile import reconcile
from flows.reconciling import reconciler
from flows.reconciling.flow_runs import FlowRuns
from onerun.domain import names
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.domain.reconcile.seen import ReconcilePolicy
from onerun.processes.identity import this_process
from onerun.reconcile.remedies import EndedRun, MarkedFlowRun, apply
from onerun.reconcile.survey import plan
from onerun.tracking.lifecycle import Identity, end_run, open_run
from onerun.tracking.runs import client, set_tags

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, time
from prefect import flow
from prefect.runtime import flow_run
from onerun.domain import names
from flows.training.cancellation import ends_when_cancelled
from onerun.engine.owner import owned_run
from onerun.tracking.lifecycle import Identity

@flow(name="train")
def train(experiment, opens):
    with ends_when_cancelled(flow_run.id, flow_run.run_count):
        if opens:
            tags = {names.TAG_RUN_COUNT: str(flow_run.run_count)}
            identity = Identity.of_flow_run(flow_run.id)
            with owned_run(experiment, identity, flow_run.name, "digest", tags) as run:
                time.sleep(2)  # so that Prefect was told which process it is
                print(flow_run.id, run.run_id, flush=True)
                time.sleep(600)
        time.sleep(2)
        print(flow_run.id, "-", flush=True)
        time.sleep(600)

train(sys.argv[1], sys.argv[2] == "opens")
"""


@flow(name="train")
def training() -> None:
    """Its flow runs are made by hand."""


@pytest.fixture
def prefect(prefect_api: str, tracking_uri: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as api:
        yield api


@pytest.fixture
def experiment(tracking_uri: str, tmp_path: Path) -> str:
    name = f"reconcile {uuid4().hex[:8]}"
    client().create_experiment(name, artifact_location=(tmp_path / "artifacts").as_uri())
    return name


@pytest.fixture
def owner(
    prefect: SyncPrefectClient, experiment: str, tmp_path: Path
) -> Iterator[Callable[[str], Any]]:
    """Returns: starts a process that owns a run, and waits until it does."""
    started: list[subprocess.Popen[str]] = []

    def start(opens: str) -> tuple["subprocess.Popen[str]", UUID, str]:
        variables = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, experiment, opens],
            cwd=tmp_path,
            env=variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        flow_run_id, run_id = process.stdout.readline().split()
        return process, UUID(flow_run_id), run_id

    yield start
    for process in started:
        process.kill()
        process.communicate()


def of(seen: ReconcilePlan, experiment: str) -> dict[str, Any]:
    """Returns: run id -> verdict, of the runs of this test; its flow runs that would be marked are under `marks`."""
    found: dict[str, Any] = {
        run.run_id: verdict for run, verdict in seen.runs if run.experiment == experiment
    }
    return found | {seen.flow_run_id: mark.state for seen, mark in seen.marks}


def planned(prefect: SyncPrefectClient | None, experiment: str, **policy: Any) -> ReconcilePlan:
    api = FlowRuns(prefect) if prefect else None
    return plan(
        api, ReconcilePolicy(experiments=(experiment,), **policy), "" if prefect else "refused"
    )


def acted(
    prefect: SyncPrefectClient, seen: ReconcilePlan, **policy: Any
) -> list[EndedRun | MarkedFlowRun]:
    return apply(FlowRuns(prefect), seen, ReconcilePolicy(**policy), print, wait=0.1)


def kind(verdict: object) -> str:
    return type(verdict).__name__


def status(run_id: str) -> str:
    return str(client().get_run(run_id).info.status)


def state(prefect: SyncPrefectClient, flow_run_id: UUID) -> str:
    found = prefect.read_flow_run(flow_run_id).state
    return str(found.name) if found else ""


def elsewhere(beat: timedelta, **more: str) -> dict[str, str]:
    """Returns: tags of a run whose owner lives on another machine and whose heart last beat so long ago."""
    process = this_process().model_copy(
        update={"host": "pod-1", "boot": "another", "namespace": "pid:[1]"}
    )
    heart = (datetime.now(UTC) - beat).isoformat()
    return {
        names.TAG_PROCESS: process.model_dump_json(),
        names.TAG_HEARTBEAT: heart,
        names.TAG_RUN_COUNT: "1",
        **more,
    }


def made(
    prefect: SyncPrefectClient, experiment: str, now: "State[None]", tags: dict[str, str]
) -> tuple[FlowRun, str]:
    """Returns: a flow run in that state, and the run that names it."""
    flow_run = prefect.create_flow_run(training, state=Pending())
    prefect.set_flow_run_state(flow_run.id, Running(), force=True)
    if not now.is_running():
        prefect.set_flow_run_state(flow_run.id, now, force=True)
    run = open_run(
        experiment, Identity.of_flow_run(str(flow_run.id)), flow_run.name, "digest", tags
    )
    return flow_run, run.run_id


@pytest.mark.slow
def test_p1_alive_it_is_left_alone_whatever_is_said_and_killed_it_is_ended(
    owner: Callable[[str], Any], prefect: SyncPrefectClient, experiment: str
) -> None:
    process, flow_run_id, run_id = owner("opens")
    assert kind(of(planned(prefect, experiment), experiment)[run_id]) == "Live"
    assert kind(of(planned(None, experiment), experiment)[run_id]) == "Live"
    set_tags(
        run_id, {names.TAG_HEARTBEAT: "2001-01-01T00:00:00+00:00"}
    )  # a clock that is years behind
    assert kind(of(planned(prefect, experiment), experiment)[run_id]) == "Live"

    process.kill()
    process.wait()
    assert kind(of(planned(None, experiment), experiment)[run_id]) == "Unknown", (
        "Prefect does not answer"
    )
    seen = planned(prefect, experiment)
    found = of(seen, experiment)
    assert (kind(found[run_id]), found[run_id].status, found[str(flow_run_id)]) == (
        "Dead",
        "KILLED",
        "Crashed",
    )
    assert (status(run_id), state(prefect, flow_run_id)) == ("RUNNING", "Running"), (
        "a plan changes nothing"
    )

    assert [each.left for each in acted(prefect, seen)] == [None, None]
    assert (status(run_id), state(prefect, flow_run_id)) == ("KILLED", "Crashed")
    why = client().get_run(run_id).data.tags["onerun.reconciled.why"]
    assert f"process {process.pid} on" in why and "Prefect reports Running since" in why
    told = prefect.read_flow_run(flow_run_id).state
    assert told is not None and f"process {process.pid} on" in str(told.message)
    assert of(planned(prefect, experiment), experiment) == {}
    assert [each.left for each in acted(prefect, seen)] == [
        "it was ended meanwhile",
        "its run was left alone",
    ]


@pytest.mark.long
@pytest.mark.long
def test_killed_before_it_had_a_run_the_flow_run_reads_crashed(
    owner: Callable[[str], Any], prefect: SyncPrefectClient, experiment: str
) -> None:
    process, flow_run_id, _ = owner("opens not")
    assert str(flow_run_id) not in of(plan(FlowRuns(prefect), ReconcilePolicy()), experiment)
    process.kill()
    process.wait()
    acted(prefect, plan(FlowRuns(prefect), ReconcilePolicy()))
    assert state(prefect, flow_run_id) == "Crashed"


@pytest.mark.parametrize(
    ("now", "silent", "verdict", "marked"),
    [
        (Running(), 0, "Live", None),
        (Running(), -10, "Live", None),  # its clock is ten minutes ahead
        (Running(), 20, "Live", None),  # its clock is twenty minutes behind
        (Running(), 6000, "Live", None),  # this very try has begun only now
        (Crashed(), 3, "Live", None),
        (Crashed(), 6000, "Live", None),  # Prefect has known it for a moment only
        (AwaitingRetry(), 6000, "Live", None),
        (Suspended(), 6000, "Live", None),
        (Pending(), 6000, "Live", None),
    ],
)
def test_what_lives_elsewhere_or_may_is_left_alone(
    prefect: SyncPrefectClient,
    experiment: str,
    now: "State[None]",
    silent: float,
    verdict: str,
    marked: str | None,
) -> None:
    flow_run, run_id = made(prefect, experiment, now, elsewhere(timedelta(minutes=silent)))
    seen = planned(prefect, experiment)
    found = of(seen, experiment)
    assert (kind(found[run_id]), found.get(str(flow_run.id))) == (verdict, marked)
    acted(prefect, seen)
    assert (status(run_id), state(prefect, flow_run.id)) == ("RUNNING", now.name)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """Prefect's clock has gone on for two hours since it heard of anything."""
    really = FlowRuns.now
    monkeypatch.setattr(FlowRuns, "now", lambda self: really(self) + timedelta(hours=2))
    return timedelta(hours=2)


@pytest.mark.parametrize(
    ("now", "ends", "becomes"),
    [
        (Running(), "KILLED", "Crashed"),
        (Cancelling(), "KILLED", "Cancelled"),
        (Crashed(), "KILLED", "Crashed"),
        (Failed(), "FAILED", "Failed"),
        (Completed(), "KILLED", "Completed"),  # by hand: not one stage is on record
    ],
)
def test_p1_a_silent_heart_elsewhere_is_watched_and_then_ended_as_prefect_says(
    prefect: SyncPrefectClient,
    experiment: str,
    later: timedelta,
    now: "State[None]",
    ends: str,
    becomes: str,
) -> None:
    flow_run, run_id = made(prefect, experiment, now, elsewhere(later))
    acted(prefect, planned(prefect, experiment))
    assert (status(run_id), state(prefect, flow_run.id)) == (ends, becomes)


def test_p1_with_every_stage_on_record_completed_is_finished(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    stages = {names.TAG_STAGE.format(stage=stage): "{}" for stage in names.STAGES}
    _, run_id = made(prefect, experiment, Completed(), elsewhere(later, **stages))
    acted(prefect, planned(prefect, experiment))
    assert status(run_id) == "FINISHED"


def test_a_heart_that_beats_while_it_is_watched_is_left_alone(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    flow_run, run_id = made(prefect, experiment, Running(), elsewhere(timedelta(hours=5)))
    seen = planned(prefect, experiment)
    assert kind(of(seen, experiment)[run_id]) == "Dead"
    set_tags(run_id, elsewhere(timedelta(hours=4.9)))  # its clock is hours behind; it beats
    assert {each.left for each in acted(prefect, seen)} == {
        "it gave a sign of life meanwhile",
        "its run was left alone",
    }
    assert (status(run_id), state(prefect, flow_run.id)) == ("RUNNING", "Running")


def test_a_retry_that_begins_between_plan_and_act_wins(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    flow_run, run_id = made(prefect, experiment, Crashed(), elsewhere(later))
    seen = planned(prefect, experiment)
    prefect.set_flow_run_state(flow_run.id, AwaitingRetry(), force=True)
    (told,) = [each for each in acted(prefect, seen) if getattr(each, "run_id", "") == run_id]
    assert "AwaitingRetry" in told.left and status(run_id) == "RUNNING"


def test_prefect_going_away_between_plan_and_act_ends_nothing(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    _, run_id = made(prefect, experiment, Running(), elsewhere(later))
    seen = planned(prefect, experiment)
    nowhere = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nowhere), get_client(sync_client=True) as gone:
        told = acted(gone, seen)
        assert planned(gone, experiment).prefect.startswith("ConnectError")
        assert {
            kind(verdict) for verdict in of(planned(gone, experiment), experiment).values()
        } == {"Unknown"}
    assert all(
        each.failed and "does not answer any more" in (each.left or "")
        for each in told
        if isinstance(each, EndedRun)
    )
    assert status(run_id) == "RUNNING"


def test_what_does_not_fit_together_is_told(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    stranger = str(uuid4())
    run = open_run(experiment, Identity.of_flow_run(stranger), "of another server", "digest", {})
    alone = prefect.create_flow_run(training, state=Pending())
    prefect.set_flow_run_state(alone.id, Running(), force=True)
    nightly = prefect.create_flow_run(
        training, state=Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=5))
    )
    seen = planned(prefect, experiment)
    assert str(nightly.id) not in {each.flow_run_id for each in seen.without_run}, (
        "it has not begun"
    )
    assert (run.run_id, stranger) in seen.without_flow_run
    assert str(alone.id) in {each.flow_run_id for each in seen.without_run}
    said = "\n".join(seen.lines())
    assert f"names flow run {stranger}, which Prefect does not know" in said
    assert f"{alone.id} (Running) has no MLflow run here" in said
    assert len(seen.rows()) >= 3


def test_runs_of_others_and_what_is_nested_in_ours(
    prefect: SyncPrefectClient, experiment: str, later: timedelta
) -> None:
    _, ours = made(prefect, experiment, Running(), elsewhere(later))
    number = client().get_run(ours).info.experiment_id
    nested = client().create_run(number, tags={"mlflow.parentRunId": ours}).info.run_id
    theirs = client().create_run(
        number, start_time=int((datetime.now(UTC) - timedelta(days=9)).timestamp() * 1000)
    )
    acted(prefect, planned(prefect, experiment))
    assert [status(each) for each in (ours, nested, theirs.info.run_id)] == [
        "KILLED",
        "KILLED",
        "RUNNING",
    ]
    acted(prefect, planned(prefect, experiment, also_older_than=timedelta(days=10)))
    assert status(theirs.info.run_id) == "RUNNING"
    acted(prefect, planned(prefect, experiment, also_older_than=timedelta(days=7)))
    assert status(theirs.info.run_id) == "KILLED"


def test_the_flow_shows_its_plan_as_a_table_and_changes_nothing_unasked(
    prefect: SyncPrefectClient, experiment: str
) -> None:
    _, run_id = made(prefect, experiment, Running(), {names.TAG_RUN_COUNT: "1"})
    dead = this_process().model_copy(update={"start": 1})
    set_tags(run_id, {names.TAG_PROCESS: dead.model_dump_json()})
    assert reconcile(experiments=[experiment]).status == "planned"
    assert status(run_id) == "RUNNING"
    told = reconcile(apply=True, experiments=[experiment])
    assert [each.run_id for each in told.done if isinstance(each, EndedRun)] == [run_id]
    assert status(run_id) == "KILLED"
    table = [artifact for artifact in prefect.read_artifacts() if artifact.key == "reconciliation"][
        -1
    ]
    assert any(row["which"] == run_id for row in json.loads(str(table.data)))


def test_a_deployment_finds_the_flow_and_its_form() -> None:
    from prefect.flows import load_flow_from_entrypoint

    found = load_flow_from_entrypoint("flows.reconcile.reconcile")
    form = found.parameters.properties
    assert set(form) == {
        "apply",
        "silence_minutes",
        "also_older_than_days",
        "experiments",
        "profile",
    }
    assert all("description" in field for field in form.values())
    assert (form["apply"]["default"], form["silence_minutes"]["minimum"]) == (False, 5)


def test_on_the_command_line(
    prefect: SyncPrefectClient, experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run_id = made(prefect, experiment, Running(), {names.TAG_RUN_COUNT: "1"})
    set_tags(
        run_id,
        {names.TAG_PROCESS: this_process().model_copy(update={"start": 1}).model_dump_json()},
    )
    assert reconciler.main(["--experiments", experiment]) == 0
    shown = capsys.readouterr().out
    assert f"end    run {run_id}" in shown and "nothing was changed; --apply acts" in shown
    assert reconciler.main(["--experiments", experiment, "--apply", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], [each["run_id"] for each in told["end"]]) == ("reconciled", [run_id])
    assert (
        next(line.strip() for line in shown.splitlines() if "process" in line)
        in told["end"][0]["evidence"]
    )
    assert status(run_id) == "KILLED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--silence", "soon"], "expected a duration such as 90s, 30m, 2h or 1d"),
        (["--silence", "10s"], "--silence"),
        (["--also-older-than", "1h"], "--also-older-than"),
        (["--profile", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_in_what_was_asked_ends_with_2(
    prefect: SyncPrefectClient, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    try:
        code: object = reconciler.main(arguments)
    except SystemExit as ended:
        code = ended.code
    assert code == 2 and words in capsys.readouterr().err


def test_a_prefect_that_is_down_is_told_and_nothing_hangs_on_it(
    prefect: SyncPrefectClient,
    experiment: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, run_id = made(prefect, experiment, Crashed(), elsewhere(timedelta(days=3)))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert reconciler.main(["--experiments", experiment, "--apply"]) == 0
    assert "cannot be reached" in capsys.readouterr().out
    assert status(run_id) == "RUNNING"
    end_run(run_id, "KILLED")
