"""The temporary server is dependable: slow is not broken, and it never outlives its command."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from flows import temporary_server

WAITING_PARENT = """
import sys, time
from flows import temporary_server
server = temporary_server.start()
print(server.process.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    """A zombie is not alive: in a container nobody may reap it."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


def test_it_answers_and_is_gone_after_stop(environment: Path) -> None:
    server = temporary_server.start()
    server.wait(print)
    with urllib.request.urlopen(f"{server.api_url}/health") as answer:
        assert answer.status == 200
    server.stop()
    assert not alive(server.process.pid)


def test_it_says_what_it_waits_for(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_server, "SAY_AFTER", 0.05)
    said: list[str] = []
    server = temporary_server.start()
    server.wait(said.append)
    server.stop()
    assert said and said[0].startswith("waiting for Prefect's temporary server")


def test_a_server_that_cannot_start_is_told_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "home"
    blocked.write_text("a file where the folder should be")
    monkeypatch.setenv("PREFECT_HOME", str(blocked))
    server = temporary_server.start()
    with pytest.raises(temporary_server.ServerDied, match=r"(?s)PREFECT_API_URL: .*set this variable.*Error"):
        server.wait(print)
    server.stop()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_however_that_ends(environment: Path, how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", WAITING_PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    assert alive(server)
    os.kill(parent.pid, how)
    parent.wait(10)
    parent.stdout.close()
    assert gone_within(server, 10)


def test_four_at_once_on_a_new_database_all_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    with contextlib.ExitStack() as stack:
        servers = [temporary_server.start() for _ in range(4)]
        for server in servers:
            stack.callback(server.stop)
        for server in servers:
            server.wait(print)
        assert len({server.port for server in servers}) == 4
