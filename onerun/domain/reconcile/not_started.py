"""Flow runs that a worker took and that have not begun: on Kubernetes their pod cannot start."""

from onerun.domain.reconcile.seen import FlowRunSeen, Seen, ago


class NotStarted(Seen):
    """A flow run that has been pending, or on its way to be cancelled, without ever having begun to run."""

    flow_run: FlowRunSeen
    pool: str = ""
    said: str = ""  # what the pool's worker last said of its pod, in its own words; empty: nothing

    @property
    def why(self) -> str:
        """Return the worker's own words or, without any, where the reason is found."""
        if self.said:
            return self.said
        selector = f"prefect.io/flow-run-id={self.flow_run.flow_run_id}"
        return (
            "its worker said nothing of why. On Kubernetes `kubectl describe pods --selector "
            f"{selector}` in the worker's namespace does, such as a key that ConfigMap or Secret lack"
        )

    @property
    def line(self) -> str:
        """Return it as a person reads it, such as `x 0b3f... in pool kubernetes has been Pending for 12 min`."""
        seen = self.flow_run
        where = f" in pool {self.pool}" if self.pool else ""
        state = seen.state_name or seen.state_type
        return f"{seen.name} {seen.flow_run_id}{where} has been {state} for {ago(seen.for_)}"
