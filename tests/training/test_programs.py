"""Programs: how they end becomes an error in words, and nothing of theirs outlives the call."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onerun.domain.errors import TrainingFailed, TrainingKilled
from onerun.processes import program
from tests.processes import alive


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def soon_gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_output_streams_line_by_line_while_it_runs(caplog, tmp_path):
    caplog.set_level(logging.INFO, "onerun.program")
    seen = tmp_path / "seen"
    code = (
        "import pathlib, sys, time\n"
        "print('line 0', flush=True)\n"
        "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\n"
        "print('line 1', flush=True)\nprint('oops', file=sys.stderr)"
    )

    class Tell(logging.Handler):
        def emit(self, _record):
            seen.touch()

    logger, tell = logging.getLogger("onerun.program"), Tell()
    logger.addHandler(tell)
    try:
        program.run([*python(code), str(seen)], os.environ, timeout=60)
    finally:
        logger.removeHandler(tell)
    assert caplog.messages == ["line 0", "line 1", "oops"]


def test_an_exit_code_is_a_failure_with_the_last_lines():
    code = "import sys\nfor i in range(100): print('line', i)\nsys.exit(3)"
    with pytest.raises(TrainingFailed, match="exited with 3; last lines:\n") as raised:
        program.run(python(code), os.environ)
    assert "line 99" in str(raised.value) and "line 79" not in str(raised.value)
    assert not raised.value.retryable


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
def test_a_signal_is_named(name):
    with pytest.raises(TrainingKilled, match=name) as raised:
        program.run(python(f"import os, signal; os.kill(os.getpid(), signal.{name})"), os.environ)
    assert ("memory" in str(raised.value)) == (name == "SIGKILL")
    assert raised.value.retryable


def test_a_shell_that_reports_a_kill_is_understood():
    with pytest.raises(TrainingKilled, match="SIGKILL"):
        program.run(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], os.environ)


def test_a_program_that_is_not_there():
    with pytest.raises(TrainingFailed, match=r"cannot start 'pyhton': No such file"):
        program.run(["pyhton", "x.py"], os.environ)


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", ignore])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(300)
"""


def test_a_time_out_ends_the_whole_group_even_if_it_will_not(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "GRACE", 0.5)
    with pytest.raises(TrainingKilled, match="stopped after 2 seconds"):
        program.run([*python(STUBBORN), str(tmp_path / "pids")], os.environ, timeout=2)
    assert all(soon_gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_what_a_finished_program_leaves_in_the_background_ends_too(tmp_path):
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid, file=open(sys.argv[1], 'w'))"
    started = time.monotonic()
    program.run([*python(code), str(tmp_path / "pid")], os.environ)
    assert time.monotonic() - started < 5
    assert soon_gone(int((tmp_path / "pid").read_text()))


UNBURIED = """
import ctypes, os, sys, time
from onerun.processes import program
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans are ours, and we never ask how they ended
code = "import subprocess, sys; print(subprocess.Popen(['sleep', '300']).pid, file=open(sys.argv[1], 'w'))"
begun = time.monotonic()
program.run([sys.executable, "-c", code, sys.argv[1]], os.environ)
print(time.monotonic() - begun < program.GRACE)
"""


def test_what_nobody_buries_is_not_waited_for(tmp_path):
    """As in a container whose first process is no init."""
    ran = subprocess.run(
        [sys.executable, "-c", UNBURIED, str(tmp_path / "pid")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.stdout == "True\n", ran.stderr


PARENT = """
import os, signal, sys
from onerun.processes import program
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has its children ignore it
if sys.argv[2] == "SIGTERM":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
program.run([sys.executable, "-c", sys.argv[1], sys.argv[3]], os.environ)
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_whatever_ends_the_caller_ends_the_group(tmp_path, name):
    pids = tmp_path / "pids"
    command = [sys.executable, "-c", PARENT, STUBBORN, name, str(pids)]
    parent = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while not (pids.exists() and pids.read_text().count(" ")) and time.monotonic() < end:
        time.sleep(0.05)
    parent.send_signal(getattr(signal, name))
    assert all(soon_gone(int(pid), 12) for pid in pids.read_text().split())
    parent.wait(10)


def test_floods_and_endless_lines_are_bounded(caplog, monkeypatch):
    monkeypatch.setattr(
        "onerun.processes.output.A_SECOND", 0
    )  # what a slow machine has time for is no flood
    caplog.set_level(logging.INFO, "onerun.program")
    code = "for i in range(50_000): print('flood', i)\nprint('x' * 3_000_000)\nfor i in range(9): print(f'\\r{i}', end='')"
    program.run(python(code), os.environ)
    assert len(caplog.messages) < 2500
    assert any("lines left out" in message for message in caplog.messages)
    assert max(map(len, caplog.messages)) < 3000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t-s3cr3t"),
        ("PREFECT_API_AUTH_STRING", "admin:s3cr3t-s3cr3t"),
        ("MLFLOW_TRACKING_URI", "https://admin:s3cr3t-s3cr3t@example.org"),
        ("DATABASE", "s3cr3t-s3cr3t"),  # a recipe's data.source says ${DATABASE}
    ],
)
def test_secrets_of_the_environment_are_not_repeated(caplog, name, value):
    caplog.set_level(logging.INFO, "onerun.program")
    code = f"import os, sys; print(os.environ['{name}'], os.environ['{name}'].rpartition(':')[2]); sys.exit(1)"
    with pytest.raises(TrainingFailed) as raised:
        program.run(python(code), {**os.environ, name: value}, secret=["DATABASE"])
    assert "s3cr3t" not in str(raised.value) + caplog.text


def test_conflicting_parameters_have_one_tag_in_the_library_and_in_an_attached_program() -> None:
    """The attachment may import nothing but the standard library: it writes the format by hand."""
    from onerun.domain import names

    attach = Path(__file__).parents[2] / "onerun" / "training" / "attach" / "sitecustomize.py"
    assert f'f"{names.TAG_CONFLICT}"' in attach.read_text()
