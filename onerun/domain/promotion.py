"""Whether the alias moves, and why: decided from the evaluation alone."""

import shlex
from dataclasses import dataclass
from typing import Literal

from onerun.domain.references import Evaluation, Version


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
    """Returns: Promote when all gates held and nobody has to be asked, else Hold; both with the reasons and numbers."""
    reasons = f"{gates_in_words(evaluation)}; {numbers_in_words(evaluation)}"
    if not evaluation.all_gates_held:
        return Hold(reasons)
    if approval == "manual":
        return Hold(
            f"{reasons}; waits for approval: {command_to(version.model, alias, version.version)}",
            waits=True,
        )
    return Promote(reasons)


def gates_in_words(evaluation: Evaluation) -> str:
    """Returns: what the gates said; those that did not hold, when there are any."""
    failed = [gate for gate in evaluation.gates if not gate.held]
    if failed:
        told = "; ".join(f"{gate.rule}: {gate.reason}" for gate in failed)
        return f"{len(failed)} of {len(evaluation.gates)} gates did not hold: {told}"
    if len(evaluation.gates) == 1:
        return "the gate held"
    return f"all {len(evaluation.gates)} gates held" if evaluation.gates else "no gates asked for"


def numbers_in_words(evaluation: Evaluation) -> str:
    """Returns: such as `rmse 46,913 (champion version 3: 47,210)`."""
    primary = evaluation.primary
    words = f"{primary} {_number(evaluation.metrics.get(primary))}"
    if evaluation.champion_version is None:
        return f"{words} (there was no champion)"
    champion = _number((evaluation.champion_metrics or {}).get(primary))
    return f"{words} (champion version {evaluation.champion_version}: {champion})"


def numbers(evaluation: Evaluation) -> dict[str, float]:
    """Returns: the primary metric of the challenger and of the champion, as the ledger keeps them."""
    champion = {
        f"champion_{name}": value for name, value in (evaluation.champion_metrics or {}).items()
    }
    both = evaluation.metrics | champion
    return {
        name: both[name]
        for name in (evaluation.primary, f"champion_{evaluation.primary}")
        if name in both
    }


def command_to(model: str, alias: str, version: str) -> str:
    """Returns: the command that moves the alias to that version."""
    return f"{_command(model, alias)} --to {version}"


def command_back(model: str, alias: str) -> str:
    """Returns: the command that moves the alias to its previous holder."""
    return f"{_command(model, alias)} --rollback"


def _command(model: str, alias: str) -> str:
    chosen = "" if alias == "champion" else f" --alias {shlex.quote(alias)}"
    return f"onerun promote --model {shlex.quote(model)}{chosen}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"
