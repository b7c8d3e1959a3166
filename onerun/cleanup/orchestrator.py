"""What an orchestrator knows of the trainings that it started: passed in, since the library knows
none by name.
"""

from collections.abc import Collection
from typing import Protocol

from onerun.config.profile import Profile
from onerun.domain.cleanup.findings import Finding


class Orchestrator(Protocol):
    """Such as a Prefect server."""

    def use_store(self, profile: str | None) -> Profile:
        """Apply the profile of that name, with what reaching the orchestrator needs.

        Raises: Mistakes.
        """

    def live_flow_runs(self) -> Collection[str] | None:
        """Return the ids of flow runs that can still work; None when no server is named.

        Raises: StoreUnreachable when a server is named and does not answer.
        """

    def dead_runs(self, measure: bool) -> list[Finding]:
        """Return runs with status RUNNING whose process is dead, with the evidence.

        Args: measure: also count the bytes that they left.
        """
