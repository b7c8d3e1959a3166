"""One place has one address, for clean-up, archive and rescue alike; what is not known stays unknown."""

from pathlib import Path

import pytest

from onerun.archive.artifacts import below
from onerun.config.mistakes import Mistakes
from onerun.store.artifact_paths import DESTINATION, is_local, real_address, resolve


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("/srv/mlruns/1", "/srv/mlruns/1"),
        ("/srv/mlruns/1/", "/srv/mlruns/1"),
        ("file:///srv/my%20runs/1", "/srv/my runs/1"),
        ("file:/srv/mlruns", "/srv/mlruns"),
        ("file://localhost/srv/mlruns", "/srv/mlruns"),
        ("s3://bucket/prefix/", "s3://bucket/prefix"),
        ("mlruns/1", str(Path("mlruns/1").absolute())),
    ],
)
def test_an_address_is_resolved(address: str, place: str) -> None:
    assert resolve(address) == real_address(address) == place
    if not place.startswith("s3:"):
        assert below(address, "a/b") == f"{place}/a/b"


@pytest.mark.parametrize("address", ["", "file:///", "dbfs:/x", "gs://bucket/x", "file:x"])
def test_what_cannot_be_told_is_not_guessed(address: str) -> None:
    assert real_address(address) is None
    with pytest.raises(Mistakes, match="expected a local folder, S3 or MLflow's proxy"):
        resolve(address)


@pytest.mark.parametrize("address", ["mlflow-artifacts:/1/a", "mlflow-artifacts://host:80/1/a"])
@pytest.mark.parametrize("destination", ["/srv/kept", "s3://bucket/kept"])
def test_behind_a_proxy_the_destination_counts(
    address: str, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DESTINATION, raising=False)
    assert real_address(address) is None
    monkeypatch.setenv(DESTINATION, destination)
    assert real_address(address) == f"{destination}/1/a"


def test_a_proxied_address_stays_within_the_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DESTINATION, "/srv/kept")
    with pytest.raises(Mistakes, match="leads out of"):
        resolve("mlflow-artifacts:/../../etc")


def test_only_folders_of_this_machine_are_local() -> None:
    assert is_local("/srv/x") and is_local("file:///srv/x") and is_local("mlruns")
    assert not is_local("s3://b/x") and not is_local("mlflow-artifacts:/1")
