"""The pre-flight check against real servers: what is wrong is named, with what to do; nothing stays behind."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.checking import checkup
from onerun.domain.diagnosis import Diagnosis
from tests import servers
from tests.servers import POSTGRES_PASSWORD, POSTGRES_USER, S3_KEY, S3_SECRET, MlflowServer

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; the profile that a check applies is taken out of the environment again."""
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield tmp_path
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def looked(
    capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """Returns: the exit code, and what it found by what it looked at."""
    capfd.readouterr()
    code = checkup.main([*arguments, "--json"])
    output = json.loads(capfd.readouterr().out)
    assert output["status"] == ("wrong" if code else "well")
    return code, {finding["what"]: finding for finding in output["findings"]}


def copied(file: Path, copy: Path, version: str | None = None) -> None:
    """A database as it is, whoever writes to it; its schema's version, where given, is another then."""
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        if version:
            target.execute("UPDATE alembic_version SET version_num = ?", [version])
            target.commit()


def test_where_nothing_was_set_up_nothing_is_wrong(
    capfd: pytest.CaptureFixture[str], folder: Path
) -> None:
    code, found = looked(capfd)
    assert code == 0
    assert (
        "temporary" in found["PREFECT_API_URL"]["detail"]
        or "server of its own" in found["PREFECT_API_URL"]["detail"]
    )
    assert found["store"]["state"] == "good"
    assert list(folder.iterdir()) == [], "nothing stays"


def test_servers_pools_artifacts_and_clocks_are_looked_at(
    capfd: pytest.CaptureFixture[str],
    mlflow_server: MlflowServer,
    prefect_api: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from deployments.pools import make_process_pool

    make_process_pool("nobody-works-here")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    code, found = looked(capfd, "--pool", "nobody-works-here")
    assert code == 2
    pool = found["work pool nobody-works-here"]
    assert (
        pool["state"] == "wrong"
        and "python -m deployments.worker --pool nobody-works-here" in pool["detail"]
    )
    for what in (
        "MLflow server",
        "MLflow clock",
        "MLflow artifacts",
        "Prefect server",
        "Prefect clock",
        "store",
    ):
        assert found[what]["state"] == "good", found[what]
    assert "mlflow-artifacts:/" in found["MLflow artifacts"]["detail"]
    assert list(mlflow_server.folder.rglob("pre-flight*")) == []
    code, found = looked(capfd, "--pool", "mispelt")
    assert "does not exist" in found["work pool mispelt"]["detail"]


def test_databases_of_servers_elsewhere_are_not_looked_at_and_those_of_the_stack_are(
    capfd: pytest.CaptureFixture[str],
    mlflow_server: MlflowServer,
    prefect_api: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("ONERUN_HOME", str(folder))
    code, found = looked(capfd)
    assert code == 2 and "is not a checkout" in found["ONERUN_HOME"]["detail"]
    for name, variable in (
        ("MLflow", "MLFLOW_BACKEND_STORE_URI"),
        ("Prefect", "PREFECT_SERVER_DATABASE_CONNECTION_URL"),
    ):
        assert found[f"{name} database"]["state"] == "note"
        assert (
            "not looked at" in found[f"{name} database"]["detail"]
            and variable in found[f"{name} database"]["detail"]
        )
    stack = folder / ".onerun" / "stack"
    (stack / "prefect").mkdir(parents=True)
    for name, address in (
        ("mlflow", mlflow_server.uri),
        ("prefect", prefect_api.removesuffix("/api")),
    ):
        (stack / f"{name}.json").write_text(json.dumps({"address": address}))
    copied(mlflow_server.folder / "server.db", stack / "mlflow.db")
    copied(
        Path(os.environ["PREFECT_HOME"]) / "prefect.db", stack / "prefect" / "prefect.db", "older"
    )
    monkeypatch.delenv("ONERUN_HOME")
    code, found = looked(capfd)
    assert code == 2
    assert found[f"MLflow database sqlite:///{stack}/mlflow.db"]["state"] == "good"
    assert "prefect server database upgrade" in found["Prefect database"]["detail"]
    assert "ONERUN_HOME" not in found, "flow runs use the folder that was deployed"


def test_of_another_pool_than_the_asked_one_a_missing_worker_is_a_note(prefect_api: str) -> None:
    """A healthcheck asks whether this worker is well."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    from flows.checking.deployment_checks import runnable
    from flows.reconcile import reconcile

    with get_client(sync_client=True) as client:
        for name in ("asked-for", "elsewhere"):
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        flow = client.create_flow_from_name(reconcile.name)
        deployment = client.create_deployment(flow, "elsewhere", work_pool_name="elsewhere")
        try:
            for asked, states in (("asked-for", ("wrong", "note")), (None, ("", "wrong"))):
                found = {finding.what: finding.state for finding in runnable(client, asked)}
                assert (
                    tuple(found.get(f"work pool {name}", "") for name in ("asked-for", "elsewhere"))
                    == states
                )
        finally:  # the server is also that of other tests
            client.delete_deployment(deployment)


def test_advice_for_a_missing_worker_is_that_of_the_pools_type(
    capfd: pytest.CaptureFixture[str], prefect_api: str
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="of-a-cluster", type="kubernetes"))
    code, found = looked(capfd, "--pool", "of-a-cluster")
    assert code == 2
    pool = found["work pool of-a-cluster"]["detail"]
    assert "kubectl -n onerun" in pool and "deployments.worker" not in pool


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MLFLOW_TRACKING_URI", "http://127.0.0.1:9"),
        ("PREFECT_API_URL", "http://127.0.0.1:9/api"),
        ("ONERUN_WORK", "/proc/nowhere"),
        ("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9"),
    ],
)
def test_what_does_not_answer_is_named_and_the_rest_is_looked_at(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    code, found = looked(capfd)
    assert code == 2
    assert found[variable]["state"] == "wrong"
    assert len(found) > 2


def test_a_secret_that_is_missing_is_told_by_its_name(capfd: pytest.CaptureFixture[str]) -> None:
    code, found = looked(capfd, "--profile", "servers")
    assert code == 2
    assert "${MINIO_ROOT_PASSWORD} is not set" in found["aws_secret_access_key"]["detail"]


def test_an_old_schema_is_told_with_the_command_that_migrates_it(
    capfd: pytest.CaptureFixture[str],
    folder: Path,
    tracking_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from onerun.tracking.database import make_whole

    uri = f"sqlite:///{folder}/old.db"
    make_whole(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    code, found = looked(capfd)
    assert code == 0 and found[f"MLflow database {uri}"]["state"] == "good"
    assert list(folder.rglob("pre-flight*")) == []
    with contextlib.closing(sqlite3.connect(folder / "old.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'acf3f17fdcc7'")
        connection.commit()
    code, found = looked(capfd)
    assert code == 2
    assert f"mlflow db upgrade {uri}" in found[f"MLflow database {uri}"]["detail"]


def test_what_mlflow_cannot_write_is_told_with_what_to_do_and_not_with_a_second_failure(
    capfd: pytest.CaptureFixture[str], folder: Path, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.tracking.database import make_whole

    uri = f"sqlite:///{folder}/mine.db"
    make_whole(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert looked(capfd)[0] == 0, "the first look makes the first experiment"
    with contextlib.closing(sqlite3.connect(folder / "mine.db")) as connection:
        connection.execute("UPDATE experiments SET artifact_location = 's3://nobody-made-this/x'")
        connection.commit()
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    code, found = looked(capfd)
    says = found["MLflow artifacts"]["detail"]
    assert code == 2 and "writable from here; for S3 look at its endpoint and keys" in says
    assert "PutObject" in says, "not that a second attempt, to delete it, failed as well"


@pytest.mark.slow
def test_a_store_that_is_silent_is_told_within_seconds(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments.stack.credentials import try_all
    from onerun.config.mistakes import Mistakes
    from settings.profile import load_profile
    from settings.servers import load_servers

    monkeypatch.setenv("ONERUN_STORE", "s3://nobody-has-this/x")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv(
        "HTTPS_PROXY", "http://127.0.0.1:9"
    )  # Amazon, from a network that does not lead there
    code, found = looked(capfd)
    assert code == 2 and "the retry budget is 10 s" in found["store"]["detail"], (
        "not the three minutes of a training"
    )
    assert "look at ONERUN_STORE" in found["store"]["detail"]
    with pytest.raises(Mistakes, match=r"ONERUN_STORE: .*the retry budget is 10 s"):
        try_all(load_profile(), load_servers(), print)


def test_the_server_that_prefects_own_profile_names_is_looked_at_and_worked_for(
    capfd: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deployments import worker

    profiles = folder / "profiles.toml"
    profiles.write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    )
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(profiles))
    code, found = looked(capfd)
    assert (
        code == 2
        and "http://127.0.0.1:9/api cannot be reached" in found["PREFECT_API_URL"]["detail"]
    )
    assert worker.main([]) == 2
    assert "PREFECT_API_URL: http://127.0.0.1:9/api cannot be reached" in capfd.readouterr().err


def test_prefects_database_with_tls_is_tried_with_the_option_that_its_driver_knows(
    capfd: pytest.CaptureFixture[str],
    postgres: str,
    prefect_api: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server here speaks no TLS: it may be preferred, and where it is required, that is what is told."""
    from deployments.stack.credentials import try_all
    from onerun.config.mistakes import Mistakes
    from settings.profile import load_profile
    from settings.servers import load_servers

    address = f"postgresql+asyncpg://{POSTGRES_USER}:{POSTGRES_PASSWORD}@{postgres}/postgres"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"{address}?ssl=prefer")
    _, found = looked(capfd)
    assert (
        found["Prefect database"]["state"] == "note"
        and "no tables yet" in found["Prefect database"]["detail"]
    )
    try_all(load_profile(), load_servers(), print)
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", f"{address}?ssl=require")
    _, found = looked(capfd)
    assert (
        "SSL was required" in found["Prefect database"]["detail"]
        and "is it up" in found["Prefect database"]["detail"]
    )
    with pytest.raises(Mistakes, match="SSL was required") as caught:
        try_all(load_profile(), load_servers(), print)
    assert POSTGRES_PASSWORD not in str(caught.value) + found["Prefect database"]["detail"]


@pytest.mark.parametrize(
    ("variable", "driver", "advice"),
    [
        ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "+asyncpg", "pip install 'psycopg[binary]'"),
        ("MLFLOW_BACKEND_STORE_URI", "", "and begin the address with postgresql+psycopg://"),
    ],
)
def test_a_driver_that_is_missing_is_told_with_what_its_server_takes(
    variable: str, driver: str, advice: str
) -> None:
    from flows.checking.databases import errors_as_mistakes
    from onerun.config.mistakes import Mistakes

    with (
        pytest.raises(Mistakes) as caught,
        errors_as_mistakes(variable, f"postgresql{driver}://me:hidden-word@h/d"),
    ):
        raise ModuleNotFoundError("No module named 'psycopg'", name="psycopg")
    assert str(caught.value).endswith(advice) and "hidden-word" not in str(caught.value)


def test_p7_of_all_addresses_in_an_error_no_password_is_told() -> None:
    from flows.checking.single_check import tried

    def fails() -> Diagnosis:
        raise OSError("mysql://a:word-one@h/d went away, and so did mysql://b:word-two@h/d\n more")

    (found,) = tried("store", fails)
    assert found.state == "wrong" and found.detail.startswith(
        "OSError: mysql://a:***@h/d went away"
    )
    assert "word-" not in found.detail and "look at ONERUN_STORE" in found.detail


def test_prefects_database_is_read_where_its_address_is_known(
    folder: Path, prefect_server: str
) -> None:
    from flows.checking.prefect_checks import database

    file = Path(os.environ["PREFECT_HOME"]) / "prefect.db"
    assert database(f"sqlite+aiosqlite:///{file}").state == "good"
    copy = folder / "copy.db"
    copied(file, copy, "older")
    assert "prefect server database upgrade" in database(f"sqlite+aiosqlite:///{copy}").detail


def test_an_object_store_is_tried_with_one_object_and_wrong_keys_are_told(
    capfd: pytest.CaptureFixture[str], s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onerun.storage import filesystem

    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", S3_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET)
    files = filesystem("s3://pre-flight/x")
    files.makedirs("pre-flight", exist_ok=True)
    monkeypatch.setenv("ONERUN_STORE", "s3://pre-flight/data")
    code, found = looked(capfd)
    assert code == 0 and found["store"]["state"] == "good"
    assert found["S3 clock"]["state"] == "good"
    assert files.find("pre-flight") == []
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    code, found = looked(capfd)
    assert code == 2 and "AWS_SECRET_ACCESS_KEY" in found["store"]["detail"]


def test_as_a_flow_it_fails_with_what_is_wrong(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server of its own: what other tests deployed may have no worker, and then nothing is well."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.doctor import doctor
    from onerun.config.mistakes import Mistakes

    with servers.prefect_server(tmp_path / ".prefect") as server:
        monkeypatch.setenv("PREFECT_API_URL", server.api_url)
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            with pytest.raises(Mistakes, match="work pool onerun: does not exist"):
                doctor()
            with pytest.raises(Mistakes, match="work pool mispelt: does not exist"):
                doctor(pool="mispelt")
            _mend_one_after_the_other(tmp_path)
            assert doctor()["status"] == "well"


def _mend_one_after_the_other(folder: Path) -> None:
    """Whatever keeps a deployment from running is wrong, and the first command of its line mends it."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolUpdate

    from flows.checking.deployment_checks import runnable

    def wrong_things() -> dict[str, str]:
        with get_client(sync_client=True) as client:
            found = runnable(client, None)
            return {each.what: each.detail for each in found if each.state == "wrong"}

    def obey(what: str) -> None:
        _, command, *_ = wrong_things()[what].split("`")
        line = [str(Path(sys.executable).parent / "prefect"), *command.split()[1:]]
        if command.startswith("python "):
            line = [sys.executable, *command.split()[1:]]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            line, env=environment, cwd=folder, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr + done.stdout

    obey("work pool onerun")
    assert "no worker was seen within 2 minutes" in wrong_things()["work pool onerun"]
    with get_client(sync_client=True) as client:
        client.send_worker_heartbeat(work_pool_name="onerun", worker_name="here")
        assert wrong_things() == {}

        client.update_work_pool("onerun", WorkPoolUpdate(is_paused=True))
        assert list(wrong_things()) == ["work pool onerun"]
        obey("work pool onerun")

        flow = client.create_flow_from_name("doctor")
        client.create_deployment(
            flow, "queued", entrypoint="flows.doctor.doctor", work_pool_name="onerun"
        )
        queue = client.read_work_queue_by_name("default", work_pool_name="onerun")
        client.update_work_queue(queue.id, is_paused=True)
        assert list(wrong_things()) == ["work queue default of pool onerun"]
        obey("work queue default of pool onerun")

        wrong = client.create_deployment(
            flow, "typo", entrypoint="flows.doctor.docter", work_pool_name="onerun"
        )
        assert "does not import here (" in wrong_things()["deployment doctor/typo"]
        assert "`prefect deployment delete doctor/typo`" in wrong_things()["deployment doctor/typo"]
        client.delete_deployment(wrong)

        client.delete_work_pool("onerun")
        gone = wrong_things()["deployment doctor/queued"]
        assert "its work pool or queue was removed" in gone and "deployments.deploy --all" in gone
        client.delete_deployment(client.read_deployment_by_name("doctor/queued").id)
        obey("work pool onerun")
        client.send_worker_heartbeat(work_pool_name="onerun", worker_name="here")
    assert wrong_things() == {}
