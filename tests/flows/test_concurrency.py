"""Deployed flow runs that train one model take turns; a dead one keeps nobody waiting for ever."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.states import Running

from flows.training import concurrency
from flows.training.concurrency import limit_name, turn
from onerun.domain import names


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flow runs of this test count as those of a deployment."""
    monkeypatch.setattr(concurrency.deployment, "id", str(uuid4()), raising=False)


def training(model: str, inside: Callable[[], None]) -> None:
    @flow(name=f"trains {model}")
    def trains() -> None:
        with turn(model):
            inside()

    trains()


def slots(model: str) -> int:
    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(limit_name(model)).active_slots


def test_flow_runs_of_one_model_wait_for_each_other_and_those_of_two_do_not(
    prefect_api: str, deployed: None
) -> None:
    inside, most = {"a": 0, "b": 0}, {"a": 0, "b": 0}
    meeting, count, to_meet = threading.Barrier(2), threading.Lock(), {"a", "b"}

    def work(model: str) -> None:
        with count:
            inside[model] += 1
            most[model] = max(most[model], inside[model])
            first = model in to_meet
            to_meet.discard(model)
        if first:
            meeting.wait(120)  # one of each model is inside at the same time
        time.sleep(0.2)
        with count:
            inside[model] -= 1

    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(copy_context().run, training, model, lambda model=model: work(model))  # type: ignore[misc]
            for model in ("b", "a", "a")
        ]
    for job in jobs:
        job.result()
    assert most == {"a": 1, "b": 1}
    assert slots("a") == slots("b") == 0


def test_a_limit_that_somebody_raised_stays(prefect_api: str, deployed: None) -> None:
    name = f"raised {uuid4().hex}"
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=limit_name(name), limit=3)
        )
        training(name, lambda: None)
        assert client.read_global_concurrency_limit_by_name(limit_name(name)).limit == 3


def test_the_next_attempt_of_a_killed_flow_run_gets_its_slot_back_at_once(
    prefect_api: str, deployed: None
) -> None:
    name = f"killed {uuid4().hex}"

    @flow
    def attempt() -> None:
        with get_client(sync_client=True) as client:
            this = UUID(str(concurrency.flow_run.id))
            concurrency._taken(
                client, limit_name(name), this, name
            )  # an attempt that is killed gives nothing back
            assert slots(name) == 1
        with turn(name):
            assert slots(name) == 1

    attempt()
    assert slots(name) == 0


def test_a_slot_that_nobody_holds_any_more_is_freed(
    prefect_api: str, deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server, which has forgotten the lease."""
    monkeypatch.setattr(concurrency, "LOOK", 0.1)
    name = f"forgotten {uuid4().hex}"
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=limit_name(name), limit=1, active_slots=1)
        )
    assert slots(name) == 1
    monkeypatch.setattr(concurrency, "STALE_AFTER", 0.5)
    training(name, lambda: None)
    assert slots(name) == 0


def test_two_that_were_retried_do_not_take_each_other_for_the_holder_of_a_forgotten_slot(
    prefect_api: str, deployed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each carries the note of its earlier attempt."""
    monkeypatch.setattr(concurrency, "LOOK", 0.1)
    monkeypatch.setattr(concurrency, "STALE_AFTER", 0.5)
    name = f"retried {uuid4().hex}"
    both = threading.Barrier(2)

    @flow
    def retried() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(
                UUID(str(concurrency.flow_run.id)),
                {names.LABEL_TURN: limit_name(name), names.LABEL_LEASE: str(uuid4())},
            )
        both.wait(120)
        with turn(name):
            pass

    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(
            GlobalConcurrencyLimitCreate(name=limit_name(name), limit=1, active_slots=1)
        )
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(copy_context().run, retried) for _ in range(2)]
    for job in jobs:
        job.result(0)
    assert slots(name) == 0


def test_the_holder_is_found_however_many_flow_runs_live(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server tells 200 at once; here, one."""
    monkeypatch.setattr(concurrency, "PAGE", 1)

    @flow
    def lives() -> None:
        """For the state of being alive alone."""

    with get_client(sync_client=True) as client:
        alive = [client.create_flow_run(lives, state=Running()) for _ in range(3)]
        try:
            for run in alive:
                client.update_flow_run_labels(run.id, {names.LABEL_TURN: f"train {run.id}"})
            assert all(concurrency._is_held(client, f"train {run.id}", uuid4()) for run in alive)
            assert not concurrency._is_held(client, f"train {alive[0].id}", alive[0].id), (
                "its own note counts for nothing"
            )
        finally:
            for run in alive:
                client.delete_flow_run(run.id)


def test_trainings_by_hand_take_no_turns(prefect_api: str) -> None:
    name = f"by hand {uuid4().hex}"
    training(name, lambda: None)
    with get_client(sync_client=True) as client:
        assert limit_name(name) not in [
            limit.name for limit in client.read_global_concurrency_limits(limit=200)
        ]


def test_a_name_that_prefect_refuses_is_mended() -> None:
    assert limit_name("a&b <c>") == "train a_b _c_"
