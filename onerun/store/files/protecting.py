"""Who protects what in a store of files: looked up for the plan, and again right before something is removed."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from onerun.config.policy import Policy
from onerun.domain import names
from onerun.domain.cleanup.protection import Guards, guards, protecting_tag, references
from onerun.store.files import entities as reading
from onerun.store.files import layout
from onerun.store.files.layout import Kind


def store_guards(root: Path, policy: Policy, live: Collection[str]) -> Guards:
    """Returns: who protects what. A run that lies in several experiments stays; a pin on a copy protects the original.

    Args: live: ids of flow runs that are not over.
    """
    tags, homes, pinned = _census(root, policy)
    parents = {run: held[reading.PARENT] for run, held in tags.items() if reading.PARENT in held}
    related = [
        (child, parent) for child, parent in parents.items() if child in homes and parent in homes
    ]
    owners = {
        model.id: model.run_id
        for folder in layout.experiment_folders(root)
        for model in reading.models(folder)
        if model.run_id
    }
    registered = list(reading.versions(root))
    named = {each for version in registered for each in references(version)}
    guard = guards(
        registered,
        {model: run for model, run in owners.items() if model in named},
        tags,
        {run for run, held in tags.items() if held.get(names.TAG_FLOW_RUN_ID) in live},
        {run for pair in related if homes[pair[0]] != homes[pair[1]] for run in pair},
        parents,
        policy.protect.tags,
        policy.protect.experiments,
    )
    return replace(guard, runs={**_out_of_reach(homes, policy), **pinned, **guard.runs})


def _census(
    root: Path, policy: Policy
) -> tuple[dict[str, dict[str, str]], dict[str, list[Path]], dict[str, str]]:
    """Returns: of every run its tags and the experiments in which it lies; what protects a copy of it elsewhere."""
    tags: dict[str, dict[str, str]] = {}
    homes: dict[str, list[Path]] = defaultdict(list)
    pinned: dict[str, str] = {}
    for folder, kind in layout.classified(root):
        for path in layout.run_folders(folder):
            held = reading.texts(path / "tags")
            if word := protecting_tag(held, policy.protect.tags):
                pinned[path.name] = word
            if kind in (Kind.EXPERIMENT, Kind.DAMAGED):
                tags.setdefault(path.name, held)
                homes[path.name].append(folder)
    return tags, homes, pinned


def _out_of_reach(homes: Mapping[str, list[Path]], policy: Policy) -> dict[str, str]:
    """Returns: run id -> why nobody can say which folder is meant, or may follow to it."""
    where: dict[str, set[Path]] = defaultdict(set)
    for folders in homes.values():
        for folder in folders:
            where[folder.name].add(folder)
    found = {}
    for run, folders in homes.items():
        if len(folders) > 1:
            found[run] = f"lies in {len(folders)} experiments"
        elif len(where[folders[0].name]) > 1:
            found[run] = "lies in an experiment whose id is in the trash too"
        elif policy.action == "hard_delete" and folders[0].is_symlink():
            found[run] = "lies behind a link"
    return found
