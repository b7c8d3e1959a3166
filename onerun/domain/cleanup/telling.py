"""The plan, the findings and the result in words: for a terminal, a log, a message."""

import shlex
from collections.abc import Iterator, Sequence

from onerun.domain.cleanup.findings import Finding, counted
from onerun.domain.cleanup.plan import Plan
from onerun.domain.cleanup.result import Result
from onerun.domain.text import size

SHOWN = 10
VERBS = {
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
    """Args: listed: the file that has all items. Yields: the plan, line by line."""
    yield from plan_head(plan)
    yield from _experiments(plan)
    yield from _items(plan, listed)
    yield from _kept(plan, listed)


def plan_head(plan: Plan) -> Iterator[str]:
    """Yields: what the plan comes to."""
    yield (
        f"plan of {plan.policy}: {plan.going:,} of {plan.runs:,} runs in {plan.experiments:,} experiments would "
        f"{VERBS[plan.action]}, {size(plan.bytes)}"
    )
    if plan.unmeasured:
        yield f"  {plan.unmeasured:,} of them hold artifacts outside their experiment's folder, which are left"
    if plan.going_experiments:
        yield f"  {plan.going_experiments:,} deleted or damaged experiments would go too"


def _experiments(plan: Plan) -> Iterator[str]:
    rows: list[tuple[str, int, int, int, int]] = [
        (name, row[0], row[1], row[2], row[3])
        for name, row in plan.by_experiment.items()
        if row[1] or row[2]
    ]
    rows.sort(key=lambda row: row[2], reverse=True)
    if rows:
        yield f"  {'experiment':<40}{'runs':>9}{'would go':>10}{'protected':>11}{'bytes':>10}"
    for name, runs, going, protected, held in rows[:SHOWN]:
        yield f"  {name[:39]:<40}{runs:>9,}{going:>10,}{protected:>11,}{size(held):>10}"
    if len(rows) > SHOWN:
        yield f"  ... and {len(rows) - SHOWN} more experiments"


def _items(plan: Plan, listed: str) -> Iterator[str]:
    for item in plan.items[:SHOWN]:
        yield f"  {item.kind} {item.id} of {item.experiment}: {item.why}; {size(item.bytes)}"
    if plan.entries > SHOWN:
        yield f"  ... and {plan.entries - SHOWN:,} more would go ({_all_in(listed)})"


def _all_in(listed: str) -> str:
    return f"{listed} has all" if listed else "--report FILE lists all"


def _kept(plan: Plan, listed: str) -> Iterator[str]:
    total = sum(plan.protected.values())
    if plan.protected:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in plan.protected.most_common())
        yield f"  kept against the rule: {total:,} ({reasons})"
    for kept in plan.kept[:SHOWN]:
        yield f"  kept run {kept.id} of {kept.experiment} ({kept.why}): {kept.protected_by}"
    if total > SHOWN:
        yield f"  ... and {total - SHOWN:,} more are kept ({_all_in(listed)})"


def finding_lines(findings: Sequence[Finding], now: int) -> Iterator[str]:
    """Yields: what was found, counted first."""
    yield from _counted(findings)
    yield from _each(findings, now)


def _counted(findings: Sequence[Finding]) -> Iterator[str]:
    yield (
        f"found: {len(findings):,} trouble{'s' * (len(findings) != 1)}"
        if findings
        else "found: no troubles"
    )
    for title, count, held, remedy in counted(findings):
        yield f"  {count:>7,}  {title}{f', {size(held)}' if held else ''}; {remedy}"


def _each(findings: Sequence[Finding], now: int) -> Iterator[str]:
    for finding in findings[:SHOWN]:
        yield f"  {finding.line(now)}"
    if len(findings) > SHOWN:
        yield f"  ... and {len(findings) - SHOWN:,} more"


def result_lines(action: str, result: Result) -> Iterator[str]:
    """Yields: what was done, line by line."""
    yield from _done(action, result)
    yield from _left_and_noted(result)


def _done(action: str, result: Result) -> Iterator[str]:
    yield f"done: {result.done:,} runs {DONE[action]}, {size(result.bytes)}"
    if result.experiments:
        yield f"  {result.experiments:,} experiments deleted for good"
    if result.finished:
        yield f"  files of {result.finished:,} runs of an interrupted clean-up are gone now"
    if result.set_aside:
        yield f"  {result.set_aside:,} folders that nobody owns were set aside"
    if result.archive:
        yield f"  archive {result.archive} (sha256 {result.archive_digest[:12]})"
        yield f"  back: {command_back(result.archive, result.folder)}"
    if result.left_count:
        yield f"  left, because something changed since the plan: {result.left_count:,}"


def _left_and_noted(result: Result) -> Iterator[str]:
    for run, why in list(result.left.items())[:SHOWN]:
        yield f"    {run}: {why}"
    for note in result.notes[:SHOWN]:
        yield f"  {note}"


def message_lines(
    plan: Plan, findings: Sequence[Finding], result: Result | None, listed: str = ""
) -> Iterator[str]:
    """Yields: the same for a chat, which cuts: what was done, what the plan and the troubles come to, details last."""
    if result:
        yield from _done(plan.action, result)
    yield from plan_head(plan)
    yield from _counted(findings)
    if result:
        yield from _left_and_noted(result)
    yield from _kept(plan, listed)
    yield from _experiments(plan)
    yield from _items(plan, listed)
    yield from _each(findings, plan.at)


def command_back(archive: str, folder: str) -> str:
    """Args: folder: the store of files that was cleaned up. Returns: the command that brings an archive back."""
    if folder:
        return f"python -m flows.restore {shlex.quote(archive)} --to {shlex.quote(folder)} --apply"
    return f"python -m flows.restore {shlex.quote(archive)} --apply"
