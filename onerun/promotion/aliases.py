"""Moving an alias by hand: to a version, back to the previous holder, and who moved it before."""

from onerun.config.mistakes import Mistake, Mistakes, did_you_mean
from onerun.domain.ledger import Move, previous_holder
from onerun.tracking.registry import aliases, ledger, models, move_alias, version_of_alias, versions

SHOWN = 10  # versions named in a mistake


def move_to(model: str, alias: str, version: str, why: str = "") -> Move | None:
    """Return the move; None when the alias points there already. Raises: Mistakes when there is no such version."""
    _need_model(model)
    version = version.removeprefix("v")
    existing = versions(model)
    if version not in existing:
        newest = ", ".join(reversed(existing[-SHOWN:])) or "none yet"
        more = f" and {len(existing) - SHOWN} older" if len(existing) > SHOWN else ""
        raise Mistakes(
            [Mistake("--to", f"{model} has no version {version}; there are {newest}{more}")]
        )
    return move_alias(
        model, alias, version, version_of_alias(model, alias), why or "moved by hand", kind="to"
    )


def roll_back(model: str, alias: str, why: str = "") -> Move | None:
    """Move the alias to its previous holder that still exists; again goes one further back.

    Raises: Mistakes when the ledger knows no earlier holder.
    """
    _need_model(model)
    holder = _holder(model, alias)
    target = previous_holder(ledger(model, alias), holder, versions(model))
    if target is None:
        raise Mistakes(
            [
                Mistake(
                    "--rollback",
                    f"{model}@{alias} (version {holder}) has no earlier holder; use --to VERSION",
                )
            ]
        )
    why = why or f"rolled back from version {holder}"
    return move_alias(model, alias, target, holder, why, kind="rollback")


def history(model: str, alias: str) -> tuple[list[Move], str | None]:
    """Return the alias's moves, oldest first, and its present holder. Raises: Mistakes when never heard of."""
    _need_model(model)
    moves = ledger(model, alias)
    return moves, version_of_alias(model, alias) if moves else _holder(model, alias)


def _need_model(model: str) -> None:
    known = models()
    if model not in known:
        there = (
            f"; there are {', '.join(known[:SHOWN])}" if known else "; nothing was registered yet"
        )
        raise Mistakes(
            [
                Mistake(
                    "--model", f"no registered model {model!r}{did_you_mean(model, known) or there}"
                )
            ]
        )


def _holder(model: str, alias: str) -> str:
    known = aliases(model)
    if alias not in known:
        there = f"; there are {', '.join(sorted(known))}" if known else "; it has no alias yet"
        raise Mistakes(
            [
                Mistake(
                    "--alias",
                    f"{model} has no alias {alias!r}{did_you_mean(alias, known) or there}",
                )
            ]
        )
    return known[alias]
