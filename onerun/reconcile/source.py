"""What the reconciler asks of an orchestrator about the flow runs that trainings belong to."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

from onerun.domain.errors import TransientError
from onerun.domain.reconcile.marks import Mark
from onerun.domain.reconcile.not_started import NotStarted
from onerun.domain.reconcile.seen import Answer, FlowRunSeen


class SourceUnreachable(TransientError):
    """The orchestrator does not answer, or only with errors."""


class FlowRunSource(Protocol):
    """Answers about flow runs, with the orchestrator's own clock. Every method raises SourceUnreachable."""

    def answers(self, flow_run_ids: Iterable[str]) -> dict[str, Answer]:
        """Return what is known of each flow run."""

    def begun_since(self, since: timedelta) -> dict[str, FlowRunSeen]:
        """Return the trainings that were begun within `since`, and all that count as running, by id."""

    def not_started(self, after: timedelta) -> tuple[NotStarted, ...]:
        """Return the flow runs that a worker took at least `after` ago and that have not begun."""

    def heartbeat(self, flow_run_id: str) -> datetime | None:
        """Return when the orchestrator last received a heartbeat of the flow run, by its own clock."""

    def mark(self, seen: FlowRunSeen, mark: Mark) -> str | None:
        """Set the state of a flow run. Return what has changed meanwhile, so that it was left; None when it is set."""
