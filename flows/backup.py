"""`python -m flows.backup`: an MLflow store, or parts of it, in one archive; also a flow."""

import sys

from onerun.commands.backup import COMMAND, BackupOptions, BackupResult

if __name__ == "__main__":
    # Handed over before Prefect is imported: a backup by hand needs no engine.
    raise SystemExit(COMMAND.main(sys.argv[1:], "python -m flows.backup"))

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.parameters import parameters_of
from flows.ui import LogUi


@flow(name="backup", validate_parameters=True, persist_result=False)
@parameters_of(BackupOptions)
def backup(options: BackupOptions) -> BackupResult:
    """Back up an MLflow store, or parts of it, into one verified archive."""
    result = COMMAND.run(options, LogUi())
    table = [{"what": kind, "count": count} for kind, count in result.counts.items()]
    text = f"{result.archive}\n\nBack: `{result.restore}`"
    create_table_artifact(table, key="backup", description=text)
    return result
