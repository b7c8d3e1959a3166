"""Aliases moved by hand: to a version, back to the previous holder; and their history."""

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.domain.ledger import Move, previous_holder
from onerun.tracking.registry import aliases, ledger, models, move_alias, version_of_alias, versions

SHOWN = 10  # versions named in a mistake


def move_to(model: str, alias: str, version: str, why: str = "") -> Move | None:
    """Move the alias. Returns the move, or None when the alias points there already.

    Raises:
        Mistakes: There is no such model or version.
    """
    _require_model(model)
    version = version.removeprefix("v")
    existing = versions(model)
    if version not in existing:
        newest = ", ".join(reversed(existing[-SHOWN:])) or "none yet"
        if len(existing) > SHOWN:
            newest = f"{newest} and {len(existing) - SHOWN} older"
        raise _mistake("--to", f"{model} has no version {version}; there are {newest}")
    holder = version_of_alias(model, alias)
    return move_alias(model, alias, version, holder, why or "moved by hand", kind="to")


def roll_back(model: str, alias: str, why: str = "") -> Move | None:
    """Move the alias to its previous holder that still exists; again goes one further back.

    Raises:
        Mistakes: The ledger has no earlier holder.
    """
    _require_model(model)
    holder = _holder(model, alias)
    target = previous_holder(ledger(model, alias), holder, versions(model))
    if target is None:
        reason = f"{model}@{alias} (version {holder}) has no earlier holder; use --to VERSION"
        raise _mistake("--rollback", reason)
    why = why or f"rolled back from version {holder}"
    return move_alias(model, alias, target, holder, why, kind="rollback")


def history(model: str, alias: str) -> tuple[list[Move], str | None]:
    """Return the alias's moves, oldest first, and its present holder.

    Raises:
        Mistakes: There is no such model, or neither a move nor a holder of the alias.
    """
    _require_model(model)
    moves = ledger(model, alias)
    if moves:
        return moves, version_of_alias(model, alias)
    return moves, _holder(model, alias)


def _require_model(model: str) -> None:
    known = models()
    if model in known:
        return
    hint = did_you_mean(model, known)
    if not known:
        hint = "; nothing was registered yet"
    hint = hint or f"; there are {', '.join(known[:SHOWN])}"
    raise _mistake("--model", f"no registered model {model!r}{hint}")


def _holder(model: str, alias: str) -> str:
    known = aliases(model)
    if alias in known:
        return known[alias]
    hint = did_you_mean(alias, known)
    if not known:
        hint = "; it has no alias yet"
    hint = hint or f"; there are {', '.join(sorted(known))}"
    raise _mistake("--alias", f"{model} has no alias {alias!r}{hint}")


def _mistake(option: str, message: str) -> Mistakes:
    return Mistakes([Mistake(option, message)])
