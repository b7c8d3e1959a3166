"""What checked expectations say: one line for each that does not hold, and whether training may go on."""

from collections.abc import Sequence
from typing import Any, Literal

from onerun.domain.references import Reference, Validation

EXAMPLES_IN_A_LINE = 5
NOT_WORTH_SAYING = ("column", "severity", "meta", "notes", "description", "condition_parser")


class Example(Reference):
    """One value that was not expected, and its row, counted from 1."""

    value: Any
    row: int


class Outcome(Reference):
    """One expectation, checked."""

    type: str
    arguments: dict[str, Any]
    severity: Literal["critical", "warning", "info"] = "critical"
    held: bool
    rows: int | None = None  # looked at; None: the expectation is not about rows
    unexpected: int | None = None
    examples: tuple[Example, ...] = ()  # at most 20
    observed: Any = None  # of expectations about a whole column or table
    error: str | None = None  # the expectation could not be checked

    @property
    def stops(self) -> bool:
        """Whether training must not begin. What could not be checked has not passed, whatever its severity."""
        return not self.held and (self.severity == "critical" or self.error is not None)


def judge(outcomes: Sequence[Outcome]) -> Validation:
    """Returns: the counts and the lines of those that do not hold."""
    failed = [outcome for outcome in outcomes if not outcome.held]
    critical = sum(outcome.stops for outcome in failed)
    return Validation(
        expectations=len(outcomes),
        failed_critical=critical,
        failed_warning=len(failed) - critical,
        messages=tuple(line(outcome) for outcome in failed),
    )


def line(outcome: Outcome) -> str:
    """Returns: such as `latitude: expect_column_values_to_be_between(min_value=32): 12 of 20,640 rows (0.06 %) ...`."""
    told = {key: value for key, value in outcome.arguments.items() if key not in NOT_WORTH_SAYING}
    call = f"{outcome.type}({', '.join(f'{key}={value!r}' for key, value in told.items())})"
    column = outcome.arguments.get("column")
    grade = "" if outcome.severity == "critical" else f" [{outcome.severity}]"
    return f"{f'{column}: ' if column else ''}{call}{grade}: {_finding(outcome)}"


def _finding(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"could not be checked: {outcome.error}"
    if outcome.unexpected is None or not outcome.rows:
        return (
            "does not hold" if outcome.observed is None else f"observed {_short(outcome.observed)}"
        )
    share = 100 * outcome.unexpected / outcome.rows
    percent = f"{share:.0f}" if share >= 10 else f"{share:.2g}" if share >= 0.001 else "< 0.001"
    counted = f"{outcome.unexpected:,} of {outcome.rows:,} rows ({percent} %) are not as expected"
    shown = [
        f"{_short(example.value)} (row {example.row:,})"
        for example in outcome.examples[:EXAMPLES_IN_A_LINE]
    ]
    more = ", ..." if outcome.unexpected > len(shown) else ""
    return f"{counted}, e.g. {', '.join(shown)}{more}" if shown else counted


def _short(value: Any) -> str:
    text = f"{value:,.10g}" if isinstance(value, int | float) else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
