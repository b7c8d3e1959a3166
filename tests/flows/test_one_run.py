"""P1 and P2: one flow run has one MLflow run, over attempts, threads and tasks; finished stages are not repeated."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.runtime import flow_run

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.errors import DataError, StoreUnreachable, TrainingKilled
from onerun.domain.references import Version
from onerun.engine.events import ignore
from onerun.engine.owner import owned_run
from onerun.engine.runner import run_stage
from onerun.engine.stages import Limits, StageRunner, Stages
from onerun.tracking.lifecycle import Identity, OwnedRun, open_run
from onerun.tracking.runs import client, log_history, log_metrics, log_params
from tasks.stages import run_as_task

pytestmark = pytest.mark.usefixtures("tracking_uri")


@pytest.fixture
def experiment(tracking_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    name = f"{request.node.name} {tmp_path.name}"
    client().create_experiment(name, artifact_location=(tmp_path / "artifacts").as_uri())
    return name


def runs(experiment: str) -> list[tuple[str, str]]:
    """Returns: (run id, status) of every run of the experiment, also deleted ones excluded."""
    found = client().get_experiment_by_name(experiment)
    assert found is not None
    return [
        (run.info.run_id, run.info.status) for run in client().search_runs([found.experiment_id])
    ]


def of(flow_run_id: str) -> Identity:
    return Identity.of_flow_run(flow_run_id)


def opened(experiment: str, flow_run_id: str = "f1", digest: str = "d1") -> OwnedRun:
    return open_run(experiment, of(flow_run_id), "a name", digest, {})


def stages(run: OwnedRun, runner: StageRunner = run_as_task) -> Stages:
    return Stages(run, runner, ignore)


def test_p1_the_run_reads_running_within_and_finished_after(experiment: str) -> None:
    with owned_run(experiment, of("f1"), "a name", "d1", {}) as run:
        assert runs(experiment) == [(run.run_id, "RUNNING")]
    assert runs(experiment) == [(run.run_id, "FINISHED")]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("no rows"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
    ],
)
def test_p1_the_run_ends_as_its_flow_does(
    experiment: str, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)), owned_run(experiment, of("f1"), "a name", "d1", {}) as run:
        raise error
    assert runs(experiment) == [(run.run_id, status)]
    assert type(error).__name__ in client().get_run(run.run_id).data.tags["onerun.failure"]


def test_p1_an_attempt_reopens_the_run_and_is_counted(experiment: str) -> None:
    first, second = opened(experiment), opened(experiment)
    assert first.run_id == second.run_id
    assert (first.attempt, second.attempt) == (1, 2)
    assert opened(experiment, "f2").run_id != first.run_id


def test_p1_eight_opened_at_once_make_one_run(experiment: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = {run.run_id for run in pool.map(lambda _: opened(experiment), range(8))}
    assert len(ids) == 1
    assert [run_id for run_id, _ in runs(experiment)] == list(ids)


def test_a_deleted_experiment_is_a_mistake_with_the_way_out(experiment: str) -> None:
    found = client().get_experiment_by_name(experiment)
    assert found is not None
    client().delete_experiment(found.experiment_id)
    with pytest.raises(
        Mistakes, match=rf"is deleted; restore it .*--experiment-id {found.experiment_id}"
    ):
        opened(experiment)


def test_p2_the_same_parameter_is_kept_and_a_conflicting_one_becomes_a_tag(experiment: str) -> None:
    run = opened(experiment)
    log_params(run.run_id, {"split.seed": 7, "same": "x"})
    log_params(run.run_id, {"split.seed": 8, "same": "x", "new": [1]}, attempt=2)
    data = client().get_run(run.run_id).data
    assert data.params == {"split.seed": "7", "same": "x", "new": "[1]"}
    assert data.tags["split.seed:attempt2"] == "8"
    assert "same:attempt2" not in data.tags


def test_p2_metrics_and_curves_logged_again_leave_one_point_each(experiment: str) -> None:
    run = opened(experiment)
    for _ in range(2):
        log_metrics(run.run_id, {"rmse": 1.5})
        log_history(run.run_id, {"curve": [3.0, 2.0, 1.0]})
    assert len(client().get_metric_history(run.run_id, "rmse")) == 1
    assert [(p.step, p.value) for p in client().get_metric_history(run.run_id, "curve")] == [
        (0, 3),
        (1, 2),
        (2, 1),
    ]


def test_names_that_mlflow_refuses_are_logged_under_the_nearest_it_takes(experiment: str) -> None:
    run = opened(experiment)
    log_params(run.run_id, {"data.types.price [$]": "number"})
    log_metrics(run.run_id, {"rmse (é)": 1.0})
    data = client().get_run(run.run_id).data
    assert data.params == {"data.types.price ___": "number"}
    assert data.metrics == {"rmse _é_": 1.0}


def version(run_id: str, calls: list[str], fail: Callable[[], None] = lambda: None) -> Version:
    calls.append(run_id)
    fail()
    return Version(model="m", version=str(len(calls)))


def test_p2_a_stage_is_done_once_over_attempts_and_again_when_the_recipe_changed(
    experiment: str, prefect_api: str
) -> None:
    calls: list[str] = []

    @flow
    def attempt(digest: str) -> Version:
        run = opened(experiment, "f1", digest)
        return stages(run).do("register", Version, lambda: version(run.run_id, calls))

    assert [attempt("d1").version, attempt("d1").version, attempt("d2").version] == ["1", "1", "2"]


def test_p2_a_flow_tried_again_by_prefect_keeps_run_and_finished_stages(
    experiment: str, prefect_api: str
) -> None:
    first, second = [], []  # type: ignore[var-annotated]

    def fail_once() -> None:
        if len(second) == 1:
            raise StoreUnreachable("cut off")

    @flow(retries=1)
    def training() -> tuple[str, str]:
        with owned_run(experiment, of(str(flow_run.id)), str(flow_run.name), "d1", {}) as run:
            todo, never = stages(run), Limits(retries=0)
            todo.do("ingest", Version, lambda: version(run.run_id, first))
            todo.do("train", Version, lambda: version(run.run_id, second, fail_once), never)
            return run.run_id, flow_run.id

    run_id, flow_run_id = training()
    assert runs(experiment) == [(run_id, "FINISHED")]
    assert (len(first), len(second)) == (1, 2)
    tags = client().get_run(run_id).data.tags
    assert (tags["onerun.attempt"], tags["onerun.flow_run_id"]) == ("2", flow_run_id)


@pytest.mark.parametrize("runner", [run_as_task, run_stage])
@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (StoreUnreachable("cut off"), 3),
        (DataError("no rows"), 1),
        (Mistakes([Mistake("data.target", "no such column")]), 1),
    ],
)
def test_a_stage_is_tried_again_only_when_that_can_help(
    experiment: str, prefect_api: str, runner: StageRunner, error: Exception, tries: int
) -> None:
    calls: list[str] = []

    def fail() -> None:
        raise error

    @flow
    def training() -> None:
        run = opened(experiment)
        limits = Limits(retries=2, pause=0)
        stages(run, runner).do("train", Version, lambda: version(run.run_id, calls, fail), limits)

    with pytest.raises(type(error)):
        training()
    assert len(calls) == tries


@pytest.mark.parametrize("runner", [run_as_task, run_stage])
def test_a_stage_over_its_time_says_so(
    experiment: str, prefect_api: str, runner: StageRunner
) -> None:
    never = threading.Event()

    @flow
    def training() -> None:
        limits = Limits(timeout=1, retries=0)
        stages(opened(experiment), runner).do("train", Version, lambda: never.wait(10), limits)  # type: ignore[arg-type,return-value]

    with pytest.raises(
        TrainingKilled, match=r"train was stopped after 1 seconds \(train.timeout\)"
    ):
        training()


def test_p1_submitted_tasks_and_concurrent_flows_make_no_phantom(
    experiment: str, prefect_api: str
) -> None:
    @task
    def measure(run_id: str, number: int) -> None:
        log_metrics(run_id, {f"metric_{number}": number})

    @flow
    def training() -> str:
        with owned_run(experiment, of(str(flow_run.id)), str(flow_run.name), "d1", {}) as run:
            for future in [measure.submit(run.run_id, number) for number in range(4)]:
                future.result()
            return run.run_id

    with ThreadPoolExecutor(
        3
    ) as pool:  # each in a copy of this context: it holds which server to use
        futures = [pool.submit(copy_context().run, training) for _ in range(3)]
    results = [future.result() for future in futures]
    assert sorted(runs(experiment)) == sorted((run_id, "FINISHED") for run_id in results)
    assert all(len(client().get_run(run_id).data.metrics) == 4 for run_id in results)
