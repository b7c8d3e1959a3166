"""The commands `maintain` and `summary`, which ask Prefect what is live and what is dead."""

from dataclasses import replace
from functools import partial

from flows.command_line.prefect_address import with_prefect
from onerun.commands import maintain, summary
from onerun.commands.profile_store import use_store_as
from onerun.domain.cleanup.findings import Finding
from settings.profile import PrefectProfile


class PrefectOrchestrator:
    """The server that PREFECT_API_URL names. Nothing of Prefect is imported where none is named."""

    def use_store(self, profile: str | None) -> PrefectProfile:
        """Apply the profile; without a server, with the one that Prefect's own profile names."""
        chosen = with_prefect(use_store_as(PrefectProfile, profile))
        chosen.apply()
        return chosen

    def live_flow_runs(self) -> frozenset[str] | None:
        """Return ids of flow runs that run, are paused or wait; None when no server is named."""
        from flows.reconciling import liveness

        return liveness.live_flow_runs()

    def dead_runs(self, measure: bool) -> list[Finding]:
        """Return runs with status RUNNING that the reconciler would end."""
        from flows.reconciling import liveness

        return liveness.dead_runs(measure)


PREFECT = PrefectOrchestrator()
MAINTAIN = replace(maintain.COMMAND, run=partial(maintain.run, orchestrator=PREFECT))
SUMMARY = replace(summary.COMMAND, run=partial(summary.run, orchestrator=PREFECT))
