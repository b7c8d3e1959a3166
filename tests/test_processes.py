"""Real processes: alive, killed, with a number used again, in another namespace, of another boot."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onerun.domain.reconcile.seen import Process, ProcessState
from onerun.processes.identity import state_of, this_process

ROOT = Path(__file__).parents[1]
TELL = "from onerun.processes.identity import this_process; print(this_process().model_dump_json(), flush=True); input()"
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[str]"]:
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", TELL], cwd=ROOT, text=True, **pipe)  # type: ignore[call-overload]
    yield process
    process.kill()
    process.communicate()


def told(process: "subprocess.Popen[str]") -> Process:
    assert process.stdout is not None
    return Process.model_validate_json(process.stdout.readline())


def test_alive_then_killed_then_waited_for(child: "subprocess.Popen[str]") -> None:
    known = told(child)
    assert known.pid == child.pid and state_of(known) is ProcessState.ALIVE
    child.kill()
    while state_of(known) is ProcessState.ALIVE:  # the signal is on its way
        pass
    assert state_of(known) is ProcessState.MISSING, "a zombie is dead"
    child.wait()
    assert state_of(known) is ProcessState.MISSING


def test_who_uses_a_number_again_is_another_one() -> None:
    me = this_process()
    assert state_of(me) is ProcessState.ALIVE
    assert state_of(me.model_copy(update={"start": me.start - 1})) is ProcessState.REUSED


def test_a_process_of_another_user_is_seen() -> None:
    first = this_process().model_copy(update={"pid": 1})
    assert state_of(first) in (ProcessState.REUSED, ProcessState.ALIVE)


def test_containers_and_other_machines_cannot_be_looked_into() -> None:
    me = this_process()
    now, long_ago = datetime.now(UTC), datetime(2001, 1, 1, tzinfo=UTC)
    other = me.model_copy(update={"namespace": "pid:[1]"})
    assert state_of(other, long_ago) is ProcessState.ELSEWHERE
    for changed in ({"host": "other"}, {"machine": "other"}, {"machine": ""}, {"contained": True}):
        assert (
            state_of(me.model_copy(update={"boot": "other", **changed}), long_ago)
            is ProcessState.ELSEWHERE
        )
    alive_since = me.model_copy(update={"boot": "other"})
    assert state_of(alive_since, now) is ProcessState.ELSEWHERE, (
        "it lived after this machine had started: it is another"
    )
    assert state_of(alive_since, None) is ProcessState.ELSEWHERE


def test_after_a_reboot_everything_from_before_is_dead() -> None:
    me = this_process()
    if me.contained or not me.machine:
        pytest.skip("in a container nothing can be said of a boot before")
    before = datetime.now(UTC) - timedelta(days=20000)
    assert state_of(me.model_copy(update={"boot": "other"}), before) is ProcessState.REBOOTED


@pytest.mark.parametrize("missing", [{"boot": ""}, {"namespace": ""}, {"start": 0}])
def test_where_a_system_tells_too_little_nothing_is_known(missing: dict[str, object]) -> None:
    assert state_of(this_process().model_copy(update=missing)) is ProcessState.UNKNOWN
    assert state_of(None) is ProcessState.UNKNOWN


def test_a_real_container_is_elsewhere() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", TELL]
    try:
        done = subprocess.run(
            command, cwd=ROOT, input="\n", capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode:
        pytest.skip(f"no rights to make a pid namespace: {done.stderr[-100:]}")
    inside = Process.model_validate_json(done.stdout.splitlines()[0])
    assert (inside.pid, inside.contained, inside.boot) == (1, True, this_process().boot)
    assert state_of(inside) is ProcessState.ELSEWHERE
