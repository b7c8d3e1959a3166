"""The commands of the maintenance as flows and `python -m flows.*` run them: Prefect is asked what
is live and dead.
"""

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
        """Apply the profile of that name, with the server that Prefect's own profile names where it
        names none.
        """
        chosen = with_prefect(use_store_as(PrefectProfile, profile))
        chosen.apply()
        return chosen

    def live_flow_runs(self) -> frozenset[str] | None:
        """Return the ids of flow runs that are running, paused or waiting; None when no server is
        named.
        """
        from flows.reconciling import living

        return living.living_flow_runs()

    def dead_runs(self, measure: bool) -> list[Finding]:
        """Return runs with status RUNNING that the reconciler would end."""
        from flows.reconciling.dead import dead_runs

        return dead_runs(measure)


PREFECT = PrefectOrchestrator()
MAINTAIN = replace(maintain.COMMAND, run=partial(maintain.run, orchestrator=PREFECT))
SUMMARY = replace(summary.COMMAND, run=partial(summary.run, orchestrator=PREFECT))
