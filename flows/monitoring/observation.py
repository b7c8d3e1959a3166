"""What a look sees: the store that the profile names, and what Prefect knows of the runs in it."""

import time
from datetime import timedelta

from flows.command_line.prefect_address import with_prefect
from flows.maintenance import PREFECT
from flows.reconciling.liveness import reconcile_plan
from onerun.commands.profile_store import use_store_as
from onerun.commands.summary import SummaryOptions, summary_of
from onerun.domain.monitoring.series import Samples
from onerun.domain.monitoring.stores import merged, of_models, of_running, of_store
from onerun.domain.monitoring.trainings import of_trainings
from onerun.store.trainings import count_models, count_trainings
from settings.profile import PrefectProfile


def trainings(profile: str | None, window: timedelta) -> Samples:
    """Look at trainings, models and running runs. Raises: Mistakes, StoreUnreachable."""
    with_prefect(
        use_store_as(PrefectProfile, profile, about=("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"))
    ).apply()
    since = int((time.time() - window.total_seconds()) * 1000)
    return merged(
        [
            of_trainings(count_trainings(since)),
            of_models(count_models()),
            of_running(reconcile_plan()),
        ]
    )


def store(profile: str | None, files: bool) -> Samples:
    """Look at all of the store. Raises: Mistakes, StoreUnreachable."""
    summary = summary_of(SummaryOptions(profile=profile, files=files), PREFECT)
    return of_store(summary.model_dump(mode="json"))
