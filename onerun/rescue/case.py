"""One rescue under way: what was found, what was noted as good, and the clean copy that is made of it."""

import errno
import os
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from onerun.domain.text import printable
from onerun.rescue.facts import Facts
from onerun.store.files import reader

LARGEST_QUARANTINED = (
    64 * 2**20
)  # bytes of one file that is copied; all of it is in the raw backup anyway
REBUILT, MENDED, QUARANTINED, DROPPED, TOLD = "rebuilt", "mended", "quarantined", "dropped", "told"
DENIED = os.strerror(errno.EACCES)
LEFT_OUT = "left out"  # neither in the database nor in the backup: nothing is proven then


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with the store: where, what, and what is done about it."""

    path: str
    what: str
    cause: str
    done: str
    bytes: int


@dataclass
class Case:
    """What the parts of a rescue share. `copy` and `quarantine` are None when nothing is to be written."""

    source: Path
    facts: Facts
    copy: Path | None = None
    quarantine: Path | None = None
    findings: list[Finding] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    runs: dict[str, str] = field(default_factory=dict)  # run -> experiment
    claims: dict[str, str] = field(
        default_factory=dict
    )  # run that is there several times -> experiment that has it
    models: dict[str, str] = field(default_factory=dict)  # logged model -> experiment
    model_homes: dict[str, Path] = field(default_factory=dict)  # logged model -> its folder
    model_runs: dict[str, str | None] = field(
        default_factory=dict
    )  # logged model -> run that made it
    traces: dict[str, str] = field(default_factory=dict)  # trace -> experiment
    assessments: dict[str, str] = field(default_factory=dict)  # assessment -> trace
    names: dict[str, str] = field(default_factory=dict)  # experiment's name -> id

    def found(self, path: Path, what: str, cause: str, done: str) -> None:
        """Notes a finding; what is quarantined is copied there."""
        if DENIED in cause:
            done = LEFT_OUT
        relative = self.relative(path)
        size = reader.size_below(path)
        self.findings.append(Finding(relative, what, cause, done, size))
        self.totals[done] += 1
        if done in (QUARANTINED, REBUILT) and self.quarantine:
            self._keep(path, self.quarantine / relative)

    def folders(self, path: Path, what: str) -> list[str]:
        """Returns: names of the folders in it, sorted. Links to folders, which MLflow follows, are left out, and told.

        Raises: Unreadable.
        """
        for name in reader.others(path):
            self.is_left_out(path / name, what)
        return reader.folders(path)

    def unreadable(self, path: Path, what: str, error: reader.Unreadable) -> None:
        """Notes a folder that cannot be listed."""
        if not self.is_left_out(path, what):
            self.found(path, what, str(error), QUARANTINED)

    def is_left_out(self, path: Path, what: str) -> bool:
        """Whether it is a link to a folder: what is behind it would be in no backup."""
        if not (os.path.islink(path) and reader.is_folder(path)):  # noqa: PTH114 - False where the other one raises
            return False
        advice = f"a link to {path.readlink()}: put that folder itself in its place, or take the link away"
        self.found(path, what, printable(advice), LEFT_OUT)
        return True

    def relative(self, path: Path) -> str:
        """Returns: the path as it is shown."""
        return printable(str(path.relative_to(self.source)))

    def _keep(self, path: Path, target: Path) -> None:
        """Links stay links; a folder's artifacts stay where they are."""
        try:
            if path.is_symlink() or path.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                if path.is_symlink() or path.stat().st_size <= LARGEST_QUARANTINED:
                    shutil.copy2(path, target, follow_symlinks=False)
            elif path.is_dir():
                shutil.copytree(
                    path, target, symlinks=True, ignore=_without_artifacts, dirs_exist_ok=True
                )
        except (
            OSError,
            shutil.Error,
        ) as error:  # unreadable is why it is here; the finding says so
            self.totals["not copied"] += 1
            self.findings.append(
                Finding(self.relative(path), "quarantine", str(error)[:200], TOLD, 0)
            )

    def write(self, relative: str, text: str) -> None:
        """Writes a file of the clean copy."""
        if self.copy:
            target = self.copy / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(text.encode())

    def make_folder(self, relative: str) -> None:
        """Makes a folder of the clean copy."""
        if self.copy:
            (self.copy / relative).mkdir(parents=True, exist_ok=True)

    def write_meta(self, relative: str, meta: dict[str, Any]) -> None:
        """Writes a YAML file of the clean copy."""
        self.write(relative, yaml.safe_dump(meta, allow_unicode=True))

    def values(self, folder: Path, what: str, longest: int | None = None) -> dict[str, str]:
        """Returns: the good ones of the parameters or tags in a folder; the others become findings."""
        try:
            found = reader.values(folder)
        except reader.Unreadable as error:
            self.unreadable(folder, f"{what}s", error)
            return {}
        for file, reason in found.unreadable:
            self.found(file, what, str(reason), QUARANTINED)
        good = found.good
        for key, value in good.items():
            file = folder / key
            if "\r" in value:  # MLflow's tool reads it so
                self.found(file, what, "its carriage returns become line breaks", QUARANTINED)
                good[key] = value.replace("\r\n", "\n").replace("\r", "\n")
            if longest and len(good[key]) > longest:
                cause = f"{len(good[key])} characters, cut to {longest}"
                self.found(file, what, cause, QUARANTINED)
                good[key] = good[key][:longest]
        return good

    def key(self, key: str) -> str:
        """Return the name of a parameter, tag, metric or model. Raises: Unreadable: too long, no text."""
        return reader.checked_key(key)


def _without_artifacts(folder: str, names: list[str]) -> list[str]:
    special = [name for name in names if not _plain(os.path.join(folder, name))]  # noqa: PTH118
    return [name for name in names if name == "artifacts"] + special


def _plain(path: str) -> bool:
    return os.path.islink(path) or os.path.isdir(path) or os.path.isfile(path)  # noqa: PTH112, PTH113, PTH114
