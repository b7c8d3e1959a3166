"""Processes that outlive their command: found by id and start time, ended only when they are ours."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deployments.stack.processes import Processes, children, start_time

SLEEPS = (sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)",
)
CHILD = """
import signal, sys, time
def end(*_):
    open(sys.argv[1], "w").write("asked")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + ".ready", "w").close()
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
child.wait()
open(sys.argv[2] + ".parent-was-told", "w").close()
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    return Processes(tmp_path / "state")


def until(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists()


def test_it_is_found_again_and_ended_and_its_log_stays(
    processes: Processes, tmp_path: Path
) -> None:
    started = processes.start("server", SLEEPS, os.environ, tmp_path)
    again = Processes(processes.folder)  # as another command sees it
    assert again.find("server") == started and started.command == SLEEPS
    while not again.last_lines("server", 5):
        time.sleep(0.02)
    assert again.end("server", timeout=10)
    assert not started.lives and again.find("server") is None
    assert again.last_lines("server", 5) == ["here"]
    assert not again.end("server", timeout=10), "it is ended once"


def test_one_that_does_not_listen_is_killed(processes: Processes, tmp_path: Path) -> None:
    started = processes.start("server", STUBBORN, os.environ, tmp_path)
    assert processes.end("server", timeout=0.5)
    assert not started.lives


def test_somebody_elses_process_with_the_same_id_is_left_alone(
    processes: Processes, tmp_path: Path
) -> None:
    other = subprocess.Popen(SLEEPS, stdout=subprocess.DEVNULL)
    try:
        processes.folder.mkdir(parents=True)
        record = {"pid": other.pid, "since": "another time", "command": list(SLEEPS)}
        (processes.folder / "server.json").write_text(json.dumps(record))
        assert processes.find("server") is None
        assert not processes.end("server", timeout=1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_dead_one_and_a_zombie_are_not_there(processes: Processes, tmp_path: Path) -> None:
    waits = (
        "import pathlib, sys, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)"
    )
    started = processes.start(
        "server", (sys.executable, "-c", waits, str(tmp_path / "end")), os.environ, tmp_path
    )
    (
        tmp_path / "end"
    ).touch()  # not before: a Popen that nobody refers to any more buries a child that has ended
    os.waitid(
        os.P_PID, started.pid, os.WEXITED | os.WNOWAIT
    )  # ended, and still in the system's table
    assert start_time(started.pid) is None
    assert processes.find("server") is None


def test_children_are_asked_before_their_parent(processes: Processes, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    started = processes.start(
        "worker", (sys.executable, "-c", PARENT, CHILD, str(mark)), os.environ, tmp_path
    )
    until(tmp_path / "mark.ready")
    (child,) = children(started.pid)
    assert processes.end("worker", timeout=20)
    assert mark.read_text() == "asked"
    assert start_time(child) is None and not started.lives
    assert not (tmp_path / "mark.parent-was-told").exists(), "held meanwhile, it starts nothing new"


def test_a_worker_goes_on_to_its_end_though_whoever_ends_it_is_interrupted(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stays held lives, takes no flow run, and looks as if it ran."""
    started = processes.start("worker", SLEEPS, os.environ, tmp_path)

    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deployments.stack.processes.end_children", interrupted)
    with pytest.raises(KeyboardInterrupt):
        processes.end("worker", timeout=10)
    deadline = time.monotonic() + 60
    while started.lives and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not started.lives


def test_a_record_that_is_cut_off_is_none(processes: Processes) -> None:
    processes.folder.mkdir(parents=True)
    (processes.folder / "server.json").write_text('{"pid": 1')
    assert processes.find("server") is None
