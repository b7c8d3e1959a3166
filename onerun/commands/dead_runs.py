"""Runs with status RUNNING whose training is dead, as findings of the maintenance."""

from collections.abc import Collection

from onerun.commands.profile_store import use_store
from onerun.config.profile import Profile
from onerun.domain.cleanup.findings import Finding
from onerun.domain.reconcile.plan import ReconcilePlan


def dead_run_findings(plan: ReconcilePlan, measure: bool) -> list[Finding]:
    """Return the dead runs of a reconciler's plan, with the evidence.

    Args: measure: count the bytes that they left.
    """
    from onerun.store import artifact_paths

    return [
        Finding(
            kind="dead-running",
            id=run.run_id,
            bytes=artifact_paths.size_of(run.place) if measure and run.place else None,
            since=int(1000 * run.started.timestamp()),
            cause="; ".join(dead.evidence),
            place=run.place,
        )
        for run, dead in plan.dead
    ]


class NoOrchestrator:
    """Nothing but this machine is asked."""

    def use_store(self, profile: str | None) -> Profile:
        """Apply the library's profile of that name."""
        return use_store(profile)

    def live_flow_runs(self) -> Collection[str] | None:
        """Return None: no server is asked."""
        return None

    def dead_runs(self, measure: bool) -> list[Finding]:
        """Return the runs of which this machine knows that they are dead."""
        from onerun.domain.reconcile.seen import ReconcilePolicy
        from onerun.reconcile.survey import plan

        return dead_run_findings(plan(None, ReconcilePolicy(), "no API is named"), measure)
