"""What travels between stages: small frozen references, JSON both ways. Data and models stay where they are (P3)."""

from typing import Self

from pydantic import BaseModel, ConfigDict


class Reference(BaseModel):
    """A finished stage's result: recorded on the run, read back by a retry instead of doing the stage again (P2)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the reference that `model_dump_json` wrote."""
        return cls.model_validate_json(text)

    @property
    def summary(self) -> str:
        """The result in one line, for a person."""
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
        """The result in one line, for a person."""
        dropped = f", {self.dropped_rows:,} without target left out" if self.dropped_rows else ""
        return f"{self.rows:,} rows x {len(self.columns)} columns{dropped}; snapshot {self.digest[:12]}"


class Validation(Reference):
    """What the expectations said."""

    expectations: int
    failed_critical: int = 0
    failed_warning: int = 0
    messages: tuple[str, ...] = ()  # one line per expectation that does not hold

    @property
    def summary(self) -> str:
        """The result in one line, for a person."""
        if not self.expectations:
            return "no expectations"
        broken = self.failed_critical + self.failed_warning
        return f"{self.expectations - broken} of {self.expectations} expectations hold" + "".join(
            f"\n{'':12}{message}" for message in self.messages
        )


class TrainedModel(Reference):
    """A model that was logged to the run, not yet judged or registered."""

    model_id: str  # MLflow's logged model, m-...
    model_uri: str  # models:/m-...
    rows: dict[str, int]  # training, validation, test -> number of rows
    best_iteration: int | None = None

    @property
    def summary(self) -> str:
        """The result in one line, for a person."""
        rounds = f", best after {self.best_iteration} rounds" if self.best_iteration else ""
        return f"on {self.rows.get('training', 0):,} rows{rounds}"


class GateResult(Reference):
    """One gate, held or not, and why."""

    rule: str
    held: bool
    reason: str


class Evaluation(Reference):
    """How good the model is on the frozen test part."""

    task: str  # regression | classification
    primary: str
    metrics: dict[str, float]
    baseline_metrics: dict[str, float]
    champion_metrics: dict[str, float] | None = (
        None  # of the champion on the same rows; None: there is none
    )
    champion_version: str | None = None
    gates: tuple[GateResult, ...] = ()

    @property
    def all_gates_held(self) -> bool:
        """Return whether the alias may move."""
        return all(gate.held for gate in self.gates)

    @property
    def summary(self) -> str:
        """The result in one line, for a person."""
        others = (
            [f"baseline {self.baseline_metrics[self.primary]:.4g}"]
            if self.primary in self.baseline_metrics
            else []
        )
        if self.champion_metrics and self.primary in self.champion_metrics:
            others.append(f"champion {self.champion_metrics[self.primary]:.4g}")
        value = self.metrics.get(self.primary)
        return f"{self.primary} {'-' if value is None else f'{value:.4g}'} ({', '.join(others)})"


class Version(Reference):
    """The one version that the run made."""

    model: str
    version: str

    @property
    def summary(self) -> str:
        """The result in one line, for a person."""
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
        """The result in one line, for a person."""
        if self.waits:
            return f"{self.alias} waits for approval"
        before = f" from version {self.previous_version}" if self.previous_version else ""
        stays = f" at version {self.previous_version}" if self.previous_version else ""
        return f"{self.alias} moved{before}" if self.promoted else f"{self.alias} stays{stays}"
