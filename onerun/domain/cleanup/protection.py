"""Who protects a run. Protection always wins; a policy can add to it and take nothing from it."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from onerun.domain.cleanup.inventory import Experiment, Run, Version
from onerun.domain.text import matches

PIN = "pin"
LIVES = "its flow run lives"
GONE = "gone meanwhile"  # why a run is left that is not there any more: nothing of its family is kept for it
NOT_PINNED = ("false", "no", "0", "off")
_IDS = re.compile(r"m-[0-9a-f]{32}|[0-9a-f]{32}")

Tags = Mapping[str, Mapping[str, str]]  # run id -> key -> value


@dataclass(frozen=True)
class Guards:
    """Everything that protects, looked up once for the whole store."""

    runs: Mapping[str, str] = field(default_factory=dict)  # run id -> who protects it
    models: Mapping[str, str] = field(
        default_factory=dict
    )  # id of a logged model -> who protects it
    parents: Mapping[str, str] = field(default_factory=dict)  # run id -> its parent's
    tags: tuple[str, ...] = ()  # the policy's protecting tags
    experiments: tuple[str, ...] = ()  # the policy's protected experiments


def guards(
    versions: Iterable[Version],
    models_of_runs: Mapping[str, str],
    tags: Tags,
    live: Collection[str],
    apart: Collection[str],
    parents: Mapping[str, str],
    protect_tags: tuple[str, ...] = (),
    protect_experiments: tuple[str, ...] = (),
    measured_by: Iterable[tuple[str, str]] = (),
) -> Guards:
    """Args:
    models_of_runs: id of a logged model that a version names -> the run that logged it.
    tags: of runs, at least those that can protect.
    live: ids of runs whose flow run lives.
    apart: ids of runs with a parent or child in another experiment.
    measured_by: a run, and the version whose model it measured: what it measured of the model would go with it.
    """
    runs: dict[str, str] = {}
    models: dict[str, str] = {}
    for version in versions:
        for named in references(version):
            known = models if named.startswith("m-") else runs
            known.setdefault(named, version.words)
    for model, run in models_of_runs.items():
        if model in models:
            runs.setdefault(run, models[model])
    for run, words in measured_by:
        runs.setdefault(run, f"measured {words}")
    for run, held in tags.items():
        if word := protecting_tag(held, protect_tags):
            runs.setdefault(run, word)
    runs |= {run: LIVES for run in live if run not in runs}
    runs |= {run: "has a parent or child in another experiment" for run in apart if run not in runs}
    return Guards(runs, models, parents, protect_tags, protect_experiments)


def references(version: Version) -> set[str]:
    """Returns: the ids of runs and logged models that a version needs: as said, and inside its addresses."""
    found = set(_IDS.findall(f"{version.source} {version.location}"))
    return found | {version.run_id} if version.run_id else found


def protecting_tag(tags: Mapping[str, str], patterns: Iterable[str]) -> str | None:
    """Returns: the tag that protects, in words; None: none does."""
    for key, value in tags.items():
        if key == PIN and value.lower() not in NOT_PINNED:
            return f"tag {PIN}"
        for pattern in patterns:
            wanted, equals, wanted_value = pattern.partition("=")
            if matches(key, wanted) and (not equals or matches(value, wanted_value)):
                return f"tag {key}" + (f"={value}" if equals else "")
    return None


def of_experiment(experiment: Experiment, guard: Guards) -> str | None:
    """Returns: what protects all runs of the experiment; None: nothing does."""
    if word := protecting_tag(experiment.tags, guard.tags):
        return f"{word} of the experiment"
    if any(matches(experiment.name, pattern) for pattern in guard.experiments):
        return "protect.experiments"
    return None


def of_run(run: Run, guard: Guards) -> str | None:
    """Returns: what protects the run itself; None: nothing does. A run that reads RUNNING is never known to be dead."""
    if run.status in ("RUNNING", "SCHEDULED"):
        return f"reads {run.status}"
    return guard.runs.get(run.id)


def left_with_family(
    left: Mapping[str, str], ids: Collection[str], parents: Mapping[str, str]
) -> dict[str, str]:
    """Args: left: run id -> why it is left after all; ids: runs that were to go; parents: run id -> its parent's.

    Returns: `left`, and their parents and children among `ids`: a family goes whole or not at all.
    """
    near: dict[str, list[str]] = {}
    for child, parent in parents.items():
        near.setdefault(child, []).append(parent)
        near.setdefault(parent, []).append(child)
    found = dict(left)
    kept = [run for run, word in left.items() if word != GONE]
    inside = set(ids)
    while kept:
        run = kept.pop()
        for other in near.get(run, ()):
            if other in inside and other not in found:
                found[other] = f"parent or child of {run}, which is kept"
                kept.append(other)
    return found


def families(runs: Iterable[Run], parents: Mapping[str, str]) -> Iterator[list[str]]:
    """Yields: the ids of runs that belong together as parents and children, two or more each."""
    ids = {run.id for run in runs}
    above = {child: parents[child] for child in parents.keys() & ids if parents[child] in ids}
    members: dict[str, list[str]] = {}
    for run in {*above, *above.values()}:
        members.setdefault(_root(run, above), []).append(run)
    yield from members.values()


def _root(run: str, above: Mapping[str, str]) -> str:
    """The topmost ancestor; of runs that claim each other as parent, the smallest id."""
    path = [run]
    while (parent := above.get(path[-1])) is not None:
        if parent in path:
            return min(path[path.index(parent) :])
        path.append(parent)
    return path[-1]
