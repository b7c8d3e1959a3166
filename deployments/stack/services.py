"""What the stack is made of: each service's command, environment and health address."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deployments.stack.accounts import accounts, configuration, configuration_file
from deployments.worker import HOME as HOME
from deployments.worker import command as command_of_worker
from deployments.worker import environment as environment_of_worker
from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import OF_OTHER_STORES, TELEMETRY_OFF
from settings.profile import PrefectProfile
from settings.servers import Servers, mlflow_file, prefect_file

LOOPBACK = ("127.0.0.1", "localhost")
PREFECT_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
WORKER = "stack"  # its name in Prefect's UI
LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
# seconds that each may take to end; in the order of starting
TIMEOUTS = {"prefect": 10.0, "mlflow": 10.0, "worker": 30.0}
# the variable that names its address, and the path in it
ADDRESS = {"prefect": ("PREFECT_API_URL", "/api"), "mlflow": ("MLFLOW_TRACKING_URI", "")}
# variables with which the MLflow server reaches its object store
OF_THE_STORE = ("AWS_", "MLFLOW_S3_")


@dataclass(frozen=True)
class Service:
    """A process of the stack."""

    name: str
    command: tuple[str, ...]
    # variables that it gets besides those of this process; credentials too
    ours: Mapping[str, str] = field(repr=False)
    address: str = ""  # what a person opens
    health: str = ""  # answers 200 when the service works
    files: Mapping[Path, str] = field(default_factory=dict)  # written before it starts
    keeps: str = ""  # where its data is, for a person; no secret
    # as the command found them
    theirs: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """Return all its variables."""
        return {**self.theirs, **TELEMETRY_OFF, **self.ours}

    @property
    def place(self) -> tuple[str, int]:
        """Return host and port of a server."""
        parts = urlsplit(self.address)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def prefect_server(profile: PrefectProfile, servers: Servers, state: Path) -> Service:
    """Return Prefect's API, its scheduler and its UI."""
    api = _here("PREFECT_API_URL", "/api", profile.prefect_api_url, servers)
    address = api.removesuffix("/api")
    environment = {
        "PREFECT_HOME": str(prefect_file(state).parent),
        "PREFECT_UI_API_URL": api,  # the pages ask port 4200 otherwise, wherever the server listens
        # in memory, the default, a restart forgets who holds the slots of concurrency limits
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE,
    }
    database = servers.prefect_database.get_secret_value() if servers.prefect_database else None
    if database is not None:
        environment[PREFECT_DATABASE] = database
    place = redact(database or str(prefect_file(state)))
    keeps = f"data in {place}{_unless(database, PREFECT_DATABASE)}"
    _need_a_password(profile, servers)
    if profile.prefect_api_auth_string is not None:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = (
            profile.prefect_api_auth_string.get_secret_value()
        )
    command = ("prefect", "server", "start", "--host", servers.bind, "--port", _port(address))
    return Service("prefect", _python(*command), environment, address, f"{api}/health", keeps=keeps)


def _need_a_password(profile: PrefectProfile, servers: Servers) -> None:
    """Require a password where others reach Prefect: they could deploy any code to the worker.

    Raises: Mistakes.
    """
    if servers.prefect_auth not in (None, profile.prefect_api_auth_string):
        message = (
            "is what the server gets from PREFECT_API_AUTH_STRING, as clients and worker do; "
            "set that one"
        )
        raise Mistakes([Mistake("PREFECT_SERVER_API_AUTH_STRING", message)])
    if servers.bind not in LOOPBACK and profile.prefect_api_auth_string is None:
        message = (
            f"is missing: ONERUN_BIND={servers.bind} lets others in, and without it they run here "
            "what they like"
        )
        raise Mistakes([Mistake("PREFECT_API_AUTH_STRING", message)])


def mlflow_server(profile: PrefectProfile, servers: Servers, state: Path) -> Service:
    """Return MLflow's API and UI; it keeps the artifacts: clients need no object store's keys."""
    address = _here("MLFLOW_TRACKING_URI", "", profile.tracking_uri, servers)
    database = (
        servers.mlflow_database.get_secret_value()
        if servers.mlflow_database
        else f"sqlite:///{mlflow_file(state)}"
    )
    artifacts = servers.mlflow_artifacts or str(state / "artifacts")
    checksums = OF_OTHER_STORES if profile.s3_endpoint_url else {}
    environment = {
        **{
            name: value
            for name, value in profile.variables().items()
            if name.startswith(OF_THE_STORE)
        },
        # the environment goes first
        **{name: os.environ.get(name, value) for name, value in checksums.items()},
        # not on the command line, which everybody on the machine can read
        "MLFLOW_BACKEND_STORE_URI": database,
        # eight processes and 0.9 GB for what is not used here
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    named = f"{urlsplit(address).hostname}:{_port(address)}"
    # any port: a proxy on this machine has another
    hosts = ",".join([named, "127.0.0.1:*", "localhost:*"])
    command = [
        *("mlflow", "server", "--host", servers.bind, "--port", _port(address), "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", artifacts, "--allowed-hosts", hosts),
    ]
    files: dict[Path, str] = {}
    if profile.tracking_username or profile.tracking_password:
        command += ["--app-name", "basic-auth"]
        environment |= accounts(profile, servers, state)
        files[configuration_file(state)] = configuration(state)
    store_note = _unless(servers.mlflow_database, "MLFLOW_BACKEND_STORE_URI")
    files_note = _unless(servers.mlflow_artifacts, "MLFLOW_ARTIFACTS_DESTINATION")
    return Service(
        name="mlflow",
        command=_python(*command),
        ours=environment,
        address=address,
        health=f"{address}/health",
        files=files,
        keeps=(
            f"runs in {redact(database)}{store_note}, artifacts in {redact(artifacts)}{files_note}"
        ),
    )


def worker(profile: PrefectProfile, servers: Servers, state: Path, pool: str) -> Service:
    """Return the worker: it runs each flow run in a process that inherits its environment."""
    ours = {**environment_of_worker(profile), "PREFECT_HOME": str(prefect_file(state).parent)}
    line = command_of_worker(pool, WORKER, servers.worker_limit)
    return Service("worker", tuple(line), ours)


def _unless(given: object, variable: str) -> str:
    """Return a note where a variable is not set: the data goes to the default place then."""
    return "" if given else f" ({variable} is not set)"


def _python(*module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *module)


def _port(address: str) -> str:
    parts = urlsplit(address)
    return str(parts.port or (443 if parts.scheme == "https" else 80))


def _here(variable: str, path: str, address: str | None, servers: Servers) -> str:
    """Return the address of a server to start here. Raises: Mistakes when that is not possible."""
    parts = urlsplit(address or "")
    host = parts.hostname
    if not address or not address.startswith("http://") or host is None:
        raise Mistakes(
            [Mistake(variable, "names no server to start; expected such as http://127.0.0.1:5000")]
        )
    if "@" in parts.netloc:
        message = (
            "holds credentials, which processes on this machine could read; set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or PREFECT_API_AUTH_STRING"
        )
        raise Mistakes([Mistake(variable, message)])
    if parts.path.rstrip("/") != path or parts.query or parts.fragment:
        message = (
            f"a server is started at the root of its port; expected http://{parts.netloc}{path}"
        )
        raise Mistakes([Mistake(variable, message)])
    if ":" in host:
        message = f"{host} is IPv6, which the servers here do not listen on; set 127.0.0.1"
        raise Mistakes([Mistake(variable, message)])
    if host not in LOOPBACK and servers.bind in LOOPBACK:
        message = (
            f"{host} is not this machine's loopback; set ONERUN_BIND=0.0.0.0 to let others reach "
            "the stack"
        )
        raise Mistakes([Mistake(variable, message)])
    return address.rstrip("/")
