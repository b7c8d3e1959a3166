"""What stages pass on: small frozen references, to JSON and back. Data and models stay where they
are.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict

from onerun.config.evaluation import GateKind


class Reference(BaseModel):
    """A finished stage's result: recorded on the run, and read back by a retry instead of repeating
    the stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the reference that `model_dump_json` wrote."""
        return cls.model_validate_json(text)

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        return str(self)


class Snapshot(Reference):
    """The immutable ingested table."""

    uri: str  # of the Parquet file: a local path or s3://...
    digest: str  # 64 hexadecimal digits over names, types and values; not over file bytes
    rows: int
    columns: dict[str, str]  # column name -> Arrow type, in the table's order
    source: str  # where it came from, without secrets
    dropped_rows: int = 0  # rows left out because their target was missing

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        dropped = f", {self.dropped_rows:,} without target left out" if self.dropped_rows else ""
        shape = f"{self.rows:,} rows x {len(self.columns)} columns"
        return f"{shape}{dropped}; snapshot {self.digest[:12]}"


class Validation(Reference):
    """The results of the expectations."""

    expectations: int
    failed_critical: int = 0
    failed_warning: int = 0
    messages: tuple[str, ...] = ()  # one line per expectation that does not hold

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        if not self.expectations:
            return "no expectations"
        passed = self.expectations - self.failed_critical - self.failed_warning
        first = f"{passed} of {self.expectations} expectations hold"
        return f"\n{'':12}".join([first, *self.messages])


class TrainedModel(Reference):
    """A model that was logged to the run, not yet evaluated or registered."""

    model_id: str  # MLflow's logged model, m-...
    model_uri: str  # models:/m-...
    rows: dict[str, int]  # training, validation, test -> number of rows
    best_iteration: int | None = None

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        rounds = f", best after {self.best_iteration} rounds" if self.best_iteration else ""
        return f"on {self.rows.get('training', 0):,} rows{rounds}"


class GateResult(Reference):
    """One gate, passed (`held`) or failed, and why."""

    kind: GateKind = GateKind.UNKNOWN
    rule: str
    held: bool
    reason: str


class Evaluation(Reference):
    """How good the model is on the frozen test part."""

    task: str  # regression | classification
    primary: str
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    # of the champion on the same rows; None without a champion that could be scored
    champion_metrics: dict[str, float] | None = None
    champion_version: str | None = None
    gates: tuple[GateResult, ...] = ()

    @property
    def all_gates_held(self) -> bool:
        """Return whether every gate passed, so that the alias may move."""
        return all(gate.held for gate in self.gates)

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        others, primary = [], self.primary
        if primary in self.baseline_metrics:
            others.append(f"baseline {self.baseline_metrics[primary]:.4g}")
        if self.champion_metrics and primary in self.champion_metrics:
            others.append(f"champion {self.champion_metrics[primary]:.4g}")
        value = f"{self.metrics[primary]:.4g}" if primary in self.metrics else "-"
        return f"{primary} {value} ({', '.join(others)})"


class Version(Reference):
    """The one version that the run made."""

    model: str
    version: str

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        return f"{self.model} version {self.version}"


class Promotion(Reference):
    """Whether the alias moved, and why."""

    alias: str
    promoted: bool
    reason: str
    previous_version: str | None = None
    also: tuple[str, ...] = ()  # the aliases that move with it
    waits: bool = False  # for a person's approval

    @property
    def summary(self) -> str:
        """Return the result in one line, for a person."""
        if self.waits:
            return f"{self.alias} waits for approval"
        verb, preposition = ("moved", "from") if self.promoted else ("stays", "at")
        if self.previous_version:
            return f"{self.alias} {verb} {preposition} version {self.previous_version}"
        return f"{self.alias} {verb}"
