"""What the stack would start: where it listens, what it is told, and that no secret stands on a command line."""

import configparser
from pathlib import Path

import pytest

from deployments.stack import services
from deployments.stack.accounts import configuration
from deployments.stack.stack import read_stack
from onerun.config.mistakes import Mistakes
from onerun.config.profile import OF_OTHER_STORES
from settings.profile import PrefectProfile, load_profile
from settings.servers import Servers, load_servers

SECRETS = {
    "PREFECT_API_AUTH_STRING": "admin:prefect-pass",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://me:database-pass@127.0.0.1/prefect",
    "MLFLOW_BACKEND_STORE_URI": "postgresql://me:database-pass@127.0.0.1/mlflow",
    "AWS_ACCESS_KEY_ID": "an-access-key",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key",
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def started(monkeypatch: pytest.MonkeyPatch, **variables: str) -> dict[str, services.Service]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {service.name: service for service in read_stack(None).all}


def test_by_default_everything_is_on_loopback_below_one_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack = started(monkeypatch)
    assert [stack[name].address for name in ("prefect", "mlflow")] == [
        "http://127.0.0.1:4200",
        "http://127.0.0.1:5000",
    ]
    for name in ("prefect", "mlflow"):
        command = stack[name].command
        assert command[command.index("--host") + 1] == "127.0.0.1"
    state = str(tmp_path / ".onerun" / "stack")
    assert stack["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{state}/mlflow.db"
    assert stack["prefect"].environment["PREFECT_HOME"] == f"{state}/prefect"
    assert list(tmp_path.iterdir()) == [], "nothing was made yet"
    assert (
        stack["prefect"].keeps
        == f"data in {state}/prefect/prefect.db (PREFECT_SERVER_DATABASE_CONNECTION_URL is not set)"
    )
    assert "(MLFLOW_BACKEND_STORE_URI is not set), artifacts in" in stack["mlflow"].keeps


def test_ports_are_those_of_the_profile_for_servers_pages_and_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = started(
        monkeypatch,
        PREFECT_API_URL="http://127.0.0.1:4301/api",
        MLFLOW_TRACKING_URI="http://localhost:5101",
    )
    assert stack["prefect"].place == ("127.0.0.1", 4301) and "4301" in stack["prefect"].command
    assert stack["prefect"].environment["PREFECT_UI_API_URL"] == "http://127.0.0.1:4301/api"
    assert stack["mlflow"].place == ("localhost", 5101) and "5101" in stack["mlflow"].command
    for variable, value in (
        ("PREFECT_API_URL", "http://127.0.0.1:4301/api"),
        ("MLFLOW_TRACKING_URI", "http://localhost:5101"),
    ):
        assert stack["worker"].environment[variable] == value


def test_the_profile_may_be_named_in_dot_env(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "tracking_uri: http://127.0.0.1:5123\nprefect_api_url: http://127.0.0.1:4123/api\nwork: there\n"
    )
    (tmp_path / ".env").write_text("ONERUN_PROFILE=./mine.yaml\n")
    stack = read_stack(None)
    assert stack.name == "./mine.yaml" and stack.processes.folder == tmp_path / "there" / "stack"
    assert [service.place[1] for service in stack.servers] == [4123, 5123]
    assert read_stack("stack").servers[0].place[1] == 4200, "what is asked for comes first"


def test_no_secret_stands_on_a_command_line_or_in_what_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = started(monkeypatch, **SECRETS)
    for service in stack.values():
        shown = " ".join(service.command) + repr(service)
        assert not [value for value in SECRETS.values() if value in shown]
        assert "pass" not in shown
        assert "pass" not in service.keeps and "an-access-key" not in service.keeps
    assert stack["prefect"].keeps == "data in postgresql+asyncpg://me:***@127.0.0.1/prefect"
    assert stack["mlflow"].keeps.startswith(
        "runs in postgresql://me:***@127.0.0.1/mlflow, artifacts in /"
    )
    assert stack["mlflow"].keeps.endswith("(MLFLOW_ARTIFACTS_DESTINATION is not set)")
    assert (
        stack["prefect"].environment["PREFECT_SERVER_API_AUTH_STRING"]
        == SECRETS["PREFECT_API_AUTH_STRING"]
    )
    assert (
        stack["worker"].environment["PREFECT_API_AUTH_STRING"] == SECRETS["PREFECT_API_AUTH_STRING"]
    )
    assert stack["mlflow"].environment["AWS_SECRET_ACCESS_KEY"] == SECRETS["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}, "names no server to start"),
        ({"MLFLOW_TRACKING_URI": "http://mlflow.example.org:5000"}, "set ONERUN_BIND=0.0.0.0"),
        ({"PREFECT_API_URL": "http://prefect.example.org:4200/api"}, "set ONERUN_BIND=0.0.0.0"),
        ({"MLFLOW_TRACKING_URI": "http://me:hidden-pass@127.0.0.1:5000"}, "holds credentials"),
        (
            {"PREFECT_API_URL": "http://127.0.0.1:4200/prefect/api"},
            "expected http://127.0.0.1:4200/api",
        ),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/mlflow"}, "expected http://127.0.0.1:5000"),
        ({"MLFLOW_TRACKING_URI": "http://[::1]:5000"}, "is IPv6"),
        (
            {"ONERUN_BIND": "0.0.0.0"},
            "PREFECT_API_AUTH_STRING: is missing: ONERUN_BIND=0.0.0.0 lets others in",
        ),
        ({"PREFECT_SERVER_API_AUTH_STRING": "me:hidden-pass"}, "gets from PREFECT_API_AUTH_STRING"),
        ({"MLFLOW_TRACKING_USERNAME": "admin"}, "set both, or neither"),
        ({"ONERUN_WORKER_LIMIT": "none"}, "ONERUN_WORKER_LIMIT"),
        (
            {"PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql://me:hidden-pass@h/d"},
            "postgresql+asyncpg://",
        ),
    ],
)
def test_what_cannot_be_started_is_a_mistake_without_the_value(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(Mistakes) as caught:
        started(monkeypatch, **variables)
    assert words in str(caught.value)
    assert "hidden-pass" not in str(caught.value)


def test_mlflow_sends_other_object_stores_than_amazons_what_older_ones_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not OF_OTHER_STORES.keys() & started(monkeypatch)["mlflow"].environment.keys()
    told = started(monkeypatch, MLFLOW_S3_ENDPOINT_URL="https://127.0.0.1:9000")[
        "mlflow"
    ].environment
    assert OF_OTHER_STORES.items() <= told.items()
    said = started(monkeypatch, AWS_REQUEST_CHECKSUM_CALCULATION="when_supported")[
        "mlflow"
    ].environment
    assert said["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_supported", "somebody said so"


def test_others_may_reach_it_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "http://build-machine:5000"
    asked = {
        "PREFECT_API_AUTH_STRING": "me:password",
        "PREFECT_SERVER_API_AUTH_STRING": "me:password",
    }
    stack = started(monkeypatch, MLFLOW_TRACKING_URI=address, ONERUN_BIND="0.0.0.0", **asked)
    command = stack["mlflow"].command
    assert command[command.index("--host") + 1] == "0.0.0.0"
    assert "build-machine:5000" in command[command.index("--allowed-hosts") + 1]


def test_the_server_variables_are_read_from_dot_env_and_are_no_unknown_ones(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "ONERUN_BIND=0.0.0.0\nONERUN_WORKER_LIMIT=5\nMLFLOW_ARTIFACTS_DESTINATION=s3://b/a\n"
    )
    servers = load_servers()
    assert (servers.bind, servers.worker_limit, servers.mlflow_artifacts) == (
        "0.0.0.0",
        5,
        "s3://b/a",
    )
    assert isinstance(load_profile("stack"), PrefectProfile)


def test_a_percent_sign_in_the_folders_name_is_one(tmp_path: Path) -> None:
    read = configparser.ConfigParser()  # as MLflow reads it
    read.read_string(configuration(tmp_path / "50%off"))
    assert read["mlflow"]["database_uri"] == f"sqlite:///{tmp_path}/50%off/mlflow-accounts.db"


def test_a_password_is_hashed_once_a_minute_and_not_at_each_request(tmp_path: Path) -> None:
    read = configparser.ConfigParser()
    read.read_string(configuration(tmp_path))
    assert read.getint("mlflow", "auth_cache_ttl_seconds") == 60


def test_accounts_are_made_from_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("flask_wtf", reason="an MLflow server with accounts needs mlflow[auth]")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "owner")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-long-password")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "signing-key")
    service = services.mlflow_server(load_profile("stack"), Servers(), tmp_path)
    assert service.command[-2:] == ("--app-name", "basic-auth")
    assert service.environment["MLFLOW_AUTH_ADMIN_PASSWORD"] == "a-long-password"
    (written,) = service.files.items()
    assert str(written[0]) == service.environment["MLFLOW_AUTH_CONFIG_PATH"]
    assert str(tmp_path) in written[1] and "a-long-password" not in written[1]
    assert list(tmp_path.iterdir()) == [], "nothing was made yet"
