"""What is wrong in a store and its artifacts. Nothing is changed."""

import re
from collections.abc import Callable, Iterator, Sequence

from onerun import storage
from onerun.cleanup.disk_list import DiskList
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import MODELS, TRACES, below, of_model, of_run, plain
from onerun.domain.cleanup.findings import (
    ABOUT_PARAMETERS,
    ORPHANED_FOLDER,
    ORPHANED_MODEL,
    Finding,
)
from onerun.domain.cleanup.inventory import DELETED, Group
from onerun.domain.cleanup.protection import references
from onerun.store import artifact_paths
from onerun.store.protocol import Store

_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
_TRACE = re.compile(r"tr-[0-9a-f]{32}")
_IDS = {MODELS: ("logged model", _MODEL), TRACES: ("trace", _TRACE)}
NO_POLICY = Policy()


def examine(store: Store, policy: Policy = NO_POLICY) -> list[Finding]:
    """Return everything that is wrong.

    The store is read first, its artifacts are looked at afterwards.

    Args: policy: which tags of experiments matter.
    """
    with DiskList[Group]() as groups:
        with store.inventory(policy, ()) as (_, found):
            for group in found:
                groups.add(group)
        troubles = _with_experiments([_measured(each) for each in store.problems()], groups)
        inner = "" if store.finds_owners else "/artifacts"
        for group in groups:
            troubles += _files_of_deleted(group, inner)
        orphans: list[Finding] = []
        if store.finds_owners:
            for group in groups:
                orphans += _orphaned_folders(group)
    return [*troubles, *_still_orphaned(store, orphans), *_versions_without_files(store)]


def _measured(finding: Finding) -> Finding:
    """Count the bytes.

    Parameters are a matter of records: what else the run holds is no part of it.
    """
    if finding.bytes is not None or not finding.place or finding.kind in ABOUT_PARAMETERS:
        return finding
    return finding._replace(bytes=artifact_paths.size_of(finding.place))


def _with_experiments(troubles: list[Finding], groups: DiskList[Group]) -> list[Finding]:
    """Name the experiments of orphaned models."""
    orphaned = {finding.id for finding in troubles if finding.kind == ORPHANED_MODEL}
    experiments = {
        model.id: group.experiment
        for group in groups
        for model in group.models
        if model.id in orphaned
    }
    return [finding._replace(experiment=experiments.get(finding.id)) for finding in troubles]


def _still_orphaned(store: Store, candidates: Sequence[Finding]) -> list[Finding]:
    """Ask once more, and the whole store: experiments may share a folder, and runs begin while we
    look.
    """
    owned = owners(store, [finding.id for finding in candidates])
    found = [finding for finding in candidates if owner_of(finding.id) not in owned]
    if not found:
        return []
    needed = needed_by(store)
    marked = []
    for finding in found:
        version = needed(owner_of(finding.id), finding.id)
        marked.append(finding._replace(action=f"left: {version} needs it") if version else finding)
    return marked


def needed_by(store: Store) -> Callable[[str, str], str | None]:
    """Return a function that names the registered version which needs a run or logged model, by its
    id and folder.

    A registry may be another database, and know models of which the tracking store knows nothing
    any more.
    """
    named: dict[str, str] = {}
    places: dict[str, str] = {}
    for version, place in store.version_places():
        named |= dict.fromkeys(references(version), version.title)
        for address in (place, version.address, version.location):
            if address and (real := artifact_paths.real_address(address)):
                places[real] = version.title

    def needed(identity: str, folder: str) -> str | None:
        root = f"{artifact_paths.real_address(folder)}/"
        inside = (title for place, title in places.items() if f"{place}/".startswith(root))
        return named.get(identity) or next(inside, None)

    return needed


def owner_of(folder: str) -> str:
    """Return the id of the run, logged model or trace that a folder is named after."""
    return folder.rpartition("/")[2]


def owners(store: Store, folders: Sequence[str]) -> set[str]:
    """Return the ids that folders are named after and that the store knows now."""
    ids = [owner_of(folder) for folder in folders]
    there = store.existing([each for each in ids if _RUN.fullmatch(each)])
    there |= store.existing_models([each for each in ids if _MODEL.fullmatch(each)])
    return there | store.existing_traces([each for each in ids if _TRACE.fullmatch(each)])


def _versions_without_files(store: Store) -> Iterator[Finding]:
    for version, place in store.version_places():
        if place is None:
            cause, count = "what it was made of is missing", None
        else:
            address = artifact_paths.real_address(place)
            if address is None or not _is_missing(address):
                continue
            cause, count = f"there is nothing at {place}", 0
        yield Finding(
            kind="version-without-files",
            id=version.title,
            bytes=count,
            since=None,
            cause=cause,
            place=place or "",
        )


def _is_missing(address: str) -> bool:
    try:
        return not storage.exists(address)
    except PermissionError:
        return False  # it is somebody else's, and not known


def _files_of_deleted(group: Group, inner: str) -> Iterator[Finding]:
    """Yield deleted runs and experiments that still hold artifacts.

    Args: inner: where artifacts lie in a run's folder: in a store of files the folder itself is the
    run.
    """
    location = group.experiment.location
    deleted = {}
    for run in group.runs:
        folder = of_run(location, run) if run.is_deleted else None
        if folder:
            deleted[f"{folder}{inner}"] = run
    held = artifact_paths.sizes(location, deleted)
    for folder, run in deleted.items():
        if held[folder]:
            yield Finding(
                kind="deleted-run-files",
                id=folder.removesuffix(inner),
                bytes=held[folder],
                since=run.deleted,
                cause=f"run {run.id} is deleted",
            )
    experiment = group.experiment
    if experiment.lifecycle == DELETED:
        count = _artifacts_of(group, inner) if inner else artifact_paths.size_of(location)
        if count:
            cause = f"{experiment.name} is deleted"
            yield Finding("deleted-experiment-files", location, count, experiment.updated, cause)


def _artifacts_of(group: Group, inner: str) -> int:
    location = group.experiment.location
    own = [
        *(of_run(location, run) for run in group.runs),
        *(of_model(location, model) for model in group.models),
    ]
    found = artifact_paths.sizes(location, [f"{folder}{inner}" for folder in own if folder])
    return sum(size or 0 for size in found.values())


def _orphaned_folders(group: Group) -> Iterator[Finding]:
    """Yield folders named like a run, a model or a trace that belong to none of this experiment."""
    location = group.experiment.location
    owned = {below(location, folder) for run in group.runs if (folder := of_run(location, run))}
    for model in group.models:
        if folder := of_model(location, model):
            owned.add(below(location, folder))

    def is_orphan(parts: tuple[str, ...]) -> bool:
        pattern = _RUN if len(parts) == 1 else _IDS[parts[0]][1]
        return pattern.fullmatch(parts[-1]) is not None and parts not in owned

    for parts, count, changed in artifact_paths.folders(location, is_orphan):
        what = "run" if len(parts) == 1 else _IDS[parts[0]][0]
        yield Finding(
            kind=ORPHANED_FOLDER,
            id="/".join([plain(location), *parts]),
            bytes=count,
            since=changed,
            cause=f"the store knows no {what} {parts[-1]} in {group.experiment.name}",
            experiment=group.experiment,
        )
