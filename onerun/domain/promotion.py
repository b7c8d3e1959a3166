"""Whether the alias moves, and why; and the question that a person answers where the recipe asks for approval."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from onerun.domain.references import Evaluation, Reference, Version


@dataclass(frozen=True)
class Promote:
    """The alias moves."""

    reason: str


@dataclass(frozen=True)
class Hold:
    """The alias stays."""

    reason: str
    waits: bool = False  # for a person's approval


def decide(
    evaluation: Evaluation, approval: Literal["auto", "manual"], version: Version, alias: str
) -> Promote | Hold:
    """Return Promote when all gates held and nobody has to be asked, else Hold; both with the reasons and numbers."""
    reasons = f"{describe_gates(evaluation)}; {describe_metrics(evaluation)}"
    if not evaluation.all_gates_held:
        return Hold(reasons)
    if approval == "manual":
        return Hold(
            f"{reasons}; waits for approval: {move_command(version.model, alias, version.version)}",
            waits=True,
        )
    return Promote(reasons)


def describe_gates(evaluation: Evaluation) -> str:
    """Return what the gates said; those that did not hold, when there are any."""
    failed = [gate for gate in evaluation.gates if not gate.held]
    if failed:
        told = "; ".join(f"{gate.rule}: {gate.reason}" for gate in failed)
        return f"{len(failed)} of {len(evaluation.gates)} gates did not hold: {told}"
    if len(evaluation.gates) == 1:
        return "the gate held"
    return f"all {len(evaluation.gates)} gates held" if evaluation.gates else "no gates asked for"


def describe_metrics(evaluation: Evaluation) -> str:
    """Return such as `rmse 46,913 (champion version 3: 47,210)`."""
    primary = evaluation.primary
    words = f"{primary} {_number(evaluation.metrics.get(primary))}"
    if evaluation.champion_version is None:
        return f"{words} (there was no champion)"
    champion = _number((evaluation.champion_metrics or {}).get(primary))
    return f"{words} (champion version {evaluation.champion_version}: {champion})"


def ledger_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Return the primary metric of the challenger and of the champion, as the ledger keeps them."""
    champion = {
        f"champion_{name}": value for name, value in (evaluation.champion_metrics or {}).items()
    }
    both = evaluation.metrics | champion
    return {
        name: both[name]
        for name in (evaluation.primary, f"champion_{evaluation.primary}")
        if name in both
    }


def move_command(model: str, alias: str, version: str) -> str:
    """Return the command that moves the alias to that version."""
    return f"{_command(model, alias)} --to {version}"


def rollback_command(model: str, alias: str) -> str:
    """Return the command that moves the alias to its previous holder."""
    return f"{_command(model, alias)} --rollback"


def _command(model: str, alias: str) -> str:
    chosen = "" if alias == "champion" else f" --alias {shlex.quote(alias)}"
    return f"python -m flows.promote --model {shlex.quote(model)}{chosen}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"


class PendingApproval(Reference):
    """A version whose gates held and that waits for a person."""

    run_id: str
    version: Version
    aliases: tuple[str, ...] = Field(min_length=1)  # the guarded one first
    evaluation: Evaluation


def question(pending: PendingApproval, links: Mapping[str, str]) -> str:
    """Return Markdown for the form: the metrics beside the champion's, the gates, where to look."""
    version, evaluation = pending.version, pending.evaluation
    champion = evaluation.champion_version
    holder = f"version {champion}" if champion else "no version yet"
    aliases = ", ".join(f"`{alias}`" for alias in pending.aliases)
    lines = [
        f"**{version.summary}** held its gates and asks for {aliases} ({holder} holds it).",
        "",
        f"| metric | version {version.version} | champion | baseline |",
        "|---|---|---|---|",
        *_rows(evaluation),
        "",
        *(f"- held: {gate.rule}: {gate.reason}" for gate in evaluation.gates),
        *(f"- {name}: {link}" for name, link in links.items()),
        "",
        "Approving moves the alias if it still points at that champion. Refusing leaves it.",
    ]
    return "\n".join(lines)


def _rows(evaluation: Evaluation) -> list[str]:
    """The primary metric first."""
    order = sorted(evaluation.metrics, key=lambda name: (name != evaluation.primary, name))
    sides = (evaluation.metrics, evaluation.champion_metrics or {}, evaluation.baseline_metrics)
    return [
        f"| {name} | " + " | ".join(_cell(side.get(name)) for side in sides) + " |"
        for name in order
    ]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def approval_reason(pending: PendingApproval, who: str, why: str) -> str:
    """Return what the ledger says as the reason."""
    return "; ".join(
        [
            _by("approved", who, why),
            describe_gates(pending.evaluation),
            describe_metrics(pending.evaluation),
        ]
    )


def refusal_reason(pending: PendingApproval, who: str, why: str) -> str:
    """Return what the run says, with the command that moves the alias all the same."""
    command = move_command(pending.version.model, pending.aliases[0], pending.version.version)
    return f"{_by('refused', who, why)}. To move it all the same: {command}"


def _by(what: str, who: str, why: str) -> str:
    parts: Sequence[str] = [
        what,
        f" by {who}" if who else " in Prefect's UI",
        f": {why}" if why else "",
    ]
    return "".join(parts)
