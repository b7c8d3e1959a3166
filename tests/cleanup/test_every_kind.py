"""What every kind of store does alike: deletes as MLflow does, and leaves what changed since the plan.

All of them are filled through MLflow's own client, and all answer in the same words.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import create_engine, text

from onerun.cleanup.maintenance import carry_out, planned
from onerun.config.loading import load_policy
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.tracking.runs import client
from tests.cleanup.conftest import DAY, POSTGRESQL, SQLITE, fresh_database, texts
from tests.servers import MlflowServer

NOW = int(time.time() * 1000)
PARENT = "mlflow.parentRunId"
SERVER, FOLDER = "server", "folder"
RULES = """
name: weekly
action: {action}
keep: {{younger_than: 30d, last: 0}}
max_delete: 100%
select: {{experiments: ['{name}*']}}
backups: {{to: .onerun/backups}}
"""


class Kind(NamedTuple):
    """A store of one kind that this test has for itself, or at least its names in it."""

    name: str  # begins the names of its experiments and models
    uri: str
    erase: Callable[[str, str], object]  # experiment, run: remove a run as another clean-up would
    actions: tuple[str, ...] = ("quarantine", "soft_delete", "hard_delete")


@pytest.fixture(
    params=[
        SQLITE,
        pytest.param(POSTGRESQL, marks=pytest.mark.long),
        pytest.param(SERVER, marks=pytest.mark.slow),
        FOLDER,
    ]
)
def kind(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    monkeypatch.chdir(tmp_path)
    made = _made(request, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return made


def _made(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == FOLDER:
        root = tmp_path / "mlruns"
        root.mkdir()
        return Kind("e", root.as_uri(), lambda home, run: shutil.rmtree(root / home / run))
    if request.param == SERVER:
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        database = f"sqlite:///{server.folder / 'server.db'}"
        name = tmp_path.name  # the server is everybody's
        return Kind(name, server.uri, _erasing(database), ("quarantine", "soft_delete"))
    if request.param == POSTGRESQL:
        uri = fresh_database(request.getfixturevalue("postgres"))
        return Kind("e", uri, _erasing(uri))
    shutil.copy(request.getfixturevalue("empty_store"), tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return Kind("e", uri, _erasing(uri))


def _erasing(uri: str) -> Callable[[str, str], object]:
    def erase(_experiment: str, run: str) -> None:
        engine = create_engine(uri)
        with engine.begin() as connection:
            for table in ("tags", "runs"):
                connection.execute(text(f"DELETE FROM {table} WHERE run_uuid = '{run}'"))
        engine.dispose()

    return erase


def make(experiment: str, days: float, **tags: str) -> str:
    mlflow, ended = client(), NOW - int(days * DAY)
    run = mlflow.create_run(experiment, start_time=ended, tags=tags).info.run_id
    mlflow.set_terminated(run, "FINISHED", ended)
    return str(run)


def clean_up(
    kind: Kind, action: str, meanwhile: Callable[[], object] = lambda: None
) -> tuple[Plan, Result]:
    """Args: meanwhile: what another user does between plan and deed."""
    folder = kind.uri if kind.uri.startswith("file:") else None
    policy = load_policy(RULES.format(action=action, name=kind.name))
    with planned(policy, frozenset(), folder) as what:
        meanwhile()
        return what.plan, carry_out(what, yes_really=True)


def of(experiment: str, lifecycle: int = 1) -> set[str]:
    return {run.info.run_id for run in client().search_runs([experiment], run_view_type=lifecycle)}


def test_soft_delete_is_mlflows_own_and_can_be_restored(kind: Kind) -> None:
    experiment = client().create_experiment(kind.name)
    old, young = make(experiment, 40), make(experiment, 3)
    plan, result = clean_up(kind, "soft_delete")
    assert (plan.runs >= 2, plan.to_delete, result.done, texts(result.skipped)) == (True, 1, 1, {})
    assert of(experiment) == {young}
    client().restore_run(old)
    assert of(experiment) == {old, young}


def test_quarantine_only_marks(kind: Kind) -> None:
    experiment = client().create_experiment(kind.name)
    old, young = make(experiment, 40), make(experiment, 3)
    for _ in range(2):
        assert clean_up(kind, "quarantine")[1].done == 1
    assert client().get_run(old).data.tags["onerun.quarantine"].startswith("weekly 20")
    assert "onerun.quarantine" not in client().get_run(young).data.tags
    assert of(experiment) == {old, young}


def register(name: str, source: str, run_id: str | None = None) -> None:
    client().create_registered_model(name)
    model = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    client().create_model_version(name, source, run_id, model_id=model)


@pytest.mark.parametrize("action", ["quarantine", "soft_delete", "hard_delete"])
def test_what_changed_since_the_plan_stays_with_its_family(action: str, kind: Kind) -> None:
    if action not in kind.actions:
        pytest.skip("its API has no hard delete")
    mlflow, name = client(), kind.name
    experiment = mlflow.create_experiment(name)
    pinned_whole = mlflow.create_experiment(f"{name}-pinned")
    changes = (
        *("pinned", "running", "resumed", "deleted", "missing", "registered"),
        *("its model registered", "a new child", "a parent that stays"),
    )
    heads = {change: make(experiment, 40) for change in changes}
    heads["whole"] = make(pinned_whole, 40)
    members = {
        change: make(pinned_whole if change == "whole" else experiment, 40, **{PARENT: head})
        for change, head in heads.items()
    }
    model = mlflow.create_logged_model(experiment, "m", heads["its model registered"])
    quiet, young, other = make(experiment, 40), make(experiment, 3), make(experiment, 3)

    def meanwhile() -> None:
        mlflow.set_tag(heads["pinned"], "pin", "1")
        mlflow.update_run(heads["running"], "RUNNING")
        mlflow.set_terminated(heads["resumed"], "FINISHED", NOW)
        mlflow.delete_run(heads["deleted"])
        kind.erase(experiment, heads["missing"])
        register(f"{name}-run", f"runs:/{heads['registered']}/model", heads["registered"])
        register(f"{name}-model", f"models:/{model.model_id}")
        mlflow.set_tag(young, PARENT, heads["a new child"])
        mlflow.set_tag(heads["a parent that stays"], PARENT, other)
        mlflow.set_experiment_tag(pinned_whole, "pin", "1")

    plan, result = clean_up(kind, action, meanwhile)
    assert plan.to_delete == 2 * len(heads) + 1
    skipped = texts(result.skipped)
    assert {change: skipped.pop(head) for change, head in heads.items()} == {
        "pinned": "tag pin",
        "running": "has status RUNNING",
        "resumed": "was resumed since the plan",
        "deleted": "is deleted now",
        "missing": "is not there any more",
        "registered": f"{name}-run version 1",
        "its model registered": f"{name}-model version 1",
        "a new child": f"has child {young}",
        "a parent that stays": f"has parent {other}",
        "whole": "tag pin of the experiment",
    }
    # the rest of each family with it; a missing run keeps none of its family
    assert skipped.pop(members["whole"]) == "tag pin of the experiment"
    kept = {run for change, run in members.items() if change not in ("whole", "missing")}
    assert skipped.keys() == kept
    assert result.done == 2  # the quiet one, and the member of the missing one
    stays = of(experiment) | of(pinned_whole)
    assert kept | {members["whole"], young, other} <= stays
    assert (quiet in stays) == (action == "quarantine")
    assert not (action == "hard_delete" and quiet in of(experiment, 3))
