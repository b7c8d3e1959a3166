"""A profile: which source wins, what is refused, what is shown, what is set."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from onerun.config.addresses import redact, synchronous, with_driver
from onerun.config.mistakes import Mistakes
from onerun.config.profile import OF_OTHER_STORES, TELEMETRY_OFF
from settings.profile import PrefectProfile, load_profile
from settings.servers import load_servers

SECRET = "hunter2-not-to-be-seen"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No `.env` and no variables but the test's own; what `apply` sets is undone."""
    monkeypatch.chdir(tmp_path)
    for name in PrefectProfile().variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    return tmp_path


def mistakes_of(name: str | None = None) -> str:
    with pytest.raises(Mistakes) as raised:
        load_profile(name)
    return str(raised.value)


def test_without_anything_everything_is_local() -> None:
    profile = load_profile()
    assert profile.tracking_uri == "sqlite:///mlflow.db"
    assert profile.public() == {"tracking_uri": "sqlite:///mlflow.db", "work": ".onerun"}


def test_the_default_store_is_the_one_mlflow_ui_shows(tmp_path: Path) -> None:
    from mlflow.store.tracking import DEFAULT_TRACKING_URI

    assert load_profile().tracking_uri == DEFAULT_TRACKING_URI


def test_environment_wins_over_dotenv_over_yaml_over_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("region: from-yaml\nwork: from-yaml\nstore: from-yaml\n")
    (tmp_path / ".env").write_text("ONERUN_WORK=from-dotenv\nONERUN_STORE=from-dotenv\n")
    monkeypatch.setenv("ONERUN_STORE", "from-environment")
    profile = load_profile("p.yaml")
    assert (profile.region, profile.work, profile.store) == (
        "from-yaml",
        "from-dotenv",
        "from-environment",
    )
    assert profile.tracking_uri == "sqlite:///mlflow.db"


@pytest.mark.parametrize(
    "variable", ["MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
)
def test_every_usual_name_of_the_endpoint_is_read(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9000/")
    assert load_profile().s3_endpoint_url == "http://127.0.0.1:9000"
    assert load_profile().variables()["MLFLOW_S3_ENDPOINT_URL"] == "http://127.0.0.1:9000"
    assert "AWS_ENDPOINT_URL" not in load_profile().variables()


def test_mlflows_own_endpoint_wins_over_amazons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:2")
    assert load_profile().s3_endpoint_url == "http://127.0.0.1:2"


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "")
    assert load_profile().prefect_api_url is None


def test_named_by_argument_or_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONERUN_PROFILE", "local")
    assert load_profile().tracking_uri == "sqlite:///mlflow.db"
    assert "no such profile" in mistakes_of("elsewhere")


def test_an_unknown_profile_shows_the_near_one_or_all() -> None:
    assert "did you mean local?" in mistakes_of("locale")
    assert "there are local, servers" in mistakes_of("zzz")


def test_an_unknown_key_shows_line_and_near_miss(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# mine\ntraking_uri: sqlite:///x.db\n")
    assert mistakes_of("p.yaml") == "p.yaml:2: traking_uri: unknown key; did you mean tracking_uri?"


def test_an_unknown_variable_of_ours_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ONERUN_STOR=x\nSOMEBODY_ELSES=y\n")
    assert mistakes_of() == ".env: ONERUN_STOR: unknown variable; did you mean ONERUN_STORE?"


def test_all_mistakes_of_a_file_at_once(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("traking_uri: x\nregoin: y\n")
    assert len(mistakes_of("p.yaml").splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tracking_uri: sqlit:///x.db", "no store of kind sqlit; did you mean sqlite?"),
        ("tracking_uri: ./mlruns", "refuses folders of files"),
        ("tracking_uri: file:///mlruns", "refuses folders of files"),
        ("tracking_uri: 7", "valid string"),
        ("s3_endpoint_url: minio:9000", "expected an address such as http://"),
        ("prefect_api_url: http://127.0.0.1:4200", "did you mean http://127.0.0.1:4200/api?"),
    ],
)
def test_a_wrong_value_names_file_and_line(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(f"# mine\n{line}\n")
    said = mistakes_of("p.yaml")
    assert said.startswith(f"p.yaml:2: {line.split(':')[0]}: ")
    assert message in said


def test_a_wrong_value_from_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text("prefect_api_url: http://127.0.0.1:4200/api\n")
    monkeypatch.setenv("PREFECT_API_URL", f"http://me:{SECRET}@127.0.0.1:4200")
    said = mistakes_of("p.yaml")
    assert said.startswith("environment: PREFECT_API_URL: ")
    assert SECRET not in said


@pytest.mark.parametrize(
    "line",
    [
        f"aws_secret_access_key: {SECRET}",
        f"tracking_uri: postgresql://me:{SECRET}@db/mlflow",
        f"tracking_uri: postgresql://db/mlflow?sslpassword={SECRET}",
        f"tracking_password: ${{USER_NAME}}{SECRET}",
    ],
)
def test_p7_a_secret_in_a_profile_file_is_refused(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_NAME", "me")
    (tmp_path / "p.yaml").write_text(line + "\n")
    said = mistakes_of("p.yaml")
    assert "${VARIABLE}" in said
    assert SECRET not in said


def test_references_are_filled_from_environment_and_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text(
        "tracking_uri: postgresql://${WHO}:${PASS}@db/x\naws_session_token: ${TOKEN}\n"
    )
    monkeypatch.setenv("WHO", "me")
    monkeypatch.setenv("TOKEN", "t")
    (tmp_path / ".env").write_text(f"PASS={SECRET}\n")
    profile = load_profile("p.yaml")
    assert profile.tracking_uri == f"postgresql://me:{SECRET}@db/x"
    assert profile.variables()["AWS_SESSION_TOKEN"] == "t"


def test_a_reference_to_nothing_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("aws_session_token: ${NOT_SET_ANYWHERE}\n")
    assert "${NOT_SET_ANYWHERE} is not set" in mistakes_of("p.yaml")


def test_p7_nothing_that_is_shown_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "PREFECT_API_KEY",
        "MLFLOW_TRACKING_TOKEN",
    ):
        monkeypatch.setenv(variable, SECRET)
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"postgresql+psycopg://me:{SECRET}@db:5432/mlflow?password={SECRET}"
    )
    profile = load_profile()
    assert SECRET not in f"{profile!r} {profile} {profile.public()}"
    assert (
        profile.public()["tracking_uri"]
        == "postgresql+psycopg://me:***@db:5432/mlflow?password=***"
    )
    assert profile.variables()["AWS_SECRET_ACCESS_KEY"] == SECRET


def test_apply_sets_the_standard_variables_with_absolute_paths(tmp_path: Path) -> None:
    load_profile().apply()
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert os.environ["ONERUN_WORK"] == os.environ["ONERUN_STORE"] == f"{tmp_path}/.onerun"
    assert {name: os.environ[name] for name in TELEMETRY_OFF} == TELEMETRY_OFF
    assert "PREFECT_API_URL" not in os.environ


def test_other_object_stores_than_amazons_are_sent_no_checksums_that_they_may_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_profile().apply()
    assert not OF_OTHER_STORES.keys() & os.environ.keys()
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "https://minio:9000")
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    load_profile().apply()
    assert os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] == "when_supported", "somebody said so"
    assert os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] == "when_required"


def test_applied_twice_from_another_folder_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_profile().apply()
    first = dict(os.environ)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    load_profile().apply()
    assert dict(os.environ) | {"PWD": ""} == first | {"PWD": ""}


def test_an_s3_store_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONERUN_STORE", "s3://bucket/prefix")
    assert load_profile().variables()["ONERUN_STORE"] == "s3://bucket/prefix"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////tmp/a:b@c.db", "sqlite:////tmp/a:b@c.db"),
        ("./folder?x", "./folder?x"),
        ("https://token@host/x", "https://***@host/x"),
        ("postgresql://me@db/x", "postgresql://me@db/x"),
        (
            "https://h/f.csv?X-Amz-Signature=abc&part=1",
            "https://h/f.csv?X-Amz-Signature=***&part=1",
        ),
        ("mysql://u:p@ss@h/x", "mysql://u:***@h/x"),
        ("mysql://u:p/ss@h:1/x", "mysql://u:***@h:1/x"),
        ("https://h:80/x@y", "https://h:80/x@y"),
        ("http://[::1]:80/x@y", "http://[::1]:80/x@y"),
    ],
)
def test_redaction(address: str, shown: str) -> None:
    assert redact(address) == shown


@pytest.mark.parametrize("password", ["hu@sh", "hu@s/h", "@hush"])
def test_p7_a_password_that_reaches_into_the_host_is_a_mistake(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver would tell that it finds no host called `sh@127.0.0.1`."""
    for variable, load in (
        ("MLFLOW_TRACKING_URI", load_profile),
        ("MLFLOW_BACKEND_STORE_URI", load_servers),
        ("PREFECT_SERVER_DATABASE_CONNECTION_URL", load_servers),
    ):
        driver = "asyncpg" if variable.startswith("PREFECT") else "psycopg"
        with (
            monkeypatch.context() as patch,
            pytest.raises(Mistakes, match="percent-encode the password") as caught,
        ):
            patch.setenv(variable, f"postgresql+{driver}://me:{password}@127.0.0.1/d")
            load()
        assert (
            variable in str(caught.value)
            and "h@" not in str(caught.value)
            and "hu" not in str(caught.value)
        )


@pytest.mark.parametrize("account", ["me@corp:pw", "me@corp", "me:p%40w", "me:p/w?x"])
def test_an_account_that_drivers_take_is_none(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://{account}@127.0.0.1/d")
    load_profile()


@pytest.mark.parametrize(
    ("prefects", "ours"),
    [
        ("postgresql+asyncpg://me:p?x&y@h/d", "postgresql+psycopg://me:p?x&y@h/d"),
        ("postgresql+asyncpg://h/d?ssl=require", "postgresql+psycopg://h/d?sslmode=require"),
        (
            "postgresql+asyncpg://h/d?a=b&prepared_statement_cache_size=0&ssl=verify-full",
            "postgresql+psycopg://h/d?a=b&sslmode=verify-full",
        ),
        ("sqlite+aiosqlite:////d/x.db?mode=ro", "sqlite:////d/x.db?mode=ro"),
    ],
)
def test_prefects_database_address_for_drivers_that_wait(prefects: str, ours: str) -> None:
    assert synchronous(prefects) == ours


def test_the_shipped_profiles_load_and_dotenv_example_names_every_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.setenv("MINIO_ROOT_USER", "u")
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "p")
    for file in (root / "settings/profiles").glob("*.yaml"):
        assert load_profile(file.stem)
    example = (root / ".env.example").read_text()
    variables = [
        str(field.validation_alias.choices[0]) for field in PrefectProfile.model_fields.values()
    ]  # type: ignore[union-attr]
    assert [variable for variable in variables if f"# {variable}=" not in example] == []
    assert all(field.description for field in PrefectProfile.model_fields.values())


def test_an_address_without_a_driver_gets_the_one_that_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me@db/mlflow")
    installed = "psycopg2" if find_spec("psycopg2") else "psycopg"
    driver = {"psycopg2": "", "psycopg": "+psycopg"}[installed]
    assert (
        PrefectProfile().variables()["MLFLOW_TRACKING_URI"] == f"postgresql{driver}://me@db/mlflow"
    )
    assert with_driver("postgresql+pg8000://me@db/x") == "postgresql+pg8000://me@db/x"


def test_a_nul_character_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text('work: "a\\0b"\n')
    assert mistakes_of("odd.yaml") == (
        "odd.yaml:1: work: holds a NUL character, which neither a variable nor a file name can hold"
    )
