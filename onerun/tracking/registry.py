"""Registered models: one version per run, and aliases that move by compare-and-set."""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from onerun.domain.errors import AliasBusy, AliasMoved
from onerun.domain.ledger import Move, MoveKind
from onerun.tracking.moves import (
    LONGEST_WHY,
    alone,
    announce,
    entries,
    ledger,
    now,
    record,
    who,
    withdraw,
)
from onerun.tracking.retrying_client import call
from onerun.tracking.runs import client

__all__ = [
    "aliases",
    "ledger",
    "make_version",
    "models",
    "move_alias",
    "tag_version",
    "version_of_alias",
    "versions",
]

DEAD_AFTER_SECONDS = (
    60.0  # an announcement of another machine that is older than this is of the dead
)
BUSY_AFTER_SECONDS = 90.0  # how long a move waits for moves of other machines


def has_version(model: str, version: str) -> bool:
    """Return whether the registered model has a version of that number."""
    from mlflow.exceptions import MlflowException

    try:
        client().get_model_version(model, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return False
    return True


def version_of_alias(model: str, alias: str) -> str | None:
    """Return the version that the alias points at; None when there is no such alias, model or version."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client().get_model_version_by_alias(model, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def versions(model: str, run_id: str | None = None) -> list[str]:
    """Return the versions of the model (those of one run when `run_id` is given), oldest first."""
    made_by = f" and run_id = '{run_id}'" if run_id else ""
    found: list[int] = []
    token = None
    while True:
        page = client().search_model_versions(f"name = '{model}'{made_by}", page_token=token)
        found += [int(version.version) for version in page]
        token = page.token
        if not token:
            return [str(version) for version in sorted(found)]


def models() -> list[str]:
    """Return the names of all registered models."""
    found: list[str] = []
    token = None
    while True:
        page = client().search_registered_models(page_token=token)
        found += [str(model.name) for model in page]
        token = page.token
        if not token:
            return found


def aliases(model: str) -> dict[str, str]:
    """Return alias -> version of an existing model."""
    return {
        alias: str(version)
        for alias, version in client().get_registered_model(model).aliases.items()
    }


def tag_version(model: str, version: str, key: str, value: str) -> None:
    """Sets one tag of a version, cut to what every store takes."""
    client().set_model_version_tag(model, version, key[:250], value[:LONGEST_WHY])


def make_version(
    model: str,
    model_id: str,
    run_id: str,
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> str:
    """One run makes at most one version (P2): a repeated or a concurrent call returns the version that is there.

    Description and tags are written together with the version, so that none is ever without them.
    """
    with alone(model):
        _make_registered_model(model)
        source, words = f"models:/{model_id}", description or None

        def make_unless_made() -> (
            None
        ):  # an earlier try may have made it, and only its answer was lost
            if not versions(model, run_id):
                client().create_model_version(
                    model, source, run_id, dict(tags or {}), description=words, model_id=model_id
                )

        call(make_unless_made)
        first, *later = versions(model, run_id)
        for (
            version
        ) in later:  # another machine registered the same run at the same moment: the oldest stays
            client().delete_model_version(model, version)
        return first


def _make_registered_model(model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client().create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def move_alias(
    model: str,
    alias: str,
    to_version: str,
    expected: str | None,
    why: str,
    run_id: str | None = None,
    kind: MoveKind = "promote",
    numbers: Mapping[str, float] | None = None,
) -> Move | None:
    """Compare-and-set: the alias moves to `to_version` only if it points at `expected` (None: nowhere).

    Returns: the move as the ledger has it; None when the alias pointed at `to_version` already.
    Raises: AliasMoved when another version holds it; AliasBusy when other machines' moves do not end.

    On one machine a lock makes this atomic. Between machines (pods that share one tracking server) MLflow offers no
    compare-and-set, so each mover announces itself in the ledger, then looks; who sees another's announcement takes
    its own back and waits. Two movers cannot both miss the other. What this cannot see: a hand in MLflow's own pages,
    and a mover that stalls for more than 60 seconds between its last look and its move.
    """
    deadline = time.monotonic() + BUSY_AFTER_SECONDS
    move = Move(
        alias=alias, from_version=expected, to_version=to_version, kind=kind, why=why[:LONGEST_WHY], who=who(),
        at=now(), place="", run_id=run_id, numbers=dict(numbers or {}),
    )  # fmt: skip
    while True:
        with alone(model) as place:
            _settle(model, alias, place)
            if not _may_move(model, move):
                return None
            done = _move_if_undisturbed(
                model, move.model_copy(update={"at": now(), "place": place})
            )
        if done:
            return done
        if time.monotonic() > deadline:
            raise AliasBusy(
                f"{model}@{alias}: other machines are moving this alias for {BUSY_AFTER_SECONDS:.0f} s now"
            )
        time.sleep(
            random.uniform(0.05, 0.5)
        )  # two that withdraw from each other must not meet again


def _may_move(model: str, move: Move) -> bool:
    """Return False when nothing is left to do. Raises: AliasMoved when another version holds the alias."""
    holder = version_of_alias(model, move.alias)
    if holder == move.to_version:
        return False
    if holder != move.from_version:
        expected = f"version {move.from_version}" if move.from_version else "no version"
        came = f"version {holder}" if holder else "no version"
        raise AliasMoved(
            f"{model}@{move.alias}: expected to find {expected}, found {came}; "
            f"it was moved meanwhile and is left as it is (version {move.to_version} was to take it)"
        )
    return True


def _move_if_undisturbed(model: str, move: Move) -> Move | None:
    """Return the finished move, or None when another machine announced one and this one was taken back."""
    key = announce(model, move)
    try:
        if (
            len(
                [
                    other
                    for other in entries(model, move.alias).values()
                    if other.state == "announced"
                ]
            )
            > 1
        ):
            withdraw(model, key)
            return None
        if not _may_move(model, move):
            withdraw(model, key)
            return None
    except AliasMoved:
        withdraw(model, key)
        raise
    client().set_registered_model_alias(model, move.alias, move.to_version)
    return record(model, key, move)


def _settle(model: str, alias: str, place: str) -> None:
    """Puts right what killed movers left: the alias moved but unrecorded, or announced but never moved."""
    for key, move in entries(model, alias).items():
        dead = move.place == place or move.age(datetime.now(UTC)) > DEAD_AFTER_SECONDS
        if move.state == "announced" and dead:
            if version_of_alias(model, alias) == move.to_version:
                record(model, key, move)
            else:
                withdraw(model, key)
