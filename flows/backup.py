"""`python -m flows.backup`: an MLflow store, or parts of it, in one verified archive; a Prefect flow as well."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a backup by hand needs no engine.
    from flows.upkeep.backing_up import main

    raise SystemExit(main())

from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.upkeep.backing_up import back_up


@flow(name="backup", validate_parameters=True, persist_result=False)
def backup(
    to: str | None = None,
    keep: Annotated[int, Field(ge=1, le=3650)] | None = None,
    experiments: list[str] | None = None,
    runs: list[str] | None = None,
    models: list[str] | None = None,
    label: str | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """Back up an MLflow store, or parts of it, into one verified archive.

    Args:
        to: A folder or s3://bucket/prefix; `backups` in the profile's store when empty.
        keep: How many archives of this label and store are kept; all when empty.
        experiments: Experiments by name or id; with runs and models empty too, the whole store.
        runs: Runs by id.
        models: Registered models by name.
        label: How the archive's name begins.
        profile: Name of a profile in `settings/profiles/`.
    """
    result = back_up(experiments or [], runs or [], models or [], to, keep, label, profile)
    table = [{"what": kind, "count": count} for kind, count in result["counts"].items()]
    text = f"{result['archive']}\n\nBack: `{result['restore']}`"
    create_table_artifact(table, key="backup", description=text)
    return result
