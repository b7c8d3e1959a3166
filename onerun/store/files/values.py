"""Parameters and tags of a run, read by somebody who trusts none of their files."""

import stat
from pathlib import Path
from typing import NamedTuple

from onerun.store.files.layout import LARGEST_META


class Values(NamedTuple):
    """Parameters or tags: those that are text, and why the others are none."""

    good: dict[str, str]
    unreadable: list[tuple[Path, str]]


def values_in(folder: Path) -> Values:
    """Returns: what the files below a folder hold; nothing but files is opened, and no link followed."""
    found = Values({}, [])
    if folder.is_symlink():
        found.unreadable.append((folder, "is a link"))
        return found
    for file in folder.rglob("*"):
        about = file.lstat()
        if stat.S_ISDIR(about.st_mode):
            continue
        try:
            str(file).encode()
            if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_META:
                found.unreadable.append((file, f"is no file of less than {LARGEST_META:,} bytes"))
            else:
                found.good[file.relative_to(folder).as_posix()] = file.read_bytes().decode()
        except UnicodeError:
            found.unreadable.append((file, "is no text (not UTF-8)"))
    return found
