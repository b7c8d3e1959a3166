"""Tests that carry a cell write down how it went. All of this folder is long, but what is marked `fast`."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests import servers
from tests.guarantees import trainings
from tests.guarantees.cells import Cell, Recovery, Result
from tests.guarantees.holding import Facts, facts
from tests.guarantees.trainings import RECIPE, Training

HERE = Path(__file__).parent
RECOVERY = pytest.StashKey[Recovery]()
LONGEST = (
    "test_p1_p2_five_minutes",
    "test_p1_p2_a_program_hangs",
)  # begun first: nobody waits for them at the end


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONGEST))
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(1200))  # a busy machine is no broken promise
            if not item.get_closest_marker("fast"):
                item.add_marker("long")


def cell_of(item: pytest.Item) -> Cell | None:
    mark = item.get_closest_marker("cell")
    return mark.args[0] if mark else None


@pytest.fixture
def recovery(request: pytest.FixtureRequest) -> Recovery:
    """Use as `with recovery:` around what puts the fault right."""
    return request.node.stash.setdefault(RECOVERY, Recovery())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    cell = cell_of(item)
    if cell and (report.when == "call" or report.failed):
        recovery = item.stash.get(RECOVERY, Recovery())
        why = "\n".join(line for line in report.longreprtext.splitlines() if line.startswith("E "))[
            -2000:
        ]
        Result(item.nodeid, cell, report.passed, recovery.seconds, call.duration, why).write()
    return report


@pytest.fixture(scope="session")
def template_store(tmp_path_factory: pytest.TempPathFactory, environment: object) -> Path:
    """Returns: an empty MLflow database."""
    from onerun.tracking.database import make_whole

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    make_whole(f"sqlite:///{path}")
    return path


@pytest.fixture
def turns(prefect_api: str) -> Iterator[Callable[[int], None]]:
    """Returns: sets how many flow runs may train the model at once. After the test no dead one holds a slot."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from flows.training.concurrency import limit_name

    name = limit_name("diabetes")
    with get_client(sync_client=True) as client:
        yield lambda limit: client.upsert_global_concurrency_limit_by_name(name, limit)
        with suppress(ObjectNotFound):
            client.delete_global_concurrency_limit_by_name(name)


@pytest.fixture
def server(mlflow_server: servers.MlflowServer) -> servers.MlflowServer:
    """Returns: the session's MLflow server, emptied."""
    with closing(sqlite3.connect(mlflow_server.folder / "server.db", timeout=60)) as store, store:
        tables = {
            name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        for table in tables - {"alembic_version", "workspaces"}:
            store.execute(
                f"DELETE FROM {table}" + " WHERE experiment_id <> 0" * (table == "experiments")
            )
    shutil.rmtree(mlflow_server.folder / "server-artifacts", ignore_errors=True)
    return mlflow_server


@pytest.fixture
def training(template_store: Path, tmp_path: Path, turns: object) -> Callable[..., Training]:
    """Returns: makes a training in this test's folder, with an SQLite store of its own there."""

    def make(recipe: str = RECIPE, tracking_uri: str | None = None) -> Training:
        trainings.new_store(template_store, tmp_path)
        return Training(tmp_path, recipe, tracking_uri)

    return make


@pytest.fixture(scope="session")
def undisturbed(
    template_store: Path, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Facts]:
    """Returns: what a recipe comes to without a fault; trained once per session."""
    known: dict[str, Facts] = {}

    def of(recipe: str = RECIPE) -> Facts:
        if recipe not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            trainings.new_store(template_store, folder)
            done = Training(folder, recipe)
            assert done.run() == 0, done.said()
            known[recipe] = facts(done)
        return known[recipe]

    return of
