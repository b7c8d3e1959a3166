"""Records whose files lie outside of their experiment's place. A restore writes nothing there: they must be there."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from onerun.archive import artifacts
from onerun.archive.container import listed
from onerun.archive.index import Index
from onerun.config.mistakes import Mistakes
from onerun.domain.archives import split_member
from onerun.domain.cleanup.artifact_paths import plain
from onerun.domain.errors import ArchiveDamaged


def is_own(place: str, homes: Iterable[str]) -> bool:
    """Whether a place is below one of its experiment's, however the two are written."""
    return _is_straight(place) and any(plain(place).startswith(plain(home) + "/") for home in homes)


def _is_straight(place: str) -> bool:
    return bool(place) and ".." not in plain(place).split("/")


def not_there(
    index: Index, manifest: Path, known: Callable[[str, str], bool]
) -> dict[tuple[str, str], str]:
    """Args: known: whether the store has the record, and so says itself where its files are.

    Returns: kind and id -> why it cannot be restored, of wanted records that lie elsewhere and not as in the archive.
    """
    found = {}
    for (kind, identity), files in groupby(_artifacts(manifest), key=lambda each: each[0]):
        place = index.place(kind, identity) or ""
        if (
            index.is_wanted(kind, identity)
            and not is_own(place, index.homes(kind, identity))
            and not known(kind, identity)
            and (reason := _reason(place, (line for _, line in files)))
        ):
            found[kind, identity] = reason
    return found


def _artifacts(manifest: Path) -> Iterator[tuple[tuple[str, str], Mapping[str, Any]]]:
    for line in listed(manifest):
        if artifact := split_member(line["name"]):
            yield artifact[:2], {**line, "path": artifact[2]}


def _reason(place: str, files: Iterable[Mapping[str, Any]]) -> str:
    """Returns: nothing when every file is there, and the same."""
    if not _is_straight(place):
        return f"at {place}" if place else "nowhere"
    try:
        same = all(
            artifacts.digest(artifacts.below(place, each["path"]), each["size"]) == each["sha256"]
            for each in files
        )
    except (Mistakes, ArchiveDamaged) as error:
        return str(error)
    return "" if same else f"at {place}, and not all there as they were archived"
