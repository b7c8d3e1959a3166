"""The heartbeat of a training: on its run while it works, and no beat after its end."""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from onerun.domain import names
from onerun.engine.heartbeat import Heartbeat
from onerun.engine.owner import owned_run
from onerun.tracking.lifecycle import Identity, end_run
from onerun.tracking.runs import client, set_tags


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def tags(run_id: str) -> dict[str, str]:
    found: dict[str, str] = client().get_run(run_id).data.tags
    return found


@pytest.mark.usefixtures("tracking_uri")
def test_p1_a_run_that_was_ended_while_its_owner_lives_has_status_running_again() -> None:
    key = uuid4().hex
    identity = Identity(names.TAG_TRAINING_ID, key)
    with owned_run(f"heartbeat {key[:8]}", identity, "a name", "d", {}) as run:
        heartbeat = Heartbeat(run.run_id, timedelta(seconds=0.05))
        set_tags(run.run_id, {names.TAG_HEARTBEAT: "2001-01-01T00:00:00+00:00"})
        heartbeat.start()
        until(lambda: not tags(run.run_id)[names.TAG_HEARTBEAT].startswith("2001"))
        end_run(run.run_id, "KILLED", "it was taken for dead")
        until(lambda: client().get_run(run.run_id).info.status == "RUNNING")
        heartbeat.stop()
    assert client().get_run(run.run_id).info.status == "FINISHED"
    set_tags(run.run_id, {names.TAG_HEARTBEAT: "-"})
    time.sleep(0.2)
    assert tags(run.run_id)[names.TAG_HEARTBEAT] == "-", "no beat after the end"
    assert "its owner lives" in tags(run.run_id)["onerun.reconciled.withdrawn"]
