"""One rescue under way: what was found, what was noted as good, and the clean copy made of it."""

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from onerun.domain.text import printable
from onerun.rescue.checksums import Checksums
from onerun.store.files import reader
from onerun.store.files.reader import Cause, Unreadable

LARGEST_QUARANTINED = 64 * 2**20  # bytes of one copied file; the raw backup has all of it anyway


class Remedy(StrEnum):
    """What is done about something that is wrong. The values stand in reports."""

    REBUILT = "rebuilt"
    REPAIRED = "mended"
    QUARANTINED = "quarantined"
    DROPPED = "dropped"
    NOTED = "told"
    LEFT_OUT = "left out"  # neither in the database nor in the backup: nothing is proven then


REBUILT, REPAIRED, QUARANTINED = Remedy.REBUILT, Remedy.REPAIRED, Remedy.QUARANTINED
DROPPED, NOTED, LEFT_OUT = Remedy.DROPPED, Remedy.NOTED, Remedy.LEFT_OUT


@dataclass(frozen=True)
class RescueFinding:
    """Something that is wrong with the store: where, what, and what is done about it."""

    path: str
    what: str
    cause: str
    done: str
    bytes: int


@dataclass
class RescueContext:
    """What the parts of a rescue share. `copy` and `quarantine`: None when nothing is written.

    runs, models, traces: id -> experiment. duplicates: run that is in several experiments -> the
    one that keeps it. model_homes: logged model -> its folder. model_runs: logged model -> the run
    that made it. assessments: id -> trace. names: name of an experiment -> its id.
    """

    source: Path
    checksums: Checksums
    copy: Path | None = None
    quarantine: Path | None = None
    findings: list[RescueFinding] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    runs: dict[str, str] = field(default_factory=dict)
    duplicates: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    model_homes: dict[str, Path] = field(default_factory=dict)
    model_runs: dict[str, str | None] = field(default_factory=dict)
    traces: dict[str, str] = field(default_factory=dict)
    assessments: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def found(self, path: Path, what: str, cause: str | Unreadable, remedy: Remedy) -> None:
        """Note a finding. What is quarantined is copied; what may not be read is left out."""
        if isinstance(cause, Unreadable) and cause.cause == Cause.DENIED:
            remedy = Remedy.LEFT_OUT
        relative = self.relative(path)
        size = reader.size_below(path)
        self.findings.append(RescueFinding(relative, what, str(cause), str(remedy), size))
        self.totals[str(remedy)] += 1
        if remedy in (Remedy.QUARANTINED, Remedy.REBUILT) and self.quarantine:
            self._keep(path, self.quarantine / relative)

    def folders(self, path: Path, what: str) -> list[str]:
        """Return the names of the folders in it, sorted. Raises: Unreadable.

        Links to folders, which MLflow follows, become findings.
        """
        for name in reader.others(path):
            self.is_left_out(path / name, what)
        return reader.folders(path)

    def unreadable(self, path: Path, what: str, error: Unreadable) -> None:
        """Note a folder that cannot be listed."""
        if not self.is_left_out(path, what):
            self.found(path, what, error, Remedy.QUARANTINED)

    def is_left_out(self, path: Path, what: str) -> bool:
        """Return whether it is a link to a folder: what is behind it would be in no backup."""
        if not (os.path.islink(path) and reader.is_folder(path)):  # noqa: PTH114 - False where the other one raises
            return False
        advice = "put that folder itself in its place, or take the link away"
        cause = printable(f"a link to {path.readlink()}: {advice}")
        self.found(path, what, cause, Remedy.LEFT_OUT)
        return True

    def relative(self, path: Path) -> str:
        """Return the path as it is shown."""
        return printable(str(path.relative_to(self.source)))

    def _keep(self, path: Path, target: Path) -> None:
        """Copy to the quarantine. Links stay links; a folder's artifacts stay where they are."""
        try:
            if path.is_symlink() or path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                if path.is_symlink() or path.stat().st_size <= LARGEST_QUARANTINED:
                    shutil.copy2(path, target, follow_symlinks=False)
            elif path.is_dir():
                shutil.copytree(
                    path, target, symlinks=True, ignore=_without_artifacts, dirs_exist_ok=True
                )
        except (OSError, shutil.Error) as error:  # unreadable is why it is here
            self.totals["not copied"] += 1
            cause = str(error)[:200]
            finding = RescueFinding(self.relative(path), "quarantine", cause, str(NOTED), 0)
            self.findings.append(finding)

    def write(self, relative: str, text: str) -> None:
        """Write a file of the clean copy."""
        if self.copy:
            target = self.copy / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())

    def make_folder(self, relative: str) -> None:
        """Make a folder of the clean copy."""
        if self.copy:
            (self.copy / relative).mkdir(parents=True, exist_ok=True)

    def write_meta(self, relative: str, meta: dict[str, Any]) -> None:
        """Write a YAML file of the clean copy."""
        self.write(relative, yaml.safe_dump(meta, allow_unicode=True))

    def values(self, folder: Path, what: str, longest: int | None = None) -> dict[str, str]:
        """Return the good parameters or tags of a folder; the others become findings."""
        try:
            found = reader.values(folder)
        except Unreadable as error:
            self.unreadable(folder, f"{what}s", error)
            return {}
        for file, reason in found.unreadable:
            self.found(file, what, reason, Remedy.QUARANTINED)
        for key, value in found.good.items():
            found.good[key] = self._as_held(folder / key, what, value, longest)
        return found.good

    def _as_held(self, file: Path, what: str, value: str, longest: int | None) -> str:
        """Return a value as a database holds it; what changes is quarantined as it was."""
        if "\r" in value:  # MLflow's tool reads it so
            cause = "its carriage returns become line breaks"
            self.found(file, what, cause, Remedy.QUARANTINED)
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        if longest and len(value) > longest:
            cause = f"{len(value)} characters, cut to {longest}"
            self.found(file, what, cause, Remedy.QUARANTINED)
            value = value[:longest]
        return value

    def key(self, key: str) -> str:
        """Return the name of a value or model. Raises: Unreadable: no database holds it."""
        return reader.checked_key(key)


def _without_artifacts(folder: str, names: list[str]) -> list[str]:
    special = [name for name in names if not _is_plain(os.path.join(folder, name))]  # noqa: PTH118
    return [name for name in names if name == "artifacts"] + special


def _is_plain(path: str) -> bool:
    return os.path.islink(path) or os.path.isdir(path) or os.path.isfile(path)  # noqa: PTH112, PTH113, PTH114
