"""How large folders are, how old, and whether they are still the same. Links are never followed."""

from pathlib import Path

from onerun.store.files.layout import MODELS, is_run_id


def size_of(folder: Path) -> int:
    """Returns: bytes of a file, or in a folder."""
    if folder.is_symlink() or not folder.is_dir():
        return folder.lstat().st_size
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def print_of(folder: Path, own_alone: bool = False) -> int:
    """Returns: a number that is another one once any file in the folder is another one, is new or is gone.

    Args: own_alone: without its runs and logged models.
    """
    parts = folder.iterdir()
    if own_alone:
        parts = (path for path in parts if path.name != MODELS and not is_run_id(path.name))
    files = (
        file
        for part in parts
        for file in (part, *(part.rglob("*") if not part.is_symlink() else ()))
    )
    looked = ((str(file), file.lstat()) for file in files if file.is_symlink() or not file.is_dir())
    return hash(
        frozenset((path, about.st_size, about.st_mtime_ns, about.st_ino) for path, about in looked)
    )


def newest_change(folder: Path) -> int:
    """Returns: when anything in the folder changed last, in milliseconds since 1970."""
    return int(1000 * max(path.lstat().st_mtime for path in (folder, *folder.rglob("*"))))
