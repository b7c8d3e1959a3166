"""The ledger: who moved an alias, when, from which version to which, why, and on which metrics."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from onerun.domain.references import Reference

MoveKind = Literal["promote", "register", "to", "rollback"]


class Move(Reference):
    """One move of an alias. It is announced before the alias moves and done afterwards."""

    alias: str
    from_version: str | None  # None: the alias pointed nowhere
    to_version: str
    kind: MoveKind
    why: str
    who: str
    at: str  # UTC, ISO 8601 with microseconds: sorts as it reads
    place: str  # identifies the lock under which it was announced
    run_id: str | None = None
    numbers: dict[str, float] = Field(default_factory=dict)
    state: Literal["announced", "done"] = "announced"

    def age(self, now: datetime) -> float:
        """Return seconds between the announcement and `now`."""
        return (now - datetime.fromisoformat(self.at)).total_seconds()


def holders(moves: Sequence[Move]) -> list[str]:
    """Return the versions that a chain of rollbacks would visit, the present holder last.

    The moves of one alias, oldest first, are replayed: a promotion puts a version on top; a
    rollback takes versions off until its target is on top. So rolling back twice goes two steps
    back and does not swing between two versions.
    """
    stack: list[str] = []
    for move in moves:
        if move.from_version is not None and (not stack or stack[-1] != move.from_version):
            # moved by other means in between, such as MLflow's own pages
            stack.append(move.from_version)
        if move.kind == "rollback":
            while stack and stack[-1] != move.to_version:
                stack.pop()
        if not stack or stack[-1] != move.to_version:
            stack.append(move.to_version)
    return stack


def previous_holder(
    moves: Sequence[Move], now: str | None, existing: Collection[str]
) -> str | None:
    """Return the target of a rollback: the nearest earlier holder that still exists, or None.

    Args:
        moves: Of one alias, oldest first.
        now: The present holder.
        existing: The versions that still exist.
    """
    earlier = [version for version in holders(moves) if version != now and version in existing]
    if not earlier:
        return None
    return earlier[-1]
