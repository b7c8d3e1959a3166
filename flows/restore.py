"""`python -m flows.restore ARCHIVE`: what an archive holds, back into the store; also a flow."""

import sys

from onerun.commands.restore import COMMAND, RestoreOptions, RestoreResult

if __name__ == "__main__":
    # Handed over before Prefect is imported: a restore by hand needs no engine.
    raise SystemExit(COMMAND.main(sys.argv[1:], "python -m flows.restore"))

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.parameters import parameters_of
from flows.ui import LogUi


@flow(name="restore", validate_parameters=True, persist_result=False)
@parameters_of(RestoreOptions, without=("verify",))
def restore(options: RestoreOptions) -> RestoreResult:
    """Bring back what an archive holds and the store lacks; only the plan without `apply`."""
    result = COMMAND.run(options, LogUi())
    assert isinstance(result, RestoreResult)  # the flow has no parameter `verify`
    table = [{"what": kind, **counts} for kind, counts in result.found.items()]
    text = "\n\n".join([options.archive, *result.differing])
    create_table_artifact(table, key="restore", description=text)
    return result
