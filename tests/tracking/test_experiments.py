"""The experiment of a training: a deleted one is restored or reported by policy, a damaged one never used."""

from pathlib import Path

import pytest

from onerun.config.mistakes import Mistakes
from onerun.tracking.experiments import POLICY, usable_experiment
from onerun.tracking.runs import client


@pytest.fixture
def name(tracking_uri: str, tmp_path: Path) -> str:
    return f"houses {tmp_path.name}"


def test_it_is_made_once(name: str) -> None:
    assert usable_experiment(name) == usable_experiment(name)


def test_a_deleted_one_is_reported(name: str) -> None:
    client().delete_experiment(usable_experiment(name))
    with pytest.raises(Mistakes, match=r"is deleted; restore it \(`mlflow experiments restore"):
        usable_experiment(name)


def test_a_deleted_one_is_restored_where_the_policy_says_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = usable_experiment(name)
    client().delete_experiment(experiment)
    policy = tmp_path / "kind.yaml"
    monkeypatch.setenv(POLICY, str(policy))
    policy.write_text("deleted_experiment: report\n")
    with pytest.raises(Mistakes, match="is deleted"):
        usable_experiment(name)
    policy.write_text("deleted_experiment: restore\n")
    assert usable_experiment(name) == experiment
    assert client().get_experiment(experiment).lifecycle_stage == "active"


def test_a_damaged_one_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    client().create_experiment(name, artifact_location=(tmp_path / "file").as_uri())
    with pytest.raises(Mistakes, match=r"is damaged .*file is not a folder"):
        usable_experiment(name)
