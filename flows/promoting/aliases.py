"""The command line of an alias: who holds it, since when and why, and moving it. Needs no Prefect."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.command_line.arguments import add_usual, command_line, parsed
from flows.promoting.history import history_lines
from onerun.commands.exit import exit_code
from onerun.config.mistakes import Mistake, Mistakes
from onerun.config.profile import check_profile
from onerun.domain.ledger import Move
from onerun.domain.promotion import move_command
from settings.profile import load_profile

EXAMPLE = """example:
  python -m flows.promote --model california-housing --history
  python -m flows.promote --model california-housing --rollback
  python -m flows.promote --model california-housing --to 3 --why "approved in the March review"

--rollback moves the alias to the version that held it before; a second --rollback goes one further back.
exit codes: 0 done, 1 the alias could not be moved, 2 a mistake in what was asked, 130 interrupted"""
ABOUT_THE_REGISTRY = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")


def parser() -> argparse.ArgumentParser:
    """Returns: the arguments of `python -m flows.promote`."""
    parser = command_line(
        "flows.promote", "Move the alias of a registered model, by hand and on the record.", EXAMPLE
    )
    parser.add_argument("--model", metavar="NAME", required=True, help="the registered model")
    parser.add_argument("--alias", metavar="NAME", default="champion", help="the alias (champion)")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--rollback", action="store_true", help="move it to its previous holder")
    action.add_argument("--to", metavar="VERSION", help="move it to this version")
    action.add_argument(
        "--history", action="store_true", help="show who moved it, when, why, and how to undo it"
    )
    parser.add_argument(
        "--why", metavar="TEXT", default="", help="what the record says as the reason"
    )
    add_usual(parser, "where it is registered")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do as asked. Returns: the exit code."""
    if (asked := parsed(parser(), arguments)) is None:
        return 0
    return exit_code(
        lambda: _done(asked),
        asked.json,
        "interrupted; --history shows whether the alias moved",
        asked.traceback,
    )


def _done(asked: argparse.Namespace) -> dict[str, Any]:
    use_registry(asked.profile)
    result = {"status": "done", **_result(asked)}
    if not asked.json:
        print(_told(result))
    return result


def _result(asked: argparse.Namespace) -> dict[str, Any]:
    if asked.history:
        from onerun.promotion.aliases import history

        moves, holder = history(asked.model, asked.alias)
        return {
            "model": asked.model,
            "alias": asked.alias,
            "holder": holder,
            "moves": [undoable(asked.model, move) for move in moves],
        }
    return move(asked.model, asked.alias, asked.to, asked.why)


def use_registry(profile: str | None) -> None:
    """Applies the profile when its registry answers; Prefect and the object store need not. Raises: Mistakes."""
    chosen = load_profile(profile)
    mistakes = [mistake for mistake in check_profile(chosen) if mistake.key in ABOUT_THE_REGISTRY]
    uri = chosen.variables().get("MLFLOW_REGISTRY_URI") or chosen.variables()["MLFLOW_TRACKING_URI"]
    file = uri.partition(":///")[2] if uri.startswith("sqlite") else ""
    if file and not Path(file).exists():
        mistakes.append(
            Mistake(
                "MLFLOW_TRACKING_URI", f"{file} does not exist: nothing was registered there yet"
            )
        )
    if mistakes:
        raise Mistakes(mistakes)
    chosen.apply()


def move(model: str, alias: str, to: str | None, why: str = "") -> dict[str, Any]:
    """Moves the alias to version `to`, or back to its previous holder when None. Returns: what --json prints."""
    from onerun.promotion.aliases import move_to, roll_back

    moved = move_to(model, alias, to, why) if to else roll_back(model, alias, why)
    if moved is None:
        return {"model": model, "alias": alias, "moved": False, "to": to}
    return {"model": model, "moved": True, **undoable(model, moved)}


def undoable(model: str, move: Move) -> dict[str, Any]:
    """Returns: the move as JSON, with the command that undoes it."""
    back = move_command(model, move.alias, move.from_version) if move.from_version else None
    told = move.model_dump(include={"at", "alias", "kind", "who", "why", "run_id", "numbers"})
    return {**told, "from": move.from_version, "to": move.to_version, "back": back}


def _told(result: dict[str, Any]) -> str:
    if "moves" in result:
        return "\n".join(history_lines(result))
    if not result["moved"]:
        return f"{result['model']}@{result['alias']} points at version {result['to']} already"
    back = f"\nback: {result['back']}" if result["back"] else ""
    return f"{result['model']}@{result['alias']}: version {result['from'] or '-'} -> {result['to']}{back}"
