"""What a store holds, in numbers, as it is shown and as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, Field, SkipValidation, field_serializer

from onerun.domain.cleanup.findings import Finding
from onerun.domain.text import size

SHOWN = 20  # troubles that are listed one by one


class Summary(BaseModel):
    """What a store holds.

    experiments: by lifecycle. runs: by status, and `deleted`. bytes: of artifacts; None: they were
    not looked at. unmeasured: experiments whose artifacts cannot be reached. at: when it was made,
    in milliseconds since 1970.
    """

    status: str = "done"
    experiments: dict[str, int]
    runs: dict[str, int]
    logged_models: int
    registered_models: int
    versions: int
    bytes: int | None
    database_bytes: int | None
    unmeasured: int
    troubles: SkipValidation[list[Finding]]
    at: int = Field(exclude=True)

    @field_serializer("troubles")
    def _troubles(self, troubles: list[Finding]) -> list[dict[str, object]]:
        return [finding.as_json(self.at) for finding in troubles]

    def lines(self) -> Iterator[str]:
        """Yield the summary as a person reads it."""
        yield f"experiments        {_counts(self.experiments)}"
        yield f"runs               {_counts(self.runs)}"
        yield f"logged models      {self.logged_models:,}"
        yield f"registered models  {self.registered_models:,} with {self.versions:,} versions"
        unreachable = ""
        if self.unmeasured:
            unreachable = f" ({self.unmeasured:,} experiments cannot be reached)"
        yield f"artifacts          {size(self.bytes)}{unreachable}"
        if self.database_bytes is not None:
            yield f"database           {size(self.database_bytes)}"
        yield f"troubles           {len(self.troubles):,}"
        kinds = Counter((trouble.title, trouble.remedy) for trouble in self.troubles)
        for (title, remedy), count in kinds.most_common():
            yield f"  {count:>7,}  {title}; {remedy}"
        for trouble in self.troubles[:SHOWN]:
            yield f"  {trouble.title}: {trouble.id} ({trouble.cause})"


def _counts(counts: Mapping[str, int]) -> str:
    """Return the sum, and its parts with the largest first: `12 (9 FINISHED, 3 FAILED)`."""
    total = f"{sum(counts.values()):,}"
    if not counts:
        return total
    largest_first = sorted(counts.items(), key=lambda each: -each[1])
    return f"{total} ({', '.join(f'{count:,} {state}' for state, count in largest_first)})"
