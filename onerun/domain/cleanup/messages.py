"""The plan, the findings and the result as text: for a terminal, a log, a message."""

import shlex
from collections.abc import Iterator, Sequence

from onerun.domain.cleanup.findings import Finding, counted
from onerun.domain.cleanup.plan import LITTER_TITLE, Plan
from onerun.domain.cleanup.result import Result
from onerun.domain.text import size

SHOWN = 10
TO_BE_DONE = {
    "quarantine": "be marked",
    "soft_delete": "be deleted (can be restored)",
    "hard_delete": "be deleted for good",
}
DONE = {
    "quarantine": "marked",
    "soft_delete": "deleted, can be restored",
    "hard_delete": "deleted for good",
}


def plan_lines(plan: Plan, listed: str = "") -> Iterator[str]:
    """Yield the plan, line by line. Args: listed: the file that has all items."""
    yield from plan_head(plan)
    yield from _experiments(plan)
    yield from _items(plan, listed)
    yield from _skipped(plan, listed)


def plan_head(plan: Plan) -> Iterator[str]:
    """Yield what the plan comes to."""
    yield (
        f"plan of {plan.policy}: {plan.to_delete:,} of {plan.runs:,} runs in {plan.experiments:,} experiments would "
        f"{TO_BE_DONE[plan.action]}, {size(plan.bytes)}"
    )
    if plan.unmeasured:
        yield f"  {plan.unmeasured:,} of them hold artifacts outside their experiment's folder, which are kept"
    if plan.experiments_to_delete:
        yield f"  {plan.experiments_to_delete:,} deleted or damaged experiments would be deleted too"
    if plan.quarantined:
        yield f"  {plan.quarantined:,} orphaned folders would be moved into quarantine"
    if plan.litter:
        yield f"  {plan.litter:,} {LITTER_TITLE} would be removed, {size(plan.litter_bytes)}"


def _experiments(plan: Plan) -> Iterator[str]:
    rows = [
        (name, totals)
        for name, totals in plan.by_experiment.items()
        if totals.to_delete or totals.protected
    ]
    rows.sort(key=lambda row: row[1].to_delete, reverse=True)
    if rows:
        yield f"  {'experiment':<40}{'runs':>9}{'would go':>10}{'protected':>11}{'bytes':>10}"
    for name, totals in rows[:SHOWN]:
        counts = f"{totals.runs:>9,}{totals.to_delete:>10,}{totals.protected:>11,}"
        yield f"  {name[:39]:<40}{counts}{size(totals.bytes):>10}"
    if len(rows) > SHOWN:
        yield f"  ... and {len(rows) - SHOWN} more experiments"


def _items(plan: Plan, listed: str) -> Iterator[str]:
    for item in plan.items[:SHOWN]:
        yield f"  {item.kind} {item.id} of {item.experiment}: {item.why}; {size(item.bytes)}"
    if plan.entries > SHOWN:
        yield f"  ... and {plan.entries - SHOWN:,} more would go ({_all_in(listed)})"


def _all_in(listed: str) -> str:
    return f"{listed} has all" if listed else "--report FILE lists all"


def _skipped(plan: Plan, listed: str) -> Iterator[str]:
    total = sum(plan.protected.values())
    if plan.protected:
        reasons = ", ".join(f"{count:,} {label}" for label, count in plan.protected.most_common())
        yield f"  protected: {total:,} ({reasons})"
    for skipped in plan.skipped[:SHOWN]:
        about = f"{skipped.id} of {skipped.experiment} ({skipped.why})"
        yield f"  protected run {about}: {skipped.protected_by}"
    if total > SHOWN:
        yield f"  ... and {total - SHOWN:,} more are protected ({_all_in(listed)})"


def finding_lines(findings: Sequence[Finding], now: int) -> Iterator[str]:
    """Yield what was found, counted first."""
    yield from _counted(findings)
    yield from _each(findings, now)


def _counted(findings: Sequence[Finding]) -> Iterator[str]:
    if not findings:
        yield "found: no troubles"
        return
    yield f"found: {len(findings):,} trouble{'s' * (len(findings) != 1)}"
    for title, count, held, remedy in counted(findings):
        large = f", {size(held)}" if held else ""
        yield f"  {count:>7,}  {title}{large}; {remedy}"


def _each(findings: Sequence[Finding], now: int) -> Iterator[str]:
    for finding in findings[:SHOWN]:
        yield f"  {finding.line(now)}"
    if len(findings) > SHOWN:
        yield f"  ... and {len(findings) - SHOWN:,} more"


def result_lines(action: str, result: Result) -> Iterator[str]:
    """Yield what was done, line by line."""
    yield from _done(action, result)
    yield from _details(result)


def _done(action: str, result: Result) -> Iterator[str]:
    yield f"done: {result.done:,} runs {DONE[action]}, {size(result.bytes)}"
    if result.experiments:
        yield f"  {result.experiments:,} experiments deleted for good"
    if result.finished:
        yield f"  files of {result.finished:,} runs of an interrupted clean-up were removed now"
    if result.set_aside:
        yield f"  {result.set_aside:,} orphaned folders were moved into quarantine"
    if result.litter:
        yield f"  {result.litter:,} {LITTER_TITLE} were removed, {size(result.litter_bytes)}"
    if result.archive:
        yield f"  archive {result.archive} (sha256 {result.archive_digest[:12]})"
        yield f"  back: {command_back(result.archive, result.folder)}"
    if result.skipped_count:
        yield f"  skipped, because something changed since the plan: {result.skipped_count:,}"


def _details(result: Result) -> Iterator[str]:
    for run, reason in list(result.skipped.items())[:SHOWN]:
        yield f"    {run}: {reason}"
    for note in result.notes[:SHOWN]:
        yield f"  {note}"


def message_lines(
    plan: Plan, findings: Sequence[Finding], result: Result | None, listed: str = ""
) -> Iterator[str]:
    """Yield the same for a chat, which cuts: what was done, what plan and troubles come to, details
    last.
    """
    if result:
        yield from _done(plan.action, result)
    yield from plan_head(plan)
    yield from _counted(findings)
    if result:
        yield from _details(result)
    yield from _skipped(plan, listed)
    yield from _experiments(plan)
    yield from _items(plan, listed)
    yield from _each(findings, plan.at)


def command_back(archive: str, folder: str) -> str:
    """Return the command that restores an archive.

    Args: folder: the store of files that was cleaned up.
    """
    if folder:
        return f"python -m flows.restore {shlex.quote(archive)} --to {shlex.quote(folder)} --apply"
    return f"python -m flows.restore {shlex.quote(archive)} --apply"
