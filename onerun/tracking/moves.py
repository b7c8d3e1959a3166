"""How an alias move is written down: one tag of the registered model per move, announced first, done afterwards.

One tag per move means that writers never overwrite each other's entries and no entry outgrows a tag.
"""

import getpass
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from onerun.domain import names
from onerun.domain.ledger import Move
from onerun.processes.locks import exclusive_lock
from onerun.tracking.runs import client

LONGEST_ALIAS_IN_TAG = 200  # MLflow takes tag keys of 250 characters and aliases of 255
LONGEST_WHY = 2000  # MLflow keeps 5,000 characters of a registered model's tag


def ledger(model: str, alias: str | None = None) -> list[Move]:
    """Return the finished moves of `alias` (of all aliases when None), oldest first."""
    return [move for move in entries(model, alias).values() if move.state == "done"]


def entries(model: str, alias: str | None = None) -> dict[str, Move]:
    """Return tag key -> move, announced ones included, oldest first."""
    tags = client().get_registered_model(model).tags
    moves = {
        key: Move.from_json(text)
        for key, text in sorted(tags.items())
        if key.startswith(names.PREFIX_MOVE)
    }
    return {key: move for key, move in moves.items() if alias in (None, move.alias)}


def announce(model: str, move: Move) -> str:
    """Writes down that the move is about to happen. Returns: the key of its entry."""
    key = names.TAG_MOVE.format(at=move.at, suffix=uuid4().hex[:8])
    client().set_registered_model_tag(model, key, move.model_dump_json())
    return key


def withdraw(model: str, key: str) -> None:
    """Takes an announcement back: nothing was moved."""
    client().delete_registered_model_tag(model, key)


def record(model: str, key: str, move: Move) -> Move:
    """Writes down that the move took place, on both versions and in the ledger. Safe to repeat."""
    alias = move.alias[:LONGEST_ALIAS_IN_TAG]
    if move.from_version is not None:
        _tag_version(
            model, move.to_version, names.TAG_PREVIOUS.format(alias=alias), move.from_version
        )
        _tag_version(
            model, move.from_version, names.TAG_REPLACED_BY.format(alias=alias), move.to_version
        )
    done = move.model_copy(update={"state": "done"})
    client().set_registered_model_tag(model, key, done.model_dump_json())
    return done


def _tag_version(model: str, version: str, key: str, value: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client().set_model_version_tag(model, version, key, value)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # a deleted version needs no tag
            raise


def now() -> str:
    """Return the time as the ledger writes it; MLflow's tag keys take no plus sign, hence the Z."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def who() -> str:
    """Return user@host; the user's number where it has no name, as in many containers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # until Python 3.12, and since
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextmanager
def alone(model: str) -> Iterator[str]:
    """Within the block, no other thread or process of this user on this machine changes the registered model.

    Yields: the lock's identity. Whoever holds the lock knows that announcements with the same identity are of the dead.
    The operating system gives the lock back when its holder is killed.
    """
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ["MLFLOW_TRACKING_URI"]
    digest = hashlib.sha256(f"{registry}\n{model}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"onerun-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with exclusive_lock(folder / f"{digest}.lock") as file:
        file.seek(0)
        place = file.read()
        if not place:
            place = uuid4().hex
            file.write(place)
            file.flush()
        yield place
