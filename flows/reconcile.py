"""`python -m flows.reconcile [--apply]`: runs that read RUNNING and whose training is dead are found and ended."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: a temporary server comes up while everything else loads.
    from flows.reconciling.reconciler import main

    raise SystemExit(main())

import logging
from datetime import timedelta
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from pydantic import Field

from flows.command_line.prefect_address import with_prefect
from flows.reconciling.flow_runs import FlowRuns
from flows.reconciling.reconciliation import policy, reconciled, use
from flows.ui import log_to_prefect
from onerun.domain.reconcile.plan import Plan
from onerun.process_tuning import end_quickly
from settings.profile import load_profile

ARTIFACT = "reconciliation"


@flow(name="reconcile", validate_parameters=True, persist_result=False)
def reconcile(
    apply: bool = False,
    silence_minutes: Annotated[int, Field(ge=5, le=10_080)] = 30,
    also_older_than_days: Annotated[int, Field(ge=1, le=3650)] | None = None,
    experiments: list[str] | None = None,
    profile: str | None = None,
) -> dict[str, Any]:
    """Find runs that read RUNNING and whose training is dead, and end them with the evidence.

    Args:
        apply: Act on the plan; without it nothing is changed.
        silence_minutes: A heart silent for so long has stopped.
        also_older_than_days: End runs that others made, too, when silent for so long.
        experiments: Look only at experiments of these names (globs).
        profile: Name of a profile in `settings/profiles/`.
    """
    end_quickly()
    older = timedelta(days=also_older_than_days) if also_older_than_days else None
    wanted = policy(timedelta(minutes=silence_minutes), older, experiments or ())
    silence = use(with_prefect(load_profile(profile)))
    log_to_prefect()  # what is said below reaches the flow run's log
    with get_client(sync_client=True) as client:
        prefect = None if silence else FlowRuns(client)
        return reconciled(prefect, wanted, apply, logging.getLogger("onerun").info, silence, _show)


def _show(plan: Plan) -> None:
    """The plan stands on the flow run's page before anything is done."""
    create_table_artifact(
        key=ARTIFACT, table=plan.rows(), description="What is dead, and what is left alone"
    )
