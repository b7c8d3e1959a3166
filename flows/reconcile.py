"""`python -m flows.reconcile [--apply]`: find and end runs in RUNNING whose training is dead."""

if __name__ == "__main__":
    # Handed over before Prefect is imported: its temporary server starts while the rest loads.
    import sys

    from flows.reconciling.reconciler import main

    raise SystemExit(main(sys.argv[1:]))

from datetime import timedelta

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from pydantic import Field

from flows.command_line.prefect_address import with_prefect
from flows.parameters import parameters_of
from flows.reconciling.flow_runs import FlowRuns
from flows.ui import LogUi
from onerun.commands.options import CommonOptions
from onerun.commands.reconcile import Reconciled, ReconcileOptions, ReconcilePlanned, use
from onerun.commands.reconcile import reconcile as reconcile_with
from onerun.domain.reconcile.plan import ReconcilePlan
from onerun.process_tuning import end_quickly
from settings.profile import load_profile

ARTIFACT = "reconciliation"


class FlowReconcileOptions(CommonOptions):
    """What a deployment can ask."""

    apply: bool = Field(False, description="Act on the plan; without it nothing is changed.")
    silence_minutes: int = Field(
        30,
        ge=5,
        le=10_080,
        description="Without a heartbeat for so long a training counts as dead.",
    )
    also_older_than_days: int | None = Field(
        None, ge=1, le=3650, description="End runs of others, too, that were silent for so long."
    )
    experiments: list[str] = Field(
        [], description="Look only at experiments of these names (globs)."
    )

    def as_spans(self) -> ReconcileOptions:
        """Return the same as the command takes it."""
        older = self.also_older_than_days
        return ReconcileOptions(
            apply=self.apply,
            heartbeat_timeout=timedelta(minutes=self.silence_minutes),
            also_older_than=timedelta(days=older) if older else None,
            experiments=self.experiments,
        )


@flow(name="reconcile", validate_parameters=True, persist_result=False)
@parameters_of(FlowReconcileOptions)
def reconcile(options: FlowReconcileOptions) -> ReconcilePlanned | Reconciled:
    """Find runs with status RUNNING whose training is dead, and end them with the evidence."""
    end_quickly()
    unavailable = use(with_prefect(load_profile(options.profile)))
    with get_client(sync_client=True) as client:
        source = None if unavailable else FlowRuns(client)
        return reconcile_with(source, options.as_spans(), LogUi(), unavailable, _show)


def _show(plan: ReconcilePlan) -> None:
    """Put the plan on the flow run's page before anything is done."""
    create_table_artifact(
        key=ARTIFACT, table=plan.rows(), description="What is dead, and what is left alone"
    )
