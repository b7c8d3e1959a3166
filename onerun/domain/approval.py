"""The question that a model's owner answers: what would move, on which numbers; and what the record says afterwards."""

from collections.abc import Mapping, Sequence

from pydantic import Field

from onerun.domain.promotion import command_to, gates_in_words, numbers_in_words
from onerun.domain.references import Evaluation, Reference, Version


class Pending(Reference):
    """A version whose gates held and that waits for a person."""

    run_id: str
    version: Version
    aliases: tuple[str, ...] = Field(min_length=1)  # the guarded one first
    evaluation: Evaluation


def question(pending: Pending, links: Mapping[str, str]) -> str:
    """Returns: Markdown for the form: the metrics beside the champion's, the gates, where to look."""
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


def why_approved(pending: Pending, who: str, why: str) -> str:
    """Returns: what the ledger says as the reason."""
    return "; ".join(
        [
            _by("approved", who, why),
            gates_in_words(pending.evaluation),
            numbers_in_words(pending.evaluation),
        ]
    )


def why_refused(pending: Pending, who: str, why: str) -> str:
    """Returns: what the run says, with the command that moves the alias all the same."""
    command = command_to(pending.version.model, pending.aliases[0], pending.version.version)
    return f"{_by('refused', who, why)}. To move it all the same: {command}"


def _by(what: str, who: str, why: str) -> str:
    parts: Sequence[str] = [
        what,
        f" by {who}" if who else " in Prefect's UI",
        f": {why}" if why else "",
    ]
    return "".join(parts)
