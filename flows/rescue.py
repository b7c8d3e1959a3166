"""`python -m flows.rescue --from ./mlruns`: an old file store, examined and brought into a database; a flow as well."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a rescue by hand needs no engine.
    from flows.upkeep.rescuing import main

    raise SystemExit(main())

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.upkeep.rescuing import rescue as bring
from onerun.domain.errors import OnerunError


@flow(name="rescue", validate_parameters=True, persist_result=False)
def rescue(
    source: str, to: str | None = None, apply: bool = False, keep_in: str | None = None
) -> dict[str, Any]:
    """Examine an old MLflow file store, and bring what can be saved into a database.

    Args:
        source: The folder with the experiments, such as ./mlruns.
        to: The database: an SQLite file that is not there, or an empty PostgreSQL database.
        apply: Do it; without it nothing is written.
        keep_in: Where backup, quarantine and report go; beside the folder when empty.
    """
    result = bring(source, to, apply, keep_in)
    create_table_artifact(
        result["findings"] or [{"found": "nothing"}], key="rescue", description=result["source"]
    )
    if result["status"] == "not proven":
        raise OnerunError("; ".join([*result["differences"], *result["orphans"]][:5]))
    return result
