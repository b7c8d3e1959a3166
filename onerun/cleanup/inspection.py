"""What is wrong in a store and its artifacts. Nothing is changed."""

import re
from collections.abc import Callable, Iterator, Sequence

from onerun import storage
from onerun.cleanup.disk_list import Spool
from onerun.cleanup.store_protocol import Store
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import MODELS, TRACES, below, of_model, of_run, plain
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.inventory import DELETED, Group
from onerun.domain.cleanup.protection import references
from onerun.store import artifact_paths

_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
_TRACE = re.compile(r"tr-[0-9a-f]{32}")
_IDS = {MODELS: ("logged model", _MODEL), TRACES: ("trace", _TRACE)}
NOTHING_ASKED = Policy()


def examine(store: Store, policy: Policy = NOTHING_ASKED) -> list[Finding]:
    """Returns: everything that was found. The store is read first, its artifacts are looked at afterwards.

    Args: policy: which tags of experiments matter.
    """
    with Spool[Group]() as groups:
        with store.inventory(policy, ()) as (_, found):
            for group in found:
                groups.add(group)
        troubles = [_measured(finding) for finding in store.troubles()]
        lonely = {finding.id for finding in troubles if finding.kind == "model-without-run"}
        experiments = {
            model.id: group.experiment
            for group in groups
            for model in group.models
            if model.id in lonely
        }
        troubles = [
            finding._replace(experiment=experiments.get(finding.id)) for finding in troubles
        ]
        for group in groups:
            troubles += _of_deleted(group, "" if store.finds_owners else "/artifacts")
        ownerless = (
            [found for group in groups for found in _unknown(group)] if store.finds_owners else []
        )
    return [*troubles, *_nobodys(store, ownerless), *_versions_without_files(store)]


def _measured(finding: Finding) -> Finding:
    """Parameters are a matter of records: what else the run holds is no part of it."""
    if finding.bytes is not None or not finding.place or finding.kind.endswith("-parameter"):
        return finding
    return finding._replace(bytes=artifact_paths.size_of(finding.place))


def _nobodys(store: Store, candidates: Sequence[Finding]) -> list[Finding]:
    """Asked once more, and of the whole store: experiments may share a folder, and runs begin while we look."""
    owned = owners(store, [finding.id for finding in candidates])
    found = [finding for finding in candidates if owner_of(finding.id) not in owned]
    if not found:
        return []
    needs = needed_by(store)
    return [
        finding._replace(action=f"left: {words}")
        if (words := needs(owner_of(finding.id), finding.id))
        else finding
        for finding in found
    ]


def needed_by(store: Store) -> Callable[[str, str], str | None]:
    """Returns: says of the id and the folder of a run or logged model which registered version needs it.

    A registry may be another database, and know models of which the tracking store knows nothing any more.
    """
    named: dict[str, str] = {}
    places: dict[str, str] = {}
    for version, place in store.version_places():
        named |= dict.fromkeys(references(version), version.words)
        for address in (place, version.address, version.location):
            if address and (real := artifact_paths.real_address(address)):
                places[real] = version.words

    def needs(identity: str, folder: str) -> str | None:
        root = f"{artifact_paths.real_address(folder)}/"
        inside = (words for place, words in places.items() if f"{place}/".startswith(root))
        words = named.get(identity) or next(inside, None)
        return words and f"{words} needs it"

    return needs


def owner_of(folder: str) -> str:
    """Returns: the id of the run, logged model or trace that a folder is called after."""
    return folder.rpartition("/")[2]


def owners(store: Store, folders: Sequence[str]) -> set[str]:
    """Returns: the ids of runs, logged models and traces that folders are called after and that the store knows now."""
    ids = [owner_of(folder) for folder in folders]
    there = store.existing([each for each in ids if _RUN.fullmatch(each)])
    there |= store.existing_models([each for each in ids if _MODEL.fullmatch(each)])
    return there | store.existing_traces([each for each in ids if _TRACE.fullmatch(each)])


def _versions_without_files(store: Store) -> Iterator[Finding]:
    for version, place in store.version_places():
        address = artifact_paths.real_address(place) if place else None
        if place is None or (address is not None and _is_missing(address)):
            cause = f"there is nothing at {place}" if place else "what it was made of is gone"
            yield Finding(
                "version-without-files",
                version.words,
                None if place is None else 0,
                None,
                cause,
                place=place or "",
            )


def _is_missing(address: str) -> bool:
    try:
        return not storage.exists(address)
    except PermissionError:
        return False  # it is somebody else's, and not known


def _of_deleted(group: Group, inner: str) -> Iterator[Finding]:
    """Args: inner: in a store of files a run's folder is the run itself, and only what is below this its artifacts."""
    location = group.experiment.location
    deleted = {
        f"{folder}{inner}": run
        for run in group.runs
        if run.is_deleted and (folder := of_run(location, run))
    }
    held = artifact_paths.sizes(location, deleted)
    for folder, run in deleted.items():
        if held[folder]:
            place = folder.removesuffix(inner)
            yield Finding(
                "deleted-run-files", place, held[folder], run.deleted, f"run {run.id} is deleted"
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
    return sum(
        filter(
            None,
            artifact_paths.sizes(
                location, [f"{folder}{inner}" for folder in own if folder]
            ).values(),
        )
    )


def _unknown(group: Group) -> Iterator[Finding]:
    """Folders that look like a run's, a model's or a trace's and belong to none of this experiment."""
    location = group.experiment.location
    owned = {below(location, folder) for run in group.runs if (folder := of_run(location, run))}
    owned |= {
        below(location, folder) for model in group.models if (folder := of_model(location, model))
    }

    def ownerless(parts: tuple[str, ...]) -> bool:
        looks_like_one = (
            _RUN.fullmatch(parts[0]) if len(parts) == 1 else _IDS[parts[0]][1].fullmatch(parts[1])
        )
        return looks_like_one is not None and parts not in owned

    for parts, count, changed in artifact_paths.folders(location, ownerless):
        what = "run" if len(parts) == 1 else _IDS[parts[0]][0]
        cause = f"the store knows no {what} {parts[-1]} in {group.experiment.name}"
        place = "/".join([plain(location), *parts])
        yield Finding(
            "prefix-without-owner", place, count, changed, cause, experiment=group.experiment
        )
