"""What the stack is made of: for each service its command, its environment, and how to tell that it works."""

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


PATIENCE = {
    "prefect": 10.0,
    "mlflow": 10.0,
    "worker": 30.0,
}  # seconds that each may take to end; in order of starting
ADDRESS = {
    "prefect": ("PREFECT_API_URL", "/api"),
    "mlflow": ("MLFLOW_TRACKING_URI", ""),
}  # which variable names it
OF_THE_STORE = (
    "AWS_",
    "MLFLOW_S3_",
)  # variables with which the MLflow server reaches its object store


@dataclass(frozen=True)
class Service:
    """A process of the stack."""

    name: str
    command: tuple[str, ...]
    ours: Mapping[str, str] = field(
        repr=False
    )  # variables that it gets besides those of this process; credentials too
    address: str = ""  # what a person opens
    health: str = ""  # answers 200 when the service works
    files: Mapping[Path, str] = field(default_factory=dict)  # written before it starts
    keeps: str = ""  # where its data is, for a person; no secret
    theirs: Mapping[str, str] = field(
        default_factory=lambda: dict(os.environ), repr=False
    )  # as the command found them

    @property
    def environment(self) -> dict[str, str]:
        """All its variables."""
        return {**self.theirs, **TELEMETRY_OFF, **self.ours}

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of a server."""
        parts = urlsplit(self.address)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def prefect_server(profile: PrefectProfile, servers: Servers, state: Path) -> Service:
    """Prefect's API, its scheduler and its UI."""
    api = _here("PREFECT_API_URL", "/api", profile.prefect_api_url, servers)
    address = api.removesuffix("/api")
    environment = {
        "PREFECT_HOME": str(prefect_file(state).parent),
        "PREFECT_UI_API_URL": api,  # the pages ask port 4200 otherwise, wherever the server listens
        # in memory, which is the default, a restart forgets who holds the slots of concurrency limits
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    database = servers.prefect_database.get_secret_value() if servers.prefect_database else None
    if database is not None:
        environment[PREFECT_DATABASE] = database
    keeps = f"data in {redact(database or str(prefect_file(state)))}" + _unless(
        database, PREFECT_DATABASE
    )
    _need_a_password(profile, servers)
    if profile.prefect_api_auth_string is not None:
        environment["PREFECT_SERVER_API_AUTH_STRING"] = (
            profile.prefect_api_auth_string.get_secret_value()
        )
    command = ("prefect", "server", "start", "--host", servers.bind, "--port", _port(address))
    return Service("prefect", _python(*command), environment, address, f"{api}/health", keeps=keeps)


def _need_a_password(profile: PrefectProfile, servers: Servers) -> None:
    """Whoever reaches a Prefect without one deploys what they like, and the worker runs it. Raises: Mistakes."""
    if servers.prefect_auth not in (None, profile.prefect_api_auth_string):
        says = "is what the server gets from PREFECT_API_AUTH_STRING, as clients and worker do; set that one"
        raise Mistakes([Mistake("PREFECT_SERVER_API_AUTH_STRING", says)])
    if servers.bind not in LOOPBACK and profile.prefect_api_auth_string is None:
        says = f"is missing: ONERUN_BIND={servers.bind} lets others in, and without it they run here what they like"
        raise Mistakes([Mistake("PREFECT_API_AUTH_STRING", says)])


def mlflow_server(profile: PrefectProfile, servers: Servers, state: Path) -> Service:
    """MLflow's API and UI; it keeps the artifacts, so that clients need no keys of the object store."""
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
        **{
            name: os.environ.get(name, value) for name, value in checksums.items()
        },  # only where nobody said otherwise
        "MLFLOW_BACKEND_STORE_URI": database,  # not on the command line, which everybody on the machine can read
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes and 0.9 GB for what is not used here
    }
    named = f"{urlsplit(address).hostname}:{_port(address)}"
    hosts = ",".join(
        [named, "127.0.0.1:*", "localhost:*"]
    )  # any port: a proxy on this machine has another
    command = [
        *("mlflow", "server", "--host", servers.bind, "--port", _port(address), "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", artifacts, "--allowed-hosts", hosts),
    ]
    files: dict[Path, str] = {}
    if profile.tracking_username or profile.tracking_password:
        command += ["--app-name", "basic-auth"]
        environment |= accounts(profile, servers, state)
        files[configuration_file(state)] = configuration(state)
    told = [
        f"runs in {redact(database)}"
        + _unless(servers.mlflow_database, "MLFLOW_BACKEND_STORE_URI"),
        f"artifacts in {redact(artifacts)}"
        + _unless(servers.mlflow_artifacts, "MLFLOW_ARTIFACTS_DESTINATION"),
    ]
    return Service(
        "mlflow",
        _python(*command),
        environment,
        address,
        f"{address}/health",
        files,
        ", ".join(told),
    )


def worker(profile: PrefectProfile, servers: Servers, state: Path, pool: str) -> Service:
    """Takes flow runs from the pool and runs each in a process; they inherit its environment, credentials included."""
    ours = {**environment_of_worker(profile), "PREFECT_HOME": str(prefect_file(state).parent)}
    line = command_of_worker(pool, WORKER, servers.worker_limit)
    return Service("worker", tuple(line), ours)


def _unless(given: object, variable: str) -> str:
    """Where the data goes because nobody said where, that is said: two words in .env less, and it is another place."""
    return "" if given else f" ({variable} is not set)"


def _python(*module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *module)


def _port(address: str) -> str:
    parts = urlsplit(address)
    return str(parts.port or (443 if parts.scheme == "https" else 80))


def _here(variable: str, path: str, address: str | None, servers: Servers) -> str:
    """Return the address of a server to start on this machine. Raises: Mistakes when none can be started there."""
    parts = urlsplit(address or "")
    host = parts.hostname
    if not address or not address.startswith("http://") or host is None:
        raise Mistakes(
            [Mistake(variable, "names no server to start; expected such as http://127.0.0.1:5000")]
        )
    if "@" in parts.netloc:
        says = "holds credentials, which processes on this machine could read; set MLFLOW_TRACKING_USERNAME and "
        raise Mistakes(
            [Mistake(variable, f"{says}MLFLOW_TRACKING_PASSWORD, or PREFECT_API_AUTH_STRING")]
        )
    if parts.path.rstrip("/") != path or parts.query or parts.fragment:
        says = f"a server is started at the root of its port; expected http://{parts.netloc}{path}"
        raise Mistakes([Mistake(variable, says)])
    if ":" in host:
        raise Mistakes(
            [
                Mistake(
                    variable,
                    f"{host} is IPv6, which the servers here do not listen on; set 127.0.0.1",
                )
            ]
        )
    if host not in LOOPBACK and servers.bind in LOOPBACK:
        says = f"{host} is not this machine's loopback; set ONERUN_BIND=0.0.0.0 to let others reach the stack"
        raise Mistakes([Mistake(variable, says)])
    return address.rstrip("/")
