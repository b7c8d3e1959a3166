"""What an MLflow server that asks for a password costs a training, with and without `auth_cache_ttl_seconds`.

    python -m benchmarks.password [TRAININGS]

A training each (`onerun train diabetes`) in turns, against servers whose settings differ in that line alone; the first
pair warms both up and is not counted. Needs mlflow[auth]. Medians of 3 unless said otherwise.
"""

import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.jobs import QUIET, ROOT
from benchmarks.meter import descendants
from deployments.stack.accounts import configuration

CACHED = "auth_cache_ttl_seconds = 60\n"
USER, PASSWORD = "owner", secrets.token_hex()
TICKS = os.sysconf("SC_CLK_TCK")


def main(trainings: int = 3) -> int:
    """Measure and print. Return 0."""
    with tempfile.TemporaryDirectory(prefix="onerun-password-") as temporary:
        folders = {name: Path(temporary) / name for name in ("without", "with")}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in folders}
        with (
            server(folders["without"], cached=False) as one,
            server(folders["with"], cached=True) as two,
        ):
            for _ in range(trainings + 1):
                for (name, folder), (pid, uri) in zip(folders.items(), (one, two), strict=True):
                    found[name].append(train(folder, pid, uri))
    print("| `auth_cache_ttl_seconds` | training, wall s | server, CPU s |\n|---|---|---|")
    for name, label in (("without", "not set"), ("with", "60")):
        wall, cpu = (statistics.median(each) for each in zip(*found[name][1:], strict=True))
        print(f"| {label} | {wall:.1f} | {cpu:.1f} |")
    return 0


@contextmanager
def server(folder: Path, cached: bool) -> Iterator[tuple[int, str]]:
    """Yield process id and address of an MLflow server with accounts, as `make up` starts it."""
    folder.mkdir()
    text = configuration(folder)
    assert CACHED in text
    (folder / "accounts.ini").write_text(text if cached else text.replace(CACHED, ""))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--app-name", "basic-auth", "--serve-artifacts"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    environment = {
        **os.environ,
        **QUIET,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "accounts.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": USER,
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process)
        yield process.pid, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def train(folder: Path, server_pid: int, uri: str) -> tuple[float, float]:
    """Train once. Return seconds of wall of the training, and of CPU of the server meanwhile."""
    environment = {
        **os.environ,
        **QUIET,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": PASSWORD,
    }
    command = [sys.executable, "-m", "onerun", "train", str(ROOT / "recipes" / "diabetes.yaml")]
    before, started = _cpu(server_pid), time.perf_counter()
    subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started, _cpu(server_pid) - before


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server ended with exit code {process.returncode}")


def _cpu(pid: int) -> float:
    """Return the seconds of CPU that the process and all below it have used."""
    total = 0
    for each in (pid, *descendants(pid)):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
