"""What a store holds, in numbers."""

from collections import Counter
from contextlib import closing

from onerun.cleanup.inspection import NO_POLICY, examine
from onerun.cleanup.litter import Places, examine_litter
from onerun.cleanup.planner import milliseconds
from onerun.domain.cleanup.summary import Summary
from onerun.store import artifact_paths
from onerun.store.protocol import open_store


def summarise(
    folder: str | None = None, files: bool = True, places: Places | None = None
) -> Summary:
    """Return what a store holds; nothing is changed.

    Args:
        folder: a store of files, in place of the environment's.
        files: also look at artifacts, which takes longest.
        places: where trainings of this store leave things; None: those are not looked at.

    Raises: Mistakes.
    """
    experiments: Counter[str] = Counter()
    runs: Counter[str] = Counter()
    logged, locations = 0, []
    with closing(open_store(folder)) as store:
        with store.inventory(NO_POLICY, ()) as (_, groups):
            for group in groups:
                experiments[group.experiment.lifecycle] += 1
                runs.update("deleted" if run.is_deleted else run.status for run in group.runs)
                logged += len(group.models)
                locations.append(group.experiment.location)
        database = store.database_size()
        versions = [version for version, _ in store.version_places()]
        findings = examine(store) if files else list(store.problems())
        if files and places:
            findings += examine_litter(store, places, NO_POLICY, ())
    measured = [artifact_paths.size_of(location) for location in locations] if files else []
    return Summary(
        experiments=dict(experiments),
        runs=dict(runs),
        logged_models=logged,
        registered_models=len({version.model for version in versions}),
        versions=len(versions),
        bytes=sum(size or 0 for size in measured) if files else None,
        database_bytes=database,
        unmeasured=sum(size is None for size in measured),
        troubles=findings,
        at=milliseconds(),
    )
