"""Repair a database that was migrated badly: runs without an experiment get one again."""

from dataclasses import dataclass

from onerun.archive.backup import back_up
from onerun.archive.record_io import database, migration, writer
from onerun.domain import names
from onerun.domain.archives import Archive, Selection
from onerun.domain.errors import OnerunError


@dataclass(frozen=True)
class Repair:
    """What was found in the database and, when `applied`, put right.

    experiments: id -> the row that was missing. orphans: rows that refer to something that does
    not exist, by table.
    """

    store: str
    applied: bool
    experiments: dict[str, dict[str, object]]
    orphans: dict[str, int]
    backup: Archive | None = None

    @property
    def locations(self) -> dict[str, str | None]:
        """Return where the files of each experiment are, by id."""
        found: dict[str, str | None] = {}
        for identity, row in self.experiments.items():
            location = row["artifact_location"]
            found[identity] = None if location is None else str(location)
        return found


def repair(store: str, apply: bool, backup_to: str) -> Repair:
    """Find experiments that have runs and no row; with `apply`, back up and make their rows.

    Raises: OnerunError: there are more orphans afterwards.
    """
    with database.opened(store) as databases:
        lost = {
            str(each): _rebuilt(each, places, start)
            for each, places, start in migration.lost_experiments(databases.tracking)
        }
        orphans = migration.orphans(databases.tracking)
        if not apply or not lost:
            return Repair(store, False, lost, orphans)
        backup = back_up(Selection(), backup_to, "repair", files=False, store=store)
        with writer.open_writer(databases) as records:
            for identity, row in lost.items():
                records.write(
                    "experiment",
                    identity,
                    [("experiments", [row]), ("experiment_tags", [_tag(identity)])],
                )
        writer.finish(databases)
        after = migration.orphans(databases.tracking)
        if list(migration.lost_experiments(databases.tracking)) or sum(after.values()) > sum(
            orphans.values()
        ):
            raise OnerunError(f"the database is not whole after the repair: {after}")
        return Repair(store, True, lost, after, backup)


def _rebuilt(identity: int, places: list[str], start: int) -> dict[str, object]:
    """Return the row that its runs tell of: where their files are, when the first one began."""
    suffixes = [
        place.split("/")[:-2] for place in places if place.rstrip("/").endswith("/artifacts")
    ]
    home = (
        "/".join(suffixes[0])
        if suffixes and all(each == suffixes[0] for each in suffixes)
        else None
    )
    return {
        "experiment_id": identity,
        "name": f"rescued-{identity}",
        "workspace": "default",
        "artifact_location": home,
        "lifecycle_stage": "active",
        "creation_time": start or None,
        "last_update_time": start or None,
    }


def _tag(identity: str) -> dict[str, object]:
    text = "the database had its runs and not the experiment"
    return {"experiment_id": int(identity), "key": names.TAG_RESCUED, "value": text}
