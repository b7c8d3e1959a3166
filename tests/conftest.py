"""One real MLflow store per test session, one experiment per test; nothing of the user's machine is read or written."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import servers

# A busy machine is no bug. The usual suite tries the same examples each time: a commit fails by what it changed. The
# long ones look for new examples.
hypothesis.settings.register_profile("usual", deadline=None, derandomize=True)
hypothesis.settings.register_profile("searching", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # whoever asks no server by mistake shall not start one
}
os.environ.update(QUIET)  # Prefect reads its settings once, when it is imported
SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every test sees the same clean environment: a temporary home, no credentials, no telemetry."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in [
        name for name in os.environ if name.startswith(("MLFLOW_", "AWS_", "PREFECT_", "ONERUN_"))
    ]:
        patch.delenv(name)
    for name, value in QUIET.items():
        patch.setenv(name, value)
    patch.setenv("HOME", str(home))
    patch.setenv("PREFECT_HOME", str(home / ".prefect"))
    yield home
    patch.undo()


@pytest.fixture(autouse=True)
def variables_restored(environment: Path) -> Iterator[None]:
    """`Profile.apply` sets variables for good, as a command should; no test sees those of another."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def session_store(environment: Path) -> str:
    """Returns: the tracking URI of one SQLite store for the whole session (making its schema takes seconds)."""
    return f"sqlite:///{environment}/mlflow.db"


@pytest.fixture
def tracking_uri(session_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store, set in the environment as the launcher does; relative artifact folders land in `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", session_store)
    return session_store


@pytest.fixture
def run_id(tracking_uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Returns: a RUNNING run in an experiment of this test's own."""
    from onerun.tracking.runs import client

    mlflow = client()
    experiment = mlflow.create_experiment(
        f"{request.node.nodeid} {tmp_path.name}",
        artifact_location=(tmp_path / "artifacts").as_uri(),
    )
    yield mlflow.create_run(experiment).info.run_id


@pytest.fixture
def california() -> Path:
    """Returns: the California housing table (20,640 rows, 10 columns)."""
    path = SHARED_DATA / "california-housing.csv"
    if not path.exists():
        pytest.skip("the California housing table is not beside the repository")
    return path.resolve()


@pytest.fixture(scope="session")
def prefect_server(environment: Path) -> Iterator[str]:
    """Returns: the API's URL of a real Prefect server with an empty database."""
    from flows.command_line.temporary_server import send_the_rest

    with servers.prefect_server(environment / ".prefect") as server:
        yield server.api_url
        send_the_rest()


@pytest.fixture
def prefect_api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server, set as Prefect's API for this test."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Returns: the endpoint of a real S3 server with the keys servers.S3_KEY and servers.S3_SECRET."""
    with servers.s3(tmp_path_factory.mktemp("s3") / "d") as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Returns: host:port of a real PostgreSQL server; user and password are in `servers`."""
    with servers.postgres() as address:
        yield address


@pytest.fixture(scope="session")
def mlflow_server(
    tmp_path_factory: pytest.TempPathFactory, environment: object
) -> Iterator[servers.MlflowServer]:
    """Returns: a real MLflow server on SQLite that serves its artifacts itself. Whoever stops it starts it again."""
    with servers.mlflow_server(tmp_path_factory.mktemp("mlflow-server")) as server:
        yield server
