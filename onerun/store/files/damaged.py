"""Experiments that MLflow cannot read: which of them go, and whether they still may when their turn comes."""

from collections.abc import Iterator
from pathlib import Path

from onerun.config.policy import Policy
from onerun.domain.cleanup.damaged import Damaged, kept_by
from onerun.domain.cleanup.inventory import Run
from onerun.domain.cleanup.plan import Item
from onerun.domain.cleanup.protection import Guards
from onerun.domain.text import age
from onerun.store.files import layout, measuring, reading
from onerun.store.files.layout import Broken, Kind

DAMAGED = "damaged"  # an item's lifecycle


def items(root: Path, policy: Policy, guard: Guards, now: int) -> Iterator[Item]:
    """Yields: the damaged experiments that the policy lets go and nobody protects."""
    twice = _ids_in_the_trash_too(root)
    for folder, kind in layout.classified(root):
        if kind == Kind.DAMAGED and folder.name not in twice:
            damaged = examined(folder)
            if kept_by(damaged, policy, guard, now) is None:
                why = f"{_cause(folder)}, unchanged for {age(now - damaged.changed)}"
                yield Item(
                    "experiment", folder.name, damaged.name or folder.name, folder.name, damaged.name or folder.name,
                    why, measuring.size_of(folder), (), DAMAGED, inside=len(damaged.runs),
                )  # fmt: skip


def examined(folder: Path) -> Damaged:
    """Returns: what the folder of a damaged experiment still tells."""
    runs = layout.run_folders(folder)
    readable = [run for path in runs if (run := readable_run(path))]
    names = dict.fromkeys((path.name for path in layout.model_folders(folder)), None)
    models = names | {model.id: model.name for model in reading.models(folder)}
    return Damaged(
        folder.name, reading.name_of(folder), str(folder), reading.texts(folder / "tags"),
        [path.name for path in runs], readable, models, measuring.newest_change(folder),
    )  # fmt: skip


def readable_run(folder: Path, metrics: tuple[str, ...] = ()) -> Run | None:
    """Returns: the run; None: it cannot be read."""
    try:
        return reading.run(folder, metrics)
    except (FileNotFoundError, Broken):
        return None


def _cause(folder: Path) -> str:
    try:
        reading.experiment(folder)
    except FileNotFoundError:
        return "no meta.yaml"
    except Broken as error:
        return f"meta.yaml {error}"
    return "was repaired"


def _ids_in_the_trash_too(root: Path) -> set[str]:
    both = [{path.name for path in layout.folders(place)} for place in (root, root / layout.TRASH)]
    return both[0] & both[1]
