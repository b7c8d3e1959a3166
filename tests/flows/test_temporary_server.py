"""The temporary server is dependable: slow is not broken, and it never outlives its command."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVING = """
import sys, time, urllib.request
from flows.command_line import temporary_server
temporary_server.REPORT_AFTER = 0.05
server = temporary_server.start()
server.wait(lambda words: print(words, file=sys.stderr))
print(server.api_url, urllib.request.urlopen(server.api_url + "/health").status, flush=True)
sys.stdin.readline()
server.stop()
print(urllib.request.urlopen(server.api_url + "/health").status)
"""
FLOW = """
from flows.command_line import temporary_server
server = temporary_server.start()
from prefect import flow
from prefect.client.orchestration import get_client
@flow
def where():
    with get_client(sync_client=True) as client:
        return str(client.api_url)
server.wait(print)
print(where(), server.api_url)
server.stop()
"""


def started(home: Path, program: str = SERVING) -> "subprocess.Popen[str]":
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(home)}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=variables,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def test_it_says_what_it_waits_for_answers_and_is_gone_after_stop(environment: Path) -> None:
    process = started(environment / ".prefect")
    assert process.stdout is not None
    assert process.stdout.readline().split()[1:] == ["200"]
    _, errors = process.communicate("stop\n", timeout=120)
    assert re.search(
        r"waiting for Prefect's temporary server \(\d+ s; a first start takes longest\)", errors
    )
    assert (
        "ConnectionRefusedError" in errors.splitlines()[-1]
        or "Connection refused" in errors.splitlines()[-1]
    )


def test_a_flow_talks_to_it(environment: Path) -> None:
    process = started(environment / ".prefect", FLOW)
    output, errors = process.communicate(timeout=120)
    asked, api_url = output.split()[-2:]
    assert asked.rstrip("/") == api_url, errors


def test_a_server_that_cannot_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    blocked = tmp_path / "home"
    blocked.write_text("a file where the folder should be")
    _, errors = started(blocked).communicate(timeout=120)
    assert re.search(
        r"(?s)ServerDied: PREFECT_API_URL: .*ended after .*set this variable.*Error", errors
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_process_however_that_ends(environment: Path, how: signal.Signals) -> None:
    process = started(environment / ".prefect")
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[0].split(":")[2].partition("/")[0])
    process.send_signal(how)
    process.communicate(timeout=60)
    assert process.returncode == -how
    deadline = time.monotonic() + 30
    while listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not listening(port)


def listening(port: int) -> bool:
    """Whether somebody takes connections at the port of this machine: the kernel's table, state 0A."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A" for row in table)


@pytest.mark.timeout(900)
def test_four_at_once_on_a_new_database_all_come_up(tmp_path: Path) -> None:
    processes = [started(tmp_path / "prefect") for _ in range(4)]
    results = [process.communicate("stop\n", timeout=280) for process in processes]
    addresses = {output.split()[0] for output, _ in results if " 200" in output}
    assert len(addresses) == 4, [errors for _, errors in results]
