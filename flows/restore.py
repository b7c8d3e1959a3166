"""`python -m flows.restore ARCHIVE`: what an archive holds, back into the MLflow store; a Prefect flow as well."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a restore by hand needs no engine.
    from flows.upkeep.restoring import main

    raise SystemExit(main())

from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact

from flows.upkeep.restoring import restore as bring_back


@flow(name="restore", validate_parameters=True, persist_result=False)
def restore(
    archive: str,
    apply: bool = False,
    experiments: list[str] | None = None,
    runs: list[str] | None = None,
    models: list[str] | None = None,
    artifacts: str | None = None,
    overwrite: bool = False,
    profile: str | None = None,
    to: str | None = None,
) -> dict[str, Any]:
    """Bring back what an archive holds and the MLflow store lacks. Without `apply` only the plan is made.

    Args:
        archive: A file, or its s3:// address.
        apply: Write; without it nothing is changed.
        experiments: Experiments by name or id; with runs and models empty too, all of the archive.
        runs: Runs by id.
        models: Registered models by name.
        artifacts: Files go below this folder or address, not where they were.
        overwrite: Make what differs as it is in the archive.
        profile: Name of a profile in `settings/profiles/`.
        to: The store of files that an archive of folders is unpacked into, such as ./mlruns.
    """
    parts = (experiments or [], runs or [], models or [])
    result = bring_back(archive, *parts, apply, artifacts, overwrite, profile, to)
    table = [{"what": kind, **counts} for kind, counts in result["found"].items()]
    create_table_artifact(
        table, key="restore", description="\n\n".join([archive, *result["differing"]])
    )
    return result
