"""Experiments that MLflow cannot read: which of them may be removed, and whether they still may."""

from collections.abc import Iterator
from pathlib import Path

from onerun.config.policy import Policy
from onerun.domain.cleanup.damaged import Damaged, kept_by
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Protections
from onerun.domain.text import age
from onerun.store.files import entities, layout
from onerun.store.files.layout import META, FolderKind
from onerun.store.files.reader import Cause, Unreadable
from onerun.store.files.trash import newest_change, size_of

DAMAGED = "damaged"  # an item's lifecycle
READ_BY_MLFLOW = (Cause.LINK, Cause.DENIED, Cause.SYSTEM)  # it may be sound, only not read here


def items(root: Path, policy: Policy, protections: Protections, now: int) -> Iterator[Item]:
    """Yield the damaged experiments that the policy lets go and nothing protects."""
    twice = _ids_in_the_trash_too(root)
    for folder, kind in layout.classified(root):
        if kind != FolderKind.DAMAGED or folder.name in twice:
            continue
        error = damage(folder)
        damaged = examined(folder)
        if error is None or kept_by(damaged, policy, protections, now) is not None:
            continue
        name = damaged.name or folder.name
        yield Item(
            kind="experiment",
            id=folder.name,
            name=name,
            experiment_id=folder.name,
            experiment=name,
            why=f"{META}: {error}, unchanged for {age(now - damaged.changed)}",
            bytes=size_of(folder),
            lifecycle=DAMAGED,
            inside=len(damaged.runs),
        )


def damage(folder: Path) -> Unreadable | None:
    """Return what is wrong with an experiment's meta.yaml; None: MLflow may be able to read it."""
    try:
        entities.experiment(folder)
    except Unreadable as error:
        return None if error.cause in READ_BY_MLFLOW else error
    return None


def examined(folder: Path) -> Damaged:
    """Return what the folder of a damaged experiment still tells."""
    runs = layout.run_folders(folder)
    models: dict[str, str | None] = {path.name: None for path in layout.model_folders(folder)}
    models |= {model.id: model.name for model in entities.models(folder)}
    return Damaged(
        id=folder.name,
        name=entities.name_of(folder),
        location=str(folder),
        tags=entities.texts(folder / "tags"),
        runs=[path.name for path in runs],
        readable=[run for path in runs if (run := entities.readable_run(path))],
        models=models,
        changed=newest_change(folder),
    )


def _ids_in_the_trash_too(root: Path) -> set[str]:
    both = [{path.name for path in layout.folders(place)} for place in (root, root / layout.TRASH)]
    return both[0] & both[1]
