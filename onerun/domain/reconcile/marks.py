"""Flow runs that Prefect takes for running and whose process is dead: the state that they get."""

from typing import Literal

from onerun.domain.reconcile.seen import FlowRunSeen, ProcessState, Seen
from onerun.domain.reconcile.verdicts import Dead, Verdict

State = Literal["Crashed", "Cancelled", "Completed", "Failed"]
OF_RUN: dict[str, State] = {"FINISHED": "Completed", "FAILED": "Failed"}


class Mark(Seen):
    """Tell Prefect so."""

    state: State
    evidence: tuple[str, ...]


def mark(
    flow_run: FlowRunSeen, process: ProcessState, verdict: Verdict | None, reads: str | None
) -> Mark | None:
    """Return the state that the flow run gets; None when it is left alone.

    Args:
        process: what this machine knows of the process that works on it by its own label.
        verdict: of its MLflow run with status RUNNING, where there is one.
        reads: the status of its MLflow run when that is not RUNNING any more.
    """
    if flow_run.state_type not in ("RUNNING", "CANCELLING"):
        return None
    evidence = _evidence(flow_run, process, verdict)
    if not evidence:
        return None
    if flow_run.state_type == "CANCELLING":
        return Mark(state="Cancelled", evidence=evidence)
    return Mark(state=OF_RUN.get(reads or "", "Crashed"), evidence=evidence)


def _evidence(
    flow_run: FlowRunSeen, process: ProcessState, verdict: Verdict | None
) -> tuple[str, ...]:
    """Return the evidence that nothing works on it; its own process counts only when it belongs to the newest try."""
    own = flow_run.process is not None and flow_run.process_run_count == flow_run.run_count
    if own and process is ProcessState.ALIVE:
        return ()
    if isinstance(verdict, Dead):
        return verdict.evidence
    if own and flow_run.process is not None and process.is_dead and verdict is None:
        return (
            f"process {flow_run.process.pid} on {flow_run.process.host} is dead ({process.value})",
        )
    return ()
