"""Whether the alias moves, and why; and the question to a person where the recipe asks for
approval.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from onerun.domain.references import Evaluation, Reference, Version


@dataclass(frozen=True)
class PromotionDecision:
    """Whether the alias moves, and why."""

    promote: bool
    reason: str
    waits: bool = False  # for a person's approval


class PendingApproval(Reference):
    """A version whose gates passed and that waits for a person."""

    run_id: str
    version: Version
    aliases: tuple[str, ...] = Field(min_length=1)  # the guarded one first
    evaluation: Evaluation


def decide(
    evaluation: Evaluation, approval: Literal["auto", "manual"], version: Version, alias: str
) -> PromotionDecision:
    """Decide from the evaluation alone: the alias moves when all gates passed and no person has to
    approve.
    """
    reason = f"{describe_gates(evaluation)}; {describe_metrics(evaluation)}"
    if not evaluation.all_gates_held:
        return PromotionDecision(promote=False, reason=reason)
    if approval == "manual":
        command = move_command(version.model, alias, version.version)
        reason = f"{reason}; waits for approval: {command}"
        return PromotionDecision(promote=False, reason=reason, waits=True)
    return PromotionDecision(promote=True, reason=reason)


def describe_gates(evaluation: Evaluation) -> str:
    """Return how many gates passed; with the reasons of those that failed, when there are any."""
    total = len(evaluation.gates)
    failed = [f"{gate.rule}: {gate.reason}" for gate in evaluation.gates if not gate.held]
    if failed:
        return f"{len(failed)} of {total} gates failed: {'; '.join(failed)}"
    if total == 0:
        return "no gates"
    return "the gate passed" if total == 1 else f"all {total} gates passed"


def describe_metrics(evaluation: Evaluation) -> str:
    """Return the primary metric, such as `rmse 46,913 (champion version 3: 47,210)`."""
    primary = evaluation.primary
    mine = f"{primary} {_number(evaluation.metrics.get(primary), missing='unknown')}"
    if evaluation.champion_version is None:
        return f"{mine} (there was no champion)"
    theirs = _number((evaluation.champion_metrics or {}).get(primary), missing="unknown")
    return f"{mine} (champion version {evaluation.champion_version}: {theirs})"


def ledger_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the primary metric of the challenger and of the champion, as the ledger holds them."""
    primary, champion, found = evaluation.primary, evaluation.champion_metrics or {}, {}
    if primary in evaluation.metrics:
        found[primary] = evaluation.metrics[primary]
    if primary in champion:
        found[f"champion_{primary}"] = champion[primary]
    return found


def move_command(model: str, alias: str, version: str) -> str:
    """Return the command that moves the alias to that version."""
    return f"{_command(model, alias)} --to {version}"


def rollback_command(model: str, alias: str) -> str:
    """Return the command that moves the alias to its previous holder."""
    return f"{_command(model, alias)} --rollback"


def _command(model: str, alias: str) -> str:
    chosen = "" if alias == "champion" else f" --alias {shlex.quote(alias)}"
    return f"onerun promote --model {shlex.quote(model)}{chosen}"


def question(pending: PendingApproval, links: Mapping[str, str]) -> str:
    """Return Markdown for the form: the metrics beside the champion's, the gates, where to look."""
    version, evaluation = pending.version, pending.evaluation
    champion = evaluation.champion_version
    holder = f"version {champion}" if champion else "no version yet"
    aliases = ", ".join(f"`{alias}`" for alias in pending.aliases)
    lines = [
        f"**{version.summary}** passed its gates and asks for {aliases} ({holder} holds it).",
        "",
        f"| metric | version {version.version} | champion | baseline |",
        "|---|---|---|---|",
        *_rows(evaluation),
        "",
        *(f"- passed: {gate.rule}: {gate.reason}" for gate in evaluation.gates),
        *(f"- {name}: {link}" for name, link in links.items()),
        "",
        "Approving moves the alias if it still points at that champion. Refusing leaves it.",
    ]
    return "\n".join(lines)


def _rows(evaluation: Evaluation) -> list[str]:
    """Return a line of the table for each metric, the primary one first."""
    champion = evaluation.champion_metrics or {}
    rows = []
    for name in sorted(evaluation.metrics, key=lambda name: (name != evaluation.primary, name)):
        sides = (evaluation.metrics, champion, evaluation.baseline_metrics)
        cells = [_number(side.get(name), missing="-") for side in sides]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _number(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:,.6g}"


def approval_reason(pending: PendingApproval, who: str, why: str) -> str:
    """Return the reason that the ledger records for an approval."""
    gates, metrics = describe_gates(pending.evaluation), describe_metrics(pending.evaluation)
    return f"{_by('approved', who, why)}; {gates}; {metrics}"


def refusal_reason(pending: PendingApproval, who: str, why: str) -> str:
    """Return the reason that the run records for a refusal, with the command that moves the alias
    all the same.
    """
    command = move_command(pending.version.model, pending.aliases[0], pending.version.version)
    return f"{_by('refused', who, why)}. To move it all the same: {command}"


def _by(what: str, who: str, why: str) -> str:
    person = f"by {who}" if who else "in Prefect's UI"
    return f"{what} {person}: {why}" if why else f"{what} {person}"
