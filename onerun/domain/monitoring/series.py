"""The series that Prometheus scrapes: name, labels, meaning. They are an API; changing one is a breaking change.

Base units, and names by https://prometheus.io/docs/practices/naming/. What a store holds can also become less, so
counts are gauges; `_recent` is said of what ended within the window. Each label takes few values: recipes and models
are cut to the MOST that were trained last.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

MOST = 50  # recipes, and pairs of model and alias, that have series of their own
OTHERS = "(others)"  # the recipe label of what is beyond MOST


class Series(NamedTuple):
    """One name."""

    name: str
    kind: Literal[
        "gauge", "counter", "histogram"
    ]  # a histogram holds what ended within the window: no rate() over it
    labels: tuple[str, ...]
    says: str


class Histogram(NamedTuple):
    """How many were at most so long."""

    buckets: tuple[tuple[str, float], ...]  # upper bound, number; cumulative, the last is +Inf
    total: float


Sample = tuple[tuple[str, ...], float | Histogram]  # values of the labels, in the series' order
Samples = Mapping[Series, Sequence[Sample]]


def _gauge(name: str, says: str, *labels: str) -> Series:
    return Series(name, "gauge", labels, says)


UP = _gauge("onerun_up", "1: the last look at trainings worked; 0: the store did not answer.")
PREFECT_UP = _gauge(
    "onerun_prefect_up", "1: Prefect answered at the last look; 0: it did not, or no API is named."
)
LOOK_UP = _gauge("onerun_look_up", "1: the last look of this kind worked.", "look")
LOOK_SECONDS = _gauge("onerun_look_duration_seconds", "How long the last look took.", "look")
LOOK_AT = _gauge(
    "onerun_look_timestamp_seconds", "When the last look that worked was over.", "look"
)
LOOKS = Series(
    "onerun_looks_total", "counter", ("look", "outcome"), "Looks since the exporter was started."
)
WINDOW = _gauge("onerun_window_seconds", "How far back `recent` and histograms reach.")
LEFT_OUT = _gauge(
    "onerun_labels_left_out", "Recipes and models without series of their own.", "label"
)

TRAININGS = _gauge("onerun_trainings", "Trainings in the store.", "recipe", "state")
RECENT = _gauge(
    "onerun_trainings_recent", "Trainings that ended within the window.", "recipe", "state"
)
DURATION = Series(
    "onerun_training_duration_seconds",
    "histogram",
    ("recipe",),
    "Length of trainings that finished in the window.",
)
LAST_DURATION = _gauge(
    "onerun_training_last_duration_seconds", "Length of the last finished training.", "recipe"
)
LAST_END = _gauge(
    "onerun_training_last_end_timestamp_seconds", "When the last one ended so.", "recipe", "state"
)
STAGE = Series(
    "onerun_stage_duration_seconds",
    "histogram",
    ("stage",),
    "Length of stages of trainings that ended in the window.",
)
LAST_STAGE = _gauge(
    "onerun_stage_last_duration_seconds", "Stages of the last finished training.", "recipe", "stage"
)
GATES = _gauge(
    "onerun_gates_recent", "Gates judged by trainings of the window.", "recipe", "rule", "outcome"
)
PROMOTIONS = _gauge(
    "onerun_promotions_recent", "How trainings of the window were decided.", "recipe", "outcome"
)

ALIAS = _gauge("onerun_alias_version", "The version that the alias points at.", "model", "alias")
ALIAS_MOVED = _gauge(
    "onerun_alias_moved_timestamp_seconds", "When the alias was last moved.", "model", "alias"
)
MOVES = Series(
    "onerun_alias_moves_total", "counter", ("model", "alias", "kind"), "Moves in the ledger."
)

RUNNING = _gauge(
    "onerun_running_runs", "Runs that read RUNNING, by the reconciler's verdict.", "verdict"
)
ORPHANS = _gauge(
    "onerun_orphans", "What lost its owner, by the reconciler's rule; none without Prefect.", "kind"
)
NOT_STARTED = _gauge(
    "onerun_flow_runs_not_started",
    "Flow runs that a worker took more than 5 minutes ago and that have not begun.",
)

EXPERIMENTS = _gauge("onerun_experiments", "Experiments of the store.", "state")
RUNS = _gauge("onerun_runs", "Runs of the store, whoever made them.", "state")
LOGGED_MODELS = _gauge("onerun_logged_models", "Logged models of the store.")
MODELS = _gauge("onerun_registered_models", "Registered models with a version.")
VERSIONS = _gauge("onerun_model_versions", "Registered versions.")
SIZE = _gauge("onerun_store_size_bytes", "Size of what can be measured from here.", "part")
UNMEASURED = _gauge(
    "onerun_store_unmeasured_experiments",
    "Experiments whose artifacts cannot be reached from here.",
)
TROUBLES = _gauge(
    "onerun_troubles", "What is wrong in the store: the kinds of docs/maintenance.md.", "kind"
)

ALL = (
    UP, PREFECT_UP, LOOK_UP, LOOK_SECONDS, LOOK_AT, LOOKS, WINDOW, LEFT_OUT,
    TRAININGS, RECENT, DURATION, LAST_DURATION, LAST_END, STAGE, LAST_STAGE, GATES, PROMOTIONS,
    ALIAS, ALIAS_MOVED, MOVES, RUNNING, ORPHANS, NOT_STARTED,
    EXPERIMENTS, RUNS, LOGGED_MODELS, MODELS, VERSIONS, SIZE, UNMEASURED, TROUBLES,
)  # fmt: skip
