"""Real servers for tests, on free loopback ports, in temporary folders, ended with their test session.

Each is skipped with its reason where its program is not installed.
"""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[1]
S3_TOOL = ROOT / ".." / "shared" / "tools" / "s3" / "s3"
# An S3 server that somebody names, read before tests/conftest.py clears the environment. Processes of pytest-xdist
# would meet in one server, where their buckets have the same names: there each starts its own.
S3_VARIABLES = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
S3_GIVEN = [value for name in S3_VARIABLES if (value := os.environ.get(name))]
S3_IS_GIVEN = len(S3_GIVEN) == len(S3_VARIABLES) and "PYTEST_XDIST_WORKER" not in os.environ
S3_KEY, S3_SECRET = S3_GIVEN[1:] if S3_IS_GIVEN else ("a-key-for-tests", "a-secret-for-tests")
GIVEN: set[int] = set()  # ports
POSTGRES_USER, POSTGRES_PASSWORD = "me", "pg-password"


def free_port() -> int:
    """Returns: a port that nobody listens on, and that neither the system nor another process of the tests gives away.

    Below 32768, where the system's own begin; a slice for each process of pytest-xdist.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    begin = 20_000 + 1_200 * (worker % 10)
    for port in random.sample(range(begin, begin + 1_200), 200):
        with socket.socket() as probe, suppress(OSError):
            if port not in GIVEN:
                probe.bind(("127.0.0.1", port))
                GIVEN.add(port)
                return port
    raise RuntimeError(f"no free port from {begin} to {begin + 1_199}")


def wait_for(url: str, process: "subprocess.Popen[bytes]", seconds: float = 600) -> None:
    """Waits until `url` answers. Raises: RuntimeError when the server ended or does not come up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer (exit code {process.poll()})")


def asked(method: str, url: str, **more: Any) -> httpx.Response:
    """Asks a server of Prefect's as its own clients do: again when it answers that its SQLite file was locked."""
    for _ in range(30):
        answer = httpx.request(method, url, timeout=60, **more)
        if answer.status_code != 503:
            break
        time.sleep(1)
    return answer


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """Yields: the endpoint of a real S3 server (keys S3_KEY, S3_SECRET) without buckets."""
    if S3_IS_GIVEN:
        yield _without_buckets(S3_GIVEN[0])
        return
    if not S3_TOOL.exists() or shutil.which("radosgw") is None:
        pytest.skip(
            "no S3 server here (needs the s3 tool beside the repository, and ceph-mon, ceph-osd, radosgw)"
        )
    port = free_port()
    started = subprocess.run(
        [S3_TOOL, "up", folder, str(port), S3_KEY, S3_SECRET], capture_output=True, timeout=120
    )
    if started.returncode:
        pytest.skip(f"the S3 server does not start: {started.stderr.decode()[-300:]}")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:  # on SIGTERM its three processes wait for one another, now and then for ever; all they have is in memory
        for started_by_it in (folder / "run").glob("*.p"):
            with suppress(ProcessLookupError):
                os.kill(int(started_by_it.read_text()), signal.SIGKILL)


def _without_buckets(endpoint: str) -> str:
    """Returns: the endpoint. Skips where it holds something: tests never touch what is somebody's."""
    import minio

    if not endpoint.startswith("http://"):
        pytest.skip(
            f"{S3_VARIABLES[0]}={endpoint}: tests take an http:// address; they bring the TLS themselves"
        )
    endpoint = endpoint.rstrip("/")
    endpoint = endpoint.rstrip("/")
    held = minio.Minio(
        endpoint.removeprefix("http://"), S3_KEY, S3_SECRET, secure=False
    ).list_buckets()
    if held:
        says = f"{endpoint} holds buckets ({held[0].name}, ...)"
        pytest.skip(f"{says}; tests take an empty S3 server, and leave theirs there")
    return endpoint


@contextmanager
def postgres() -> Iterator[str]:
    """Yields: host:port of a PostgreSQL server whose superuser POSTGRES_USER has POSTGRES_PASSWORD."""
    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not tools or (
        os.geteuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}
    ):
        pytest.skip("PostgreSQL's server is not installed")
    folder = Path(
        tempfile.mkdtemp(prefix="onerun-pg-", dir="/tmp")
    )  # a socket's path must be short
    account = {"user": "postgres"} if os.geteuid() == 0 else {}
    if account:
        os.chown(folder, pwd.getpwnam("postgres").pw_uid, -1)
    (folder / "password").write_text(POSTGRES_PASSWORD)
    (folder / "password").chmod(0o644)
    port = free_port()
    run = {"cwd": folder, "check": True, "capture_output": True, **account}
    make = [
        tools[-1] / "initdb",
        "-D",
        "d",
        "-U",
        POSTGRES_USER,
        "-A",
        "scram-sha-256",
        "--pwfile=password",
    ]
    subprocess.run([*make, "-E", "UTF8"], **run)  # type: ignore[call-overload]
    options = (
        f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200"
    )
    command = [tools[-1] / "pg_ctl", "-D", "d", "-w", "-l", "log", "-o", options, "start"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, **account)  # type: ignore[call-overload]
    try:
        yield f"127.0.0.1:{port}"
    finally:
        subprocess.run([tools[-1] / "pg_ctl", "-D", "d", "-m", "immediate", "stop"], **run)  # type: ignore[call-overload]
        shutil.rmtree(folder)


class MlflowServer:
    """A real `mlflow server` that can be stopped and started again at the same port."""

    def __init__(
        self, folder: Path, backend: str, artifacts: str, environment: Mapping[str, str] = {}
    ) -> None:
        """`backend`: a store URI; `artifacts`: a folder or s3:// address that the server's proxy writes to."""
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._command = [
            *(
                sys.executable,
                "-m",
                "mlflow",
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
            ),
            *(
                "--backend-store-uri",
                backend,
                "--artifacts-destination",
                artifacts,
                "--workers",
                "1",
            ),
        ]
        self._environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = (self.folder / "mlflow-server.log").open("ab")
        self._process = subprocess.Popen(
            self._command,
            cwd=self.folder,
            env=self._environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        wait_for(f"{self.uri}/health", self._process)

    def signal(self, number: int) -> None:
        """Send a signal to the server and its workers: SIGSTOP makes it hang."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Kill it, workers included: what a power cut does."""
        if self._process is not None and self._process.poll() is None:
            self.signal(9)
            self._process.wait()


@contextmanager
def mlflow_server(
    folder: Path,
    backend: str | None = None,
    artifacts: str | None = None,
    environment: Mapping[str, str] = {},
) -> Iterator[MlflowServer]:
    """Yields: a running MLflow server; by default on SQLite and a local folder below `folder`."""
    server = MlflowServer(
        folder,
        backend or f"sqlite:///{folder}/server.db",
        artifacts or str(folder / "server-artifacts"),
        environment,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


class PrefectServer:
    """A real Prefect server without its pages; it can be stopped and started again at the same port and database."""

    def __init__(self, home: Path) -> None:
        port = free_port()
        self.api_url = f"http://127.0.0.1:{port}/api"
        self._command = [
            *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error"),
        ]
        self._environment = {**os.environ, "PREFECT_HOME": str(home), "PREFECT_UI_ENABLED": "0"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, env=self._environment, start_new_session=True
        )
        wait_for(f"{self.api_url}/health", self._process)

    def stop(self) -> None:
        """Kill it: what a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@contextmanager
def prefect_server(home: Path) -> Iterator[PrefectServer]:
    """Yields: a running Prefect server whose database is in `home`."""
    server = PrefectServer(home)
    server.start()
    try:
        yield server
    finally:
        server.stop()
