"""Orphaned artifacts, moved into a quarantine within their experiment's folder; moving one back
undoes it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from onerun import storage
from onerun.cleanup.inspection import needed_by, owner_of, owners
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import GROUPED, MODELS, plain
from onerun.domain.cleanup.findings import ORPHANED_FOLDER, ORPHANED_MODEL, Finding
from onerun.domain.cleanup.protection import Protections, of_experiment
from onerun.domain.cleanup.reason import Reason, ReasonKind
from onerun.domain.cleanup.retention import of_logged_model, selected
from onerun.domain.text import size
from onerun.store import artifact_paths
from onerun.store.protocol import Store

QUARANTINE = ".onerun-quarantine"  # a folder beside an experiment's artifacts


def quarantine(
    store: Store, policy: Policy, findings: Sequence[Finding], before: int
) -> tuple[int, list[str]]:
    """Move orphaned folders, and the files of orphaned models, into the quarantine beside them.

    Findings may be a week old when a person had to be asked: need and age are looked up once more
    for each of them.

    Args: before: milliseconds since 1970; what was changed since stays.

    Returns: how many were moved, and what was kept and why. One that cannot be moved does not keep
    the others.
    """
    moved, notes = 0, list[str]()
    for finding, kept in to_quarantine(store, findings, policy, before):
        place = str(artifact_paths.real_address(_folder(finding)))
        reason = kept or _in_use(store, finding, place, before) or _move(place)
        if reason:
            notes.append(f"{finding.path}: {reason}; it was kept ({size(finding.bytes)})")
        else:
            moved += 1
    return moved, notes


def to_quarantine(
    store: Store, findings: Sequence[Finding], policy: Policy, before: int
) -> list[tuple[Finding, Reason | None]]:
    """Return the orphans that are old enough and of experiments that the policy selects and does
    not protect.

    Returns: with each, why it is kept all the same; None: it would be moved.
    """
    protections = Protections(tags=policy.protect.tags, experiments=policy.protect.experiments)
    chosen = [finding for finding in findings if _is_meant(finding, policy, protections, before)]
    if not chosen:
        return []
    needed = needed_by(store)
    models = {}
    if any(finding.kind == ORPHANED_MODEL for finding in chosen):
        models = _orphaned_models(store, policy)
    return [(finding, _kept(finding, needed, models)) for finding in chosen]


def _is_meant(finding: Finding, policy: Policy, protections: Protections, before: int) -> bool:
    if finding.kind not in (ORPHANED_FOLDER, ORPHANED_MODEL) or finding.experiment is None:
        return False
    if (finding.since or before) > before:
        return False
    if finding.kind == ORPHANED_MODEL and finding.bytes == 0:
        return False  # its files were moved before, or never were
    return (
        selected(finding.experiment, policy.select)
        and of_experiment(finding.experiment, protections) is None
    )


def _kept(
    finding: Finding,
    needed: Callable[[str, str], str | None],
    models: Mapping[str, Reason | None],
) -> Reason | None:
    """Return why an orphan is kept. Args: models: the orphaned ones, and what protects each."""
    folder = _folder(finding)
    place = artifact_paths.real_address(folder)
    if reason := _not_movable(finding, place):
        return reason
    if version := needed(owner_of(folder), str(place)):
        return Reason(ReasonKind.REGISTERED, f"{version} needs it")
    if finding.kind == ORPHANED_MODEL:
        return models.get(finding.id, Reason(ReasonKind.RESTORED_MODEL))
    return None


def _folder(finding: Finding) -> str:
    """Return the folder; of a logged model the one named after it, which holds `artifacts`."""
    if finding.kind == ORPHANED_MODEL:
        return plain(finding.path or "").removesuffix("/artifacts")
    return finding.id


def _orphaned_models(store: Store, policy: Policy) -> dict[str, Reason | None]:
    """Return the logged models whose run is missing now, and what protects each."""
    orphaned = {finding.id for finding in store.problems() if finding.kind == ORPHANED_MODEL}
    with store.inventory(policy, ()) as (protections, groups):
        return {
            model.id: of_logged_model(model, policy.select, protections)
            for group in groups
            for model in group.models
            if model.id in orphaned
        }


def _not_movable(finding: Finding, place: str | None) -> Reason | None:
    if place is None:
        return Reason(
            ReasonKind.PLACE,
            f"behind a server's proxy, and {artifact_paths.DESTINATION} does not say where",
        )
    if finding.kind == ORPHANED_MODEL and not place.endswith(f"/{MODELS}/{finding.id}"):
        return Reason(ReasonKind.PLACE, "elsewhere than the logged models of its experiment")
    if storage.is_s3(place):
        return None
    if Path(place).is_symlink() or Path(place).parent.is_symlink():
        return Reason(ReasonKind.LINK)
    return None


def _in_use(store: Store, finding: Finding, place: str, before: int) -> Reason | None:
    if finding.kind == ORPHANED_FOLDER and owners(store, [finding.id]):
        return Reason(ReasonKind.OWNED, owner_of(finding.id))
    try:
        changed = artifact_paths.changed_at(place)
    except PermissionError as error:
        return Reason(ReasonKind.REFUSED, f"it cannot be looked at ({error.strerror})")
    if changed is None:
        return Reason(ReasonKind.MISSING)
    return Reason(ReasonKind.CHANGED_SINCE) if changed > before else None


def _move(source: str) -> Reason | None:
    """Move a folder. Returns: why it could not be moved."""
    group, name = source.split("/")[-2:]
    below = f"{group}/{name}" if group in GROUPED else name
    target = f"{source.removesuffix(below)}{QUARANTINE}/{below}"
    try:
        if storage.is_s3(source):
            storage.move_tree(source, target)
        else:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(source).rename(target)
    except OSError as error:
        return Reason(ReasonKind.NOT_MOVED, f"to {target} ({error.strerror})")
    except (storage.NotMovedError, Mistakes) as error:
        return Reason(ReasonKind.NOT_MOVED, f"to {target} ({error})")
    return None
