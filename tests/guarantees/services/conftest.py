"""Trainings in this process, and the services that they work with, each behind a proxy that goes wrong when told to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests import servers
from tests.guarantees import trainings
from tests.guarantees.holding import Facts, facts
from tests.guarantees.services.here import TrainingHere
from tests.guarantees.services.proxy import Proxy, in_front_of
from tests.guarantees.trainings import RECIPE

BUCKET = "guarantees"


@pytest.fixture(scope="session")
def wanted(
    template_store: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Facts:
    """Returns: what the recipe comes to when nothing goes wrong."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder = tmp_path_factory.mktemp("undisturbed")
    trainings.new_store(template_store, folder)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        done = TrainingHere(folder, RECIPE)
        assert done.run() == 0, done.said()
        return facts(done)


@pytest.fixture
def here(template_store: Path, tmp_path: Path, turns: object) -> Callable[..., TrainingHere]:
    """Returns: makes a training in this process; by default with an SQLite store of its own."""
    trainings.new_store(template_store, tmp_path)
    return lambda tracking_uri=None: TrainingHere(tmp_path, RECIPE, tracking_uri)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages that fail are not tried again by Prefect, so that an outage has its full effect at once."""
    monkeypatch.setattr("onerun.engine.stages.USUAL_RETRIES", 0)


@pytest.fixture
def mlflow(server: servers.MlflowServer) -> Iterator[Proxy]:
    """Returns: the proxy in front of it."""
    with in_front_of(server.uri) as proxy:
        yield proxy


@pytest.fixture
def s3(s3_server: str) -> Iterator[Proxy]:
    """Returns: a proxy in front of a real S3 server that holds the bucket."""
    with in_front_of(s3_server) as proxy:
        yield proxy


@pytest.fixture
def in_s3(
    template_store: Path, tmp_path: Path, turns: object, s3: Proxy, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrainingHere]:
    """Returns: a training whose snapshots and artifacts are in S3, behind the proxy; its MLflow is an SQLite file."""
    from onerun import storage

    trainings.new_store(template_store, tmp_path)
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", s3.uri)
    place = f"s3://{BUCKET}/{tmp_path.name}"
    if not storage.filesystem(place).exists(BUCKET):
        storage.filesystem(place).mkdir(BUCKET)
    MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").create_experiment(
        "diabetes", artifact_location=f"{place}/artifacts"
    )
    yield TrainingHere(
        tmp_path, RECIPE, given={**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": s3.uri, "ONERUN_STORE": place}
    )


S3_KEYS = {
    "AWS_ACCESS_KEY_ID": servers.S3_KEY,
    "AWS_SECRET_ACCESS_KEY": servers.S3_SECRET,
    "AWS_SESSION_TOKEN": "",
    "AWS_DEFAULT_REGION": "us-east-1",
}
