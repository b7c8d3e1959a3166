"""What is kept, what goes, and what protects: the policy of the maintenance.

Protection is not part of the policy: an alias, a registered version, a pin, a live run and their family always protect.
A policy can only add to it.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from unicodedata import normalize

from pydantic import AfterValidator, Field, PlainSerializer, Strict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from onerun.config.addresses import FolderOrBucket
from onerun.config.evaluation import CLASSIFICATION_METRICS, GREATER_IS_BETTER, REGRESSION_METRICS
from onerun.config.fields import SECONDS, Duration, Fraction, Section, Words
from onerun.config.mistakes import Mistake, Mistakes

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
REFERENCE = r"^\$\{[A-Za-z_]\w*\}$"
_LONGEST = 10 * 365 * 86400


def _at_least_an_hour(seconds: float) -> float:
    if not 3600 <= seconds <= _LONGEST:
        raise ValueError("expected between 1h and 3650d")
    return seconds


def _in_words(seconds: float) -> str:
    """As a person writes it: 30d, 36h."""
    unit = next((unit for unit in "dh" if seconds % SECONDS[unit] == 0), "s")
    return f"{seconds / SECONDS[unit]:g}{unit}"


def _is_name(name: str) -> str:
    """It becomes part of file names, addresses and Prefect's keys: what one of them refuses is refused at once."""
    if not re.fullmatch(NAME, name) or name.endswith("\n"):
        words = "expected letters from a to z, digits, dots, dashes, underscores; at most 100, a letter or digit first"
        near = re.sub(
            r"[^A-Za-z0-9._-]+", "-", normalize("NFKD", name).encode("ascii", "ignore").decode()
        ).strip("-._")
        raise ValueError(words + (f"; did you mean {near[:100]}?" if near else ""))
    return name


def _is_reference(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        if not re.fullmatch(REFERENCE, address):
            raise PydanticCustomError(
                "password",
                "an address holds secrets; write ${NAME} and set that in the environment or in .env",
            )
    return addresses


_addresses_schema = {"type": "array", "items": {"type": "string", "pattern": REFERENCE}}
Age = Annotated[
    Duration, AfterValidator(_at_least_an_hour), PlainSerializer(_in_words, when_used="json")
]
Name = Annotated[str, AfterValidator(_is_name), WithJsonSchema({"type": "string", "pattern": NAME})]
TagGlobs = Annotated[dict[str, str], Strict(False)]
Addresses = Annotated[Words, AfterValidator(_is_reference), WithJsonSchema(_addresses_schema)]
Action = Literal["quarantine", "soft_delete", "hard_delete"]


class Select(Section):
    """Which experiments and models the policy is about; all others are left alone."""

    experiments: Words = Field(
        ("*",), description="Names of experiments, with * and ? as in file names."
    )
    exclude: Words = Field((), description="Names of experiments that are left alone all the same.")
    tags: TagGlobs = Field(
        default_factory=dict,
        description="Only experiments that carry these tags: key, and a value with * and ?.",
    )
    models: Words = Field(
        ("*",),
        description="Names of logged models; a run that logged one of another name is left alone.",
    )


class Best(Section):
    """Keep the best runs of each experiment by a metric."""

    metric: str = Field(min_length=1, max_length=250, description="The metric's name.")
    count: int = Field(3, ge=1, le=10_000, description="How many runs of each experiment.")
    greater_is_better: bool | None = Field(
        None,
        description="Which way is better; known for the product's own metrics (rmse, r2, log_loss ...).",
    )

    @model_validator(mode="after")
    def _direction_is_known(self) -> Self:
        if self.greater_is_better is None and self.metric not in (
            *REGRESSION_METRICS,
            *CLASSIFICATION_METRICS,
        ):
            raise ValueError(
                f"greater_is_better: say true or false, nothing is known of {self.metric}"
            )
        return self

    @property
    def descending(self) -> bool:
        """Whether the greatest value is the best one."""
        return (
            self.metric in GREATER_IS_BETTER
            if self.greater_is_better is None
            else self.greater_is_better
        )


class Keep(Section):
    """What is kept; a run goes only when no rule keeps it and nothing protects it."""

    younger_than: Age = Field(
        2592000.0, description="Keep runs that ended less than this long ago (30d)."
    )
    failed_younger_than: Age | None = Field(
        None, description="The same for failed and killed runs; as younger_than when omitted."
    )
    deleted_younger_than: Age = Field(
        604800.0,
        description="Keep runs that were deleted less than this long ago, so that they can be restored (7d).",
    )
    last: int = Field(
        10,
        ge=0,
        le=1_000_000,
        description="Keep the newest runs of each experiment, failed ones aside.",
    )
    best: Annotated[tuple[Best, ...], Strict(False)] = Field(
        (), max_length=5, description="Keep the best runs of each experiment by these metrics."
    )

    @model_validator(mode="after")
    def _failed_go_no_later(self) -> Self:
        if self.failed_younger_than is not None and self.failed_younger_than > self.younger_than:
            raise ValueError(
                "failed_younger_than: longer than younger_than; failed runs would outlive the others"
            )
        return self


class Protect(Section):
    """What protects beyond aliases, registered versions, pins, live runs and the family of what is kept."""

    tags: Words = Field(
        (),
        description="Tags of runs or experiments that protect: a key, or key=value, with * and ?.",
    )
    experiments: Words = Field(
        (), description="Names of experiments whose runs are all protected, with * and ?."
    )


class Backups(Section):
    """Where archives go before anything is deleted for good."""

    to: FolderOrBucket | None = Field(
        None,
        description="A folder, or s3://bucket/prefix; backups in the profile's ONERUN_STORE when omitted.",
    )
    keep: int = Field(
        8, ge=1, le=10_000, description="How many of this policy's archives are kept."
    )


class Work(Section):
    """Work folders of trainings that failed, which keep what a retry goes on from."""

    older_than: Age = Field(
        2592000.0,
        description="Remove those in which nothing changed for this long (30d), with action: hard_delete.",
    )


class Snapshots(Section):
    """Snapshots of ingested data that no run of the store names any more."""

    unused_for: Age = Field(
        7776000.0, description="How long one has to be unused before it counts (90d)."
    )
    action: Literal["report", "remove"] = Field(
        "report",
        description="remove: with action: hard_delete, for good; only where no other MLflow store shares ONERUN_STORE.",
    )


class Policy(Section):
    """What the maintenance keeps and what it does with the rest."""

    name: Name = Field(
        "maintenance",
        description="What the policy is called; the beginning of its archives' names.",
    )
    description: str = Field("", max_length=2000, description="A sentence for the report.")
    select: Select = Select()
    keep: Keep = Keep()
    protect: Protect = Protect()
    action: Action = Field(
        "soft_delete",
        description="quarantine: marked, nothing else; soft_delete: as MLflow's own delete, can be restored; "
        "hard_delete: rows and files, after a backup.",
    )
    backups: Backups = Backups()
    work: Work = Work()
    snapshots: Snapshots = Snapshots()
    max_delete: Fraction = Field(
        0.2,
        ge=0,
        le=1,
        description="More than this share of all runs is never deleted without --yes-really.",
    )
    approval: Literal["auto", "manual"] = Field(
        "auto",
        description="manual: a hard delete waits for a person, in the Prefect UI or at the terminal.",
    )
    notify: Addresses = Field(
        (), max_length=20, description="Apprise addresses, each as ${NAME} of the environment."
    )
    deleted_experiment: Literal["report", "restore"] = Field(
        "report", description="A training asks for a deleted experiment: report it, or restore it."
    )

    @property
    def archives(self) -> str:
        """Where archives go. Raises: Mistakes when neither the policy nor a profile says so."""
        if self.backups.to is None:
            raise Mistakes(
                [Mistake("backups.to", "is missing, and no profile names a store for archives")]
            )
        return self.backups.to

    def with_archives(self, default: str) -> Self:
        """Return the policy with an absolute place for archives; they go to `default` where it names none."""
        place = self.backups.to or default
        place = place if "://" in place else str(Path(place).expanduser().absolute())
        return self.model_copy(update={"backups": self.backups.model_copy(update={"to": place})})

    def public(self) -> dict[str, Any]:
        """Return the policy as plain values; addresses are references, so that nothing in it is secret."""
        return self.model_dump(mode="json")
