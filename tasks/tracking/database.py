"""MLflow's store where it is an SQLite file: made whole, or not at all.

MLflow makes its tables step by step in the file itself. Of first trainings that start together each would stumble over
the others' tables, and one that is killed meanwhile would leave a file that nothing can open any more.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from settings.addresses import redact
from settings.mistakes import Mistake, Mistakes

_ALONE = threading.Lock()  # Alembic keeps the migration under way in a module


def make_whole(uri: str) -> None:
    """Make the database of an SQLite `uri` where there is none. Other processes may do the same at the same time."""
    if not uri.startswith("sqlite"):
        return
    file = Path(uri.partition(":///")[2].partition("?")[0])
    if not file.exists():
        with _ALONE:
            if not file.exists():
                _make(file)


def _make(file: Path) -> None:
    """Made beside its place, which it then takes: whoever is first wins, and a file that is there is never replaced."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    draft = file.with_name(f".{file.name}-{uuid4().hex}")
    try:
        engine = create_sqlalchemy_engine(f"sqlite:///{draft}")  # type: ignore[no-untyped-call]
        _initialize_tables(engine)  # type: ignore[no-untyped-call]
        engine.dispose()
        _take_place(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def _take_place(draft: Path, file: Path) -> None:
    try:
        file.hardlink_to(draft)
    except FileExistsError:
        pass  # another training was a moment faster; its database is as good
    except OSError:  # a file system without hard links, such as FAT
        if not file.exists():
            draft.rename(file)


@contextmanager
def schema_explained(uri: str) -> Iterator[None]:
    """Within the block, a database that another version of MLflow made is a mistake with its way out (P5).

    MLflow's own words always advise to upgrade the database, also when the installed MLflow is the one that is too old.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        found = re.search(r"database schema \(found version (\w+), but expected \w+\)", str(error))
        if found is None:
            raise
        raise Mistakes([Mistake("MLFLOW_TRACKING_URI", _way_out(found[1], redact(uri)))]) from error


def _way_out(revision: str, uri: str) -> str:
    import mlflow

    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{revision}_*.py")):
        ours = f"this is {mlflow.__version__}: back it up, end all trainings, and run `mlflow db upgrade {uri}`"
        return f"the database was made by an older MLflow (schema {revision}) and {ours}"
    ours = f"than {mlflow.__version__}; install the one that made it, or name another database"
    return f"the database was made by a newer MLflow (schema {revision}) {ours}"
