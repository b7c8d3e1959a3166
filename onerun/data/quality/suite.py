"""The recipe's expectations as Great Expectations' own objects, and its results as ours."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.expectations import Expectation
from onerun.domain.validation import Example, Outcome

POSITION = (
    "position in the recipe"  # kept in an expectation's meta: results come back in another order
)


def make(expectations: Sequence[Expectation]) -> list[Any]:
    """Returns: the library's objects. Raises: Mistakes when it refuses arguments that our table let pass."""
    from great_expectations.compatibility.pydantic import ValidationError

    made, mistakes = [], []
    for position, expectation in enumerate(expectations):
        [(name, arguments)] = expectation.items()
        try:
            made.append(_made(name, arguments, position))
        except ValidationError as error:
            told = "; ".join(sorted({part["msg"] for part in error.errors()}))
            mistakes.append(
                Mistake(f"data.expectations.{position}.{name}", f"Great Expectations says: {told}")
            )
    if mistakes:
        raise Mistakes(mistakes)
    return made


def _made(name: str, arguments: Mapping[str, Any], position: int) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    condition = {"condition_parser": "pandas"} if arguments.get("row_condition") else {}
    bounds = {
        key: _instant(arguments[key]) for key in ("min_value", "max_value") if key in arguments
    }
    meta = {**(arguments.get("meta") or {}), POSITION: position}
    return get_expectation_impl(name)(**{**condition, **arguments, **bounds, "meta": meta})


def _instant(bound: Any) -> Any:
    """A day becomes its first moment, as text: the library reads days as dates, which pandas compares with nothing."""
    if isinstance(bound, str | date):
        moment = datetime.fromisoformat(str(bound))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return bound


def position(result: Any) -> int:
    """Returns: which expectation of the recipe a result belongs to."""
    return int(result.expectation_config.meta[POSITION])


def outcome(expectation: Expectation, result: Any) -> Outcome:
    """Returns: what the library found, in our words."""
    [(name, arguments)] = expectation.items()
    found = result.result or {}
    values, places = (
        found.get("partial_unexpected_list", []),
        found.get("partial_unexpected_index_list") or [],
    )
    return Outcome(
        type=name,
        arguments=dict(arguments),
        severity=arguments.get("severity", "critical"),
        held=bool(result.success),
        rows=found.get("element_count"),
        unexpected=found.get("unexpected_count"),
        examples=tuple(
            Example(value=v, row=place + 1) for v, place in zip(values, places, strict=False)
        ),
        observed=found.get("observed_value"),
        error=_error(result.exception_info),
    )


def _error(info: Mapping[str, Any] | None) -> str | None:
    """Returns: the words of the exception, in whichever of its two forms the library tells it."""
    told = [info, *info.values()] if info else []
    words = [
        part["exception_message"]
        for part in told
        if isinstance(part, Mapping) and part.get("exception_message")
    ]
    return "; ".join(dict.fromkeys(words)) or None
