"""`python -m flows.promote --model NAME --rollback | --to VERSION | --history`: move an alias."""

import sys

from onerun.commands.promote import COMMAND, AliasMove, AliasUnchanged, MoveOptions, move

if __name__ == "__main__":
    # Handed over before Prefect is imported: moving an alias by hand needs no engine.
    raise SystemExit(COMMAND.main(sys.argv[1:], "python -m flows.promote"))

from prefect import flow

from flows.parameters import parameters_of
from flows.ui import LogUi
from onerun.commands.profile_store import use_registry


@flow(name="promote", validate_parameters=True, persist_result=False)
@parameters_of(MoveOptions)
def promote(options: MoveOptions) -> AliasMove | AliasUnchanged:
    """Move the alias of a registered model to a version, or back to its previous holder."""
    use_registry(options.profile)
    result = move(options)
    for line in result.lines():
        LogUi().say(line)
    return result
