"""MLflow's store where it is an SQLite file: made whole, or not at all.

MLflow makes its tables step by step in the file itself. Of first trainings that start together each would stumble over
the others' tables, and one that is killed meanwhile would leave a file that nothing can open any more.
"""

import threading
from pathlib import Path
from uuid import uuid4

_ALONE = threading.Lock()  # Alembic keeps the migration under way in a module


def make_whole(uri: str) -> None:
    """Make the database of an SQLite `uri` where there is none. Other processes may do the same at the same time."""
    file = sqlite_file(uri)
    if file and not file.exists():
        with _ALONE:
            if not file.exists():
                _make(file)


def sqlite_file(uri: str) -> Path | None:
    """Returns: the file of an SQLite `uri`; None: it is another kind of store."""
    return Path(uri.partition(":///")[2].partition("?")[0]) if uri.startswith("sqlite") else None


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
