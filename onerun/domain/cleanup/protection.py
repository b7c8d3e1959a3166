"""What protects a run. Protection always wins; a policy can add to it and take nothing from it."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from onerun.domain.cleanup.inventory import UNFINISHED_STATES, Experiment, RegisteredVersion, Run
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.text import matches

PIN = "pin"
NOT_PINNED = ("false", "no", "0", "off")
_IDS = re.compile(r"m-[0-9a-f]{32}|[0-9a-f]{32}")

Tags = Mapping[str, Mapping[str, str]]  # run id -> key -> value


@dataclass(frozen=True)
class Protections:
    """Everything that protects, looked up once for the whole store."""

    runs: Mapping[str, Reason] = field(default_factory=dict)  # by run id
    models: Mapping[str, Reason] = field(default_factory=dict)  # by the id of a logged model
    parents: Mapping[str, str] = field(default_factory=dict)  # run id -> its parent's
    tags: tuple[str, ...] = ()  # the policy's protecting tags
    experiments: tuple[str, ...] = ()  # the policy's protected experiments
    whole: Mapping[str, Reason] = field(default_factory=dict)  # by the id of an experiment


def protections_of(
    versions: Iterable[RegisteredVersion],
    models_of_runs: Mapping[str, str],
    tags: Tags,
    live: Collection[str],
    apart: Collection[str],
    parents: Mapping[str, str],
    protect_tags: tuple[str, ...] = (),
    protect_experiments: tuple[str, ...] = (),
    measured_by: Iterable[tuple[str, str]] = (),
) -> Protections:
    """Return everything that protects; of a run that several things protect, the first that is
    named here.

    Args:
        versions: the registered ones.
        models_of_runs: id of a logged model that a version names -> the run that logged it.
        tags: of runs, at least those that can protect.
        live: ids of runs whose flow run is live.
        apart: ids of runs with a parent or child in another experiment.
        parents: run id -> its parent's.
        protect_tags, protect_experiments: of the policy.
        measured_by: a run, and the version whose model it measured: what it measured would be
            removed with it.
    """
    runs, models = _registered(versions)
    for model, run in models_of_runs.items():
        if model in models:
            runs.setdefault(run, models[model])
    for run, version_title in measured_by:
        runs.setdefault(run, Reason(ReasonKind.MEASURED, version_title))
    for run, held in tags.items():
        if tag := protecting_tag(held, protect_tags):
            runs.setdefault(run, Reason(ReasonKind.TAG, tag))
    for run in live:
        runs.setdefault(run, Reason(ReasonKind.LIVE))
    for run in apart:
        runs.setdefault(run, Reason(ReasonKind.APART))
    return Protections(runs, models, parents, protect_tags, protect_experiments)


def _registered(
    versions: Iterable[RegisteredVersion],
) -> tuple[dict[str, Reason], dict[str, Reason]]:
    """Return the runs and the logged models that versions name."""
    runs: dict[str, Reason] = {}
    models: dict[str, Reason] = {}
    for version in versions:
        for named in references(version):
            known = models if named.startswith("m-") else runs
            known.setdefault(named, Reason(ReasonKind.REGISTERED, version.title))
    return runs, models


def references(version: RegisteredVersion) -> set[str]:
    """Return the ids of runs and logged models that a version needs: as named, and inside its
    addresses.
    """
    found = set(_IDS.findall(f"{version.source} {version.location}"))
    return found | {version.run_id} if version.run_id else found


def protecting_tag(tags: Mapping[str, str], patterns: Iterable[str]) -> str | None:
    """Return the tag that protects, as `key` or `key=value`; None: none does."""
    for key, value in tags.items():
        if key == PIN and value.lower() not in NOT_PINNED:
            return PIN
        for pattern in patterns:
            wanted, equals, wanted_value = pattern.partition("=")
            if matches(key, wanted) and (not equals or matches(value, wanted_value)):
                return f"{key}={value}" if equals else key
    return None


def of_experiment(experiment: Experiment, protections: Protections) -> Reason | None:
    """Return what protects all runs of the experiment."""
    if tag := protecting_tag(experiment.tags, protections.tags):
        return Reason(ReasonKind.EXPERIMENT_TAG, tag)
    if any(matches(experiment.name, pattern) for pattern in protections.experiments):
        return Reason(ReasonKind.EXPERIMENT)
    return None


def of_run(run: Run, protections: Protections) -> Reason | None:
    """Return what protects the run itself. One with status RUNNING is never known to be dead."""
    if run.status in UNFINISHED_STATES:
        return Reason(ReasonKind.STATUS, run.status)
    return protections.runs.get(run.id)
