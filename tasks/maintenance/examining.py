"""What is wrong in a store and its artifacts. Nothing is changed."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from domain.maintenance.findings import Finding
from domain.maintenance.inventory import DELETED, Group
from domain.maintenance.prefixes import MODELS, below, of_model, of_run, plain
from domain.maintenance.words import size
from settings.policy import Policy
from tasks import prefixes, storage
from tasks.maintenance.spool import Spool
from tasks.maintenance.stores import Store

_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
NOTHING_ASKED = Policy()
QUARANTINE = ".onerun-quarantine"  # folder of an experiment's artifacts where ownerless ones are set aside


def examine(store: Store) -> list[Finding]:
    """Returns: everything that was found. The store is read first, its artifacts are looked at afterwards."""
    with Spool[Group]() as groups:
        with store.inventory(NOTHING_ASKED, ()) as (_, found):
            for group in found:
                groups.add(group)
        troubles = list(store.troubles())
        for group in groups:
            troubles += _of_deleted(group, "" if store.finds_owners else "/artifacts")
        ownerless = [found for group in groups for found in _unknown(group)] if store.finds_owners else []
    return [*troubles, *_nobodys(store, ownerless), *_versions_without_files(store)]


def _nobodys(store: Store, candidates: Sequence[Finding]) -> list[Finding]:
    """Asked once more, and of the whole store: experiments may share a folder, and runs begin while we look."""
    ids = [finding.id.rpartition("/")[2] for finding in candidates]
    there = store.existing([each for each in ids if _RUN.fullmatch(each)])
    there |= store.existing_models([each for each in ids if _MODEL.fullmatch(each)])
    return [finding for finding, each in zip(candidates, ids, strict=True) if each not in there]


def _versions_without_files(store: Store) -> Iterator[Finding]:
    for version, place in store.version_places():
        address = prefixes.real_address(place) if place else None
        if place is None or (address is not None and not storage.exists(address)):
            cause = f"there is nothing at {place}" if place else "what it was made of is gone"
            yield Finding("version-without-files", version, None, None, cause)


def _of_deleted(group: Group, inner: str) -> Iterator[Finding]:
    """Args: inner: in a store of files a run's folder is the run itself, and only what is below this its artifacts."""
    location = group.experiment.location
    deleted = {f"{folder}{inner}": run for run in group.runs if run.is_deleted and (folder := of_run(location, run))}
    held = prefixes.sizes(location, deleted)
    for folder, run in deleted.items():
        if held[folder]:
            place = folder.removesuffix(inner)
            yield Finding("deleted-run-files", place, held[folder], run.deleted, f"run {run.id} is deleted")
    experiment = group.experiment
    if experiment.lifecycle == DELETED:
        count = _artifacts_of(group, inner) if inner else prefixes.size_of(location)
        if count:
            cause = f"{experiment.name} is deleted"
            yield Finding("deleted-experiment-files", location, count, experiment.updated, cause)


def _artifacts_of(group: Group, inner: str) -> int:
    location = group.experiment.location
    own = [*(of_run(location, run) for run in group.runs), *(of_model(location, model) for model in group.models)]
    return sum(filter(None, prefixes.sizes(location, [f"{folder}{inner}" for folder in own if folder]).values()))


def _unknown(group: Group) -> Iterator[Finding]:
    """Folders that look like a run's or a model's and belong to none of this experiment."""
    location = group.experiment.location
    owned = {below(location, folder) for run in group.runs if (folder := of_run(location, run))}
    owned |= {below(location, folder) for model in group.models if (folder := of_model(location, model))}
    for parts, count, changed in prefixes.folders(location):
        looks_like_one = _RUN.fullmatch(parts[0]) if len(parts) == 1 else _MODEL.fullmatch(parts[1])
        if looks_like_one and parts not in owned:
            what = "run" if len(parts) == 1 else "logged model"
            cause = f"the store knows no {what} {parts[-1]} in {group.experiment.name}"
            yield Finding("prefix-without-owner", "/".join([plain(location), *parts]), count, changed, cause)


def set_aside(findings: Sequence[Finding], before: int) -> tuple[int, list[str]]:
    """Moves ownerless artifacts that nobody changed since `before` into their experiment's quarantine, by renaming.

    Returns: how many, and what could not be moved. Moving one back undoes it.
    """
    moved, notes = 0, []
    for finding in findings:
        if finding.kind != "prefix-without-owner" or (finding.since or before) > before:
            continue
        source = Path(finding.id)
        if storage.is_s3(finding.id) or source.is_symlink() or source.parent.is_symlink():
            notes.append(f"{finding.id}: cannot be set aside, it was left ({size(finding.bytes)})")
            continue
        root = source.parent.parent if source.parent.name == MODELS else source.parent
        target = root / QUARANTINE / source.relative_to(root)
        with storage.explained(str(source)):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        moved += 1
    return moved, notes
