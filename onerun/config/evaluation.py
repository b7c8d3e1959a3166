"""The half of a recipe that judges: evaluation, gates, registration, promotion."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Strict, Tag, model_validator

from onerun.config.fields import Alias, Columns, Fraction, ModelName, Section

REGRESSION_METRICS = ("rmse", "mae", "r2", "median_absolute_error")
CLASSIFICATION_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "f1_macro",
    "f1_weighted",
    "log_loss",
    "roc_auc",
    "average_precision",
    "brier",
)
GREATER_IS_BETTER = frozenset(CLASSIFICATION_METRICS) - {"log_loss", "brier"} | {"r2"}
Metric = Literal[
    "rmse", "mae", "r2", "median_absolute_error",
    "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "log_loss", "roc_auc", "average_precision", "brier",
]  # fmt: skip


class Explain(Section):
    """Which columns matter."""

    rows: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Test rows for permutation importance, where the trees' own gain is not to be had; 0: none.",
    )


class Evaluate(Section):
    """How the model is judged on the frozen test part."""

    primary: Metric | None = Field(
        None, description="The metric to look at first: rmse, or log_loss, when omitted."
    )
    slices: Columns = Field((), description="Columns by whose values the metrics are also given.")
    explain: Explain = Explain()


class GateKind(StrEnum):
    """What a gate compares a metric with. The values are labels of the exporter's series."""

    THRESHOLD = "threshold"
    BETTER_THAN_CHAMPION = "better_than_champion"
    BETTER_THAN_BASELINE = "better_than_baseline"
    UNKNOWN = "unknown"  # of a result that an earlier version recorded


class Threshold(Section):
    """A gate: a metric of the test part must lie within bounds."""

    metric: Metric = Field(description="The metric of the test part.")
    min: float | None = Field(None, description="Smallest value that passes.")
    max: float | None = Field(None, description="Largest value that passes.")

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a metric gate needs min or max")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min:g}) is above max ({self.max:g})")
        return self

    @property
    def kind(self) -> GateKind:
        """What the gate compares the metric with."""
        return GateKind.THRESHOLD

    @property
    def rule(self) -> str:
        """The gate in one line."""
        bounds = ((">=", self.min), ("<=", self.max))
        given = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
        return f"{self.metric} {' and '.join(given)}"


class BetterThan(Section):
    """A gate: better than the champion or the baseline by a margin, with confidence, on the same test rows."""

    better_than: Literal["champion", "baseline"] = Field(description="Whom to beat.")
    on: Metric | None = Field(None, description="The metric; evaluate.primary when omitted.")
    by: Fraction = Field(
        0.0, ge=0, lt=1, description="Margin, as a share of the other's value: 0.01 or 1%."
    )
    confidence: float | None = Field(
        None,
        gt=0.5,
        lt=1,
        description="Share of paired bootstrap resamples that must be better by the margin.",
    )

    @property
    def kind(self) -> GateKind:
        """What the gate compares the metric with."""
        return GateKind(f"better_than_{self.better_than}")

    @property
    def rule(self) -> str:
        """The gate in one line."""
        margin = f" by {100 * self.by:.4g} %" if self.by else ""
        confidence = f" with {100 * self.confidence:.4g} % confidence" if self.confidence else ""
        return f"better than {self.better_than} on {self.on or 'primary'}{margin}{confidence}"


def _kind_of_gate(value: Any) -> str:
    compares = isinstance(value, BetterThan) or (isinstance(value, dict) and "better_than" in value)
    return "better_than" if compares else "threshold"


Gate = Annotated[
    Annotated[Threshold, Tag("threshold")] | Annotated[BetterThan, Tag("better_than")],
    Discriminator(_kind_of_gate),
]
Aliases = Annotated[tuple[Alias, ...], Strict(False)]


class Register(Section):
    """The version that a training makes."""

    model: ModelName | None = Field(
        None, description="Registered model; the recipe's name when omitted."
    )
    description: str = Field(
        "", max_length=5_000, description="Description of the version, in Markdown."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Tags of the version.")
    aliases: Aliases = Field(
        (), description="Aliases every new version takes, such as staging, gates or not."
    )


class Promote(Section):
    """The alias that the gates guard."""

    alias: Alias = Field("champion", description="Moves to the new version when all gates pass.")
    also: Aliases = Field((), description="Further aliases that move with it, such as production.")
    approval: Literal["auto", "manual"] = Field(
        "auto", description="manual: a person approves before the alias moves."
    )
