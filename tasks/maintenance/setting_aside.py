"""Setting artifacts aside that nobody owns: renamed within their experiment's folder; moving one back undoes it."""

from collections.abc import Sequence
from pathlib import Path

from domain.maintenance.findings import Finding
from domain.maintenance.prefixes import MODELS
from domain.maintenance.words import size
from tasks import prefixes, storage
from tasks.maintenance.examining import owner_of, owners
from tasks.maintenance.stores import Store

QUARANTINE = ".onerun-quarantine"  # folder of an experiment's artifacts where ownerless ones are set aside


def set_aside(store: Store, findings: Sequence[Finding], before: int) -> tuple[int, list[str]]:
    """Moves ownerless artifacts in which nobody changed anything since `before` into their experiment's quarantine.

    Findings may be a week old when a person had to be asked: owner and age are looked up once more for each of them.

    Returns: how many, and what was left and why. One that cannot be moved does not keep the others.
    """
    moved, notes = 0, []
    for finding in findings:
        if finding.kind != "prefix-without-owner" or (finding.since or before) > before:
            continue
        place = prefixes.real_address(finding.id)
        refused = _not_movable(place) or _in_use(store, finding.id, str(place), before) or _moved(Path(str(place)))
        if refused:
            notes.append(f"{finding.id}: {refused}; it was left ({size(finding.bytes)})")
        else:
            moved += 1
    return moved, notes


def _not_movable(place: str | None) -> str | None:
    if place is None:
        return f"lies behind a server's proxy, and {prefixes.DESTINATION} does not say where"
    if storage.is_s3(place):
        return "an object store cannot rename"
    return "is reached through a link" if Path(place).is_symlink() or Path(place).parent.is_symlink() else None


def _in_use(store: Store, folder: str, place: str, before: int) -> str | None:
    if owners(store, [folder]):
        return f"{owner_of(folder)} is in the store again"
    changed = prefixes.measured(place)[1]
    if changed is None:
        return "is gone meanwhile"
    return "was changed meanwhile" if changed > before else None


def _moved(source: Path) -> str | None:
    """Returns: why it could not be moved; None: it was."""
    root = source.parent.parent if source.parent.name == MODELS else source.parent
    target = root / QUARANTINE / source.relative_to(root)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    except OSError as error:
        return f"cannot be moved to {target} ({error.strerror})"
    return None
