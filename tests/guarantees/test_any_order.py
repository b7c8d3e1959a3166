"""Attempts, crashes, retries, conflicting parameters, promotions and rollbacks in any order (hypothesis)."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from onerun.config.mistakes import Mistakes
from onerun.domain import names
from onerun.domain.errors import AliasMoved
from onerun.promotion.aliases import move_to, roll_back
from onerun.tracking import models, moves
from onerun.tracking.lifecycle import Identity, end_run, open_run
from onerun.tracking.registry import ledger, make_version, move_alias, version_of_alias, versions
from onerun.tracking.runs import client, log_history, log_metrics, log_params
from tests.guarantees.cells import cell

FLOW_RUNS = 3
CALLS = [
    "create_run", "update_run", "log_batch", "set_terminated", "create_registered_model", "create_model_version",
    "set_registered_model_alias", "set_registered_model_tag", "set_model_version_tag", "delete_registered_model_tag",
    "create_logged_model", "log_outputs", "log_model_artifacts", "set_logged_model_tags", "finalize_logged_model",
]  # fmt: skip
MLMODEL = "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\nmodel_uuid: x\n"


class Crash(BaseException):
    """The process is gone: nothing of ours catches this."""


@contextmanager
def crashing(patch: pytest.MonkeyPatch, at: int | None) -> Iterator[None]:
    """Within the block the process dies around a call that changes the store: 0 before the first, 1 after it, 2 before
    the second, and so on.
    """
    left = at
    with patch.context() as patched:

        def mortal(name: str) -> Callable[..., Any]:
            real = getattr(MlflowClient, name)

            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal left
                if left == 0:
                    raise Crash
                result = real(*arguments, **named)
                if left == 1:
                    raise Crash
                left = None if left is None else left - 2
                return result

            return call

        for name in CALLS:
            patched.setattr(MlflowClient, name, mortal(name))
        yield


@dataclass
class World:
    """One experiment, one registered model, a few flow runs; and what must never change once it was seen."""

    folder: Path
    name: str = field(default_factory=lambda: f"order-{uuid4().hex[:8]}")
    runs: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str | None] = field(default_factory=dict)
    params: dict[tuple[int, str], str] = field(default_factory=dict)

    def flow_run(self, number: int) -> str:
        return f"{self.name}-{number}"

    def attempt(self, number: int) -> None:
        self.ended[number] = None
        run_id = open_run(
            self.name, Identity.of_flow_run(self.flow_run(number)), "a name", "digest", {}
        ).run_id
        assert self.runs.setdefault(number, run_id) == run_id, "P1: a retry has another run"

    def log(self, number: int, value: int) -> None:
        log_params(self.runs[number], {"fixed": 1, "changing": value})
        log_metrics(self.runs[number], {"metric": 0.5})
        log_history(self.runs[number], {"curve": [3.0, 2.0]})

    def train(self, number: int, _: int) -> None:
        models.log_model(self.runs[number], self.folder, {"tag": "x"})

    def register(self, number: int, _: int) -> None:
        model_id = models.log_model(self.runs[number], self.folder)
        make_version(self.name, model_id, self.runs[number], "described", {"tag": "x"})

    def promote(self, number: int, behind: int) -> None:
        """`behind`: the decision was made on a champion that is not the champion any more."""
        made = versions(self.name, self.runs[number])
        if made:
            holder = version_of_alias(self.name, "champion")
            expected = holder if not behind % 2 else versions(self.name)[0]
            with suppressed(AliasMoved):
                move_alias(self.name, "champion", made[0], expected, "why", self.runs[number])

    def rollback(self, _number: int, _: int) -> None:
        with suppressed(Mistakes, AliasMoved):
            roll_back(self.name, "champion")

    def by_hand(self, _number: int, version: int) -> None:
        with suppressed(Mistakes, AliasMoved):
            move_to(self.name, "champion", str(version % 3 + 1))

    def end(self, number: int, how: int) -> None:
        status = ("FINISHED", "FAILED", "KILLED")[how % 3]
        end_run(self.runs[number], status, "failure" if how % 3 else "")  # type: ignore[arg-type]
        self.ended[number] = status


@contextmanager
def suppressed(*kinds: type[Exception]) -> Iterator[None]:
    """What a person is told, and no crash."""
    try:
        yield
    except kinds as error:
        assert str(error)


def violations(world: World, settled: bool) -> Iterator[str]:
    """P1 and P2 after a step. `settled`: the last step was an alias move that came to its end."""
    experiment = client().get_experiment_by_name(world.name)
    if experiment is None:
        return
    found = client().search_runs([experiment.experiment_id])
    tags = Counter(run.data.tags[names.TAG_FLOW_RUN_ID] for run in found)
    if any(count > 1 for count in tags.values()):
        yield f"P1: {tags}"
    for run in found:
        number = int(run.data.tags[names.TAG_FLOW_RUN_ID].rpartition("-")[2])
        yield from _of_run(world, number, run)
    yield from _of_aliases(world, settled)


def _of_run(world: World, number: int, run: Any) -> Iterator[str]:
    if number in world.runs and run.info.run_id != world.runs[number]:
        yield "P1: another run"
    wanted = world.ended.get(number)
    if wanted and run.info.status != wanted:
        yield f"P1: {run.info.status}, not {wanted}"
    for key, value in run.data.params.items():
        if world.params.setdefault((number, key), value) != value:
            yield f"P2: parameter {key} changed"
    for key in run.data.metrics:
        points = [
            (point.step, point.value) for point in client().get_metric_history(run.info.run_id, key)
        ]
        if len(points) != len(set(points)):
            yield f"P2: {key} has a point twice"
    logged = client().search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    if len(logged) > 1:
        yield f"P2: {len(logged)} logged models of one run"


def _of_aliases(world: World, settled: bool) -> Iterator[str]:
    made = client().search_model_versions(f"name = '{world.name}'")
    for run_id, count in Counter(version.run_id for version in made).items():
        if count > 1:
            yield f"P2: {count} versions of run {run_id}"
    if any("tag" not in version.tags or version.description != "described" for version in made):
        yield "P2: a version without its tags"
    if not client().search_registered_models(f"name = '{world.name}'"):
        return
    done = ledger(world.name, "champion")
    if [move.from_version for move in done[1:]] != [move.to_version for move in done[:-1]]:
        yield f"P2: the ledger is no chain: {[(move.from_version, move.to_version) for move in done]}"
    announced = [
        move for move in moves.entries(world.name, "champion").values() if move.state == "announced"
    ]
    holder = version_of_alias(world.name, "champion")
    explained = {done[-1].to_version if done else None, *(move.to_version for move in announced)}
    if holder not in explained:
        yield f"P2: the champion is {holder}, which no entry of the ledger explains"
    if settled and (announced or holder != (done[-1].to_version if done else None)):
        yield f"P2: after a move, {len(announced)} moves are announced and the champion is {holder}"


ACTIONS = ("attempt", "log", "train", "register", "promote", "rollback", "by_hand", "end")
MOVES = ("promote", "rollback", "by_hand")
Step = tuple[str, int, int, int | None]
crash = st.none() | st.integers(0, 11)
steps = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, FLOW_RUNS - 1), st.integers(0, 5), crash),
    min_size=4, max_size=25,
)  # fmt: skip


def lived(world: World, way: list[Step], patch: pytest.MonkeyPatch) -> None:
    """Takes the steps; what a crashed process would not have come to is left out, and all is looked at after each."""
    for action, number, value, at in way:
        if world.ended.get(number, "never opened") and action not in ("attempt", *MOVES):
            continue
        if number not in world.runs and action != "attempt":
            continue
        before = holder(world)
        finished = True
        try:
            with crashing(patch, at):
                getattr(world, action)(number, *(() if action == "attempt" else (value,)))
        except Crash:
            finished = False
            world.ended[number] = world.ended.get(number) if action in MOVES else None
        moved = finished and action in MOVES and holder(world) != before
        assert list(violations(world, moved)) == [], (action, number, value, at)


def holder(world: World) -> str | None:
    return version_of_alias(world.name, "champion")


def finished(world: World) -> None:
    """After all of it: each flow run that was begun is retried without a fault, and is as if nothing had happened."""
    for number in list(world.runs):
        world.attempt(number)
        world.log(number, 0)
        world.register(number, 0)
        world.promote(number, 0)
        world.end(number, 0)
        run = client().get_run(world.runs[number])
        assert list(violations(world, settled=True)) == []
        assert (run.info.status, len(versions(world.name, run.info.run_id))) == ("FINISHED", 1)
        assert version_of_alias(world.name, "champion") == versions(world.name, run.info.run_id)[0]
        assert {key: len(client().get_metric_history(run.info.run_id, key)) for key in run.data.metrics} == {
            "metric": 1, "curve": 2
        }  # fmt: skip


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """Returns: the smallest folder that MLflow takes for a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(MLMODEL)
    return folder


FAULT = "attempts, crashes around every write, retries, conflicting parameters, moves and rollbacks, in any order"
WAY = [
    ("attempt", 0, 0, None),
    ("log", 0, 1, 1),
    ("attempt", 0, 0, None),
    ("log", 0, 2, None),
    ("register", 0, 0, 5),
]
WAY += [
    ("attempt", 1, 0, None),
    ("register", 1, 0, None),
    ("promote", 1, 0, 3),
    ("rollback", 1, 0, None),
]


def any_order(examples: int) -> Callable[..., Any]:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(max_examples=examples, deadline=None, suppress_health_check=checks)


def told(way: list[Step], folder: Path, patch: pytest.MonkeyPatch) -> None:
    world = World(folder)
    lived(world, way, patch)
    finished(world)


@pytest.mark.usefixtures("tracking_uri")
@cell(
    "P1 P2",
    FAULT,
    "at every moment one run per flow run, and a ledger that explains the alias",
    "by a retry",
)
@any_order(60)
@given(way=steps)
@example(way=WAY)
def test_p1_p2_in_any_order(
    way: list[Step], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(way, model_folder, monkeypatch)


@pytest.mark.fast
@pytest.mark.usefixtures("tracking_uri")
@any_order(8)
@given(way=steps)
@example(way=WAY)
def test_p1_p2_in_a_few_orders(
    way: list[Step], model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(way, model_folder, monkeypatch)
