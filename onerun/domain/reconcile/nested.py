"""Runs nested in a run of ours: whatever made them, they live and die with it."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from onerun.domain.reconcile.seen import SETTLE, RunSeen, Seen, at
from onerun.domain.reconcile.verdicts import Dead, Live, Unknown, Verdict


class EndedParent(Seen):
    """A run of ours that was ended and in which others are nested."""

    run_id: str
    status: str
    end: datetime


def follow(
    runs: Mapping[str, RunSeen],
    verdicts: Mapping[str, Verdict],
    ended: Mapping[str, EndedParent],
    now: datetime,
) -> Iterator[tuple[str, Verdict]]:
    """Decide again of runs that are nested in one of ours and not ours themselves.

    Args:
        runs: run id -> every run with status RUNNING.
        verdicts: run id -> what was decided of it alone.
        ended: run id -> runs of ours whose status is not RUNNING any more.
    Yields: run id and the verdict that takes the place of its own.
    """
    for run_id, run in runs.items():
        if run.parent is None or run.is_ours or run.protected:
            continue
        above = _above(run, runs)
        verdict = verdicts.get(above)
        if isinstance(verdict, Dead) and runs[above].is_ours:
            yield (
                run_id,
                Dead(
                    status="KILLED",
                    evidence=(f"its parent run {above} is dead",),
                    watch=verdict.watch,
                ),
            )
        elif isinstance(verdict, (Live, Unknown)):
            yield run_id, Live(why=f"its parent run {above} is not dead")
        elif above in ended and _left_behind(run, ended[above], now - ended[above].end):
            reads = (
                f"its parent run {above} reads {ended[above].status} since {at(ended[above].end)}"
            )
            yield run_id, Dead(status="KILLED", evidence=(reads,), watch=True)


def _left_behind(run: RunSeen, parent: EndedParent, since: timedelta) -> bool:
    """A run that was nested afterwards is of another owner, and may be alive."""
    return run.started <= parent.end and run.last_sign <= parent.end + SETTLE and since > SETTLE


def _above(run: RunSeen, runs: Mapping[str, RunSeen]) -> str:
    """Return the nearest run above that is ours, or whose status is not RUNNING."""
    above, seen = run.parent or "", {run.run_id}
    while above in runs and not runs[above].is_ours and runs[above].parent and above not in seen:
        seen.add(above)
        above = runs[above].parent or ""
    return above
