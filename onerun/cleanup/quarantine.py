"""Setting artifacts aside that nobody needs: moved within their experiment's folder; moving one back undoes it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from onerun import storage
from onerun.cleanup.inspection import needed_by, owner_of, owners
from onerun.cleanup.store_protocol import Store
from onerun.config.mistakes import Mistakes
from onerun.config.policy import Policy
from onerun.domain.cleanup.artifact_paths import GROUPED, MODELS, plain
from onerun.domain.cleanup.findings import Finding
from onerun.domain.cleanup.protection import Guards, of_experiment
from onerun.domain.cleanup.retention import of_logged_model, selected
from onerun.domain.text import size
from onerun.store import artifact_paths

QUARANTINE = (
    ".onerun-quarantine"  # folder of an experiment's artifacts where such folders are set aside
)
OWNERLESS, LONELY = "prefix-without-owner", "model-without-run"


def set_aside(
    store: Store, policy: Policy, findings: Sequence[Finding], before: int
) -> tuple[int, list[str]]:
    """Moves folders that nobody owns, and those of logged models whose run is gone, into the quarantine beside them.

    Findings may be a week old when a person had to be asked: need and age are looked up once more for each of them.

    Args: before: milliseconds since 1970; what anybody changed since stays.

    Returns: how many, and what was left and why. One that cannot be moved does not keep the others.
    """
    moved, notes = 0, list[str]()
    for finding, kept in meant(store, findings, policy, before):
        place = str(artifact_paths.real_address(_folder(finding)))
        refused = kept or _in_use(store, finding, place, before) or _moved(place)
        if refused:
            notes.append(f"{finding.path}: {refused}; it was left ({size(finding.bytes)})")
        else:
            moved += 1
    return moved, notes


def meant(
    store: Store, findings: Sequence[Finding], policy: Policy, before: int
) -> list[tuple[Finding, str | None]]:
    """Returns: what is old enough and of experiments that the policy is about and does not protect; and why it is left.

    With None it would be set aside.
    """
    guard = Guards(tags=policy.protect.tags, experiments=policy.protect.experiments)
    chosen = [
        finding
        for finding in findings
        if finding.kind in (OWNERLESS, LONELY)
        and finding.experiment is not None
        and (finding.since or before) <= before
        and not (
            finding.kind == LONELY and finding.bytes == 0
        )  # its files were set aside before, or never were
        and selected(finding.experiment, policy.select)
        and of_experiment(finding.experiment, guard) is None
    ]
    if not chosen:
        return []
    needs = needed_by(store)
    lonely = (
        _lonely_kept(store, policy) if any(finding.kind == LONELY for finding in chosen) else {}
    )
    return [(finding, _kept(finding, needs, lonely)) for finding in chosen]


def _kept(
    finding: Finding, needs: Callable[[str, str], str | None], lonely: Mapping[str, str | None]
) -> str | None:
    folder = _folder(finding)
    place = artifact_paths.real_address(folder)
    return (
        _not_movable(finding, place)
        or needs(owner_of(folder), str(place))
        or (
            lonely.get(finding.id, "has its run again, or is gone")
            if finding.kind == LONELY
            else None
        )
    )


def _folder(finding: Finding) -> str:
    """Of a logged model the folder that is called after it, which holds `artifacts`."""
    return (
        plain(finding.path or "").removesuffix("/artifacts")
        if finding.kind == LONELY
        else finding.id
    )


def _lonely_kept(store: Store, policy: Policy) -> dict[str, str | None]:
    """Returns: id of each logged model whose run is gone now -> what protects it."""
    lonely = {finding.id for finding in store.troubles() if finding.kind == LONELY}
    with store.inventory(policy, ()) as (guard, groups):
        return {
            model.id: of_logged_model(model, policy.select, guard)
            for group in groups
            for model in group.models
            if model.id in lonely
        }


def _not_movable(finding: Finding, place: str | None) -> str | None:
    if place is None:
        return f"lies behind a server's proxy, and {artifact_paths.DESTINATION} does not say where"
    if finding.kind == LONELY and not place.endswith(f"/{MODELS}/{finding.id}"):
        return "lies elsewhere than the logged models of its experiment"
    linked = not storage.is_s3(place) and (
        Path(place).is_symlink() or Path(place).parent.is_symlink()
    )
    return "is reached through a link" if linked else None


def _in_use(store: Store, finding: Finding, place: str, before: int) -> str | None:
    if finding.kind == OWNERLESS and owners(store, [finding.id]):
        return f"{owner_of(finding.id)} is in the store again"
    try:
        changed = artifact_paths.changed_at(place)
    except PermissionError as error:
        return f"cannot be looked at ({error.strerror})"
    if changed is None:
        return "is gone meanwhile"
    return "was changed meanwhile" if changed > before else None


def _moved(source: str) -> str | None:
    """Returns: why it could not be moved; None: it was."""
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
        return f"cannot be moved to {target} ({error.strerror})"
    except (storage.NotMovedError, Mistakes) as error:
        return f"cannot be moved to {target} ({error})"
    return None
