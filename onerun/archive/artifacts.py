"""Files of artifacts: listed, read, written and compared, never outside of their place."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from onerun import storage
from onerun.domain.archives import inside
from onerun.domain.errors import ArchiveDamaged
from onerun.store.artifact_paths import DESTINATION, PROXY, resolve

LEFT_OUT = "a link that leads elsewhere, or no file: left out"


@dataclass(frozen=True)
class Artifact:
    """One file of a place: its path there, its size, how to open it. `note`: why it is left out."""

    path: str
    size: int
    open: Callable[[], IO[bytes]]
    note: str = ""


def files(place: str, server: str = "") -> Iterator[Artifact]:
    """Yield every file of a place, in order; nothing where there is no such place.

    Args:
        place: the address of artifacts.
        server: the MLflow server to ask for what lies behind its proxy.
    """
    if place.startswith(PROXY) and not os.environ.get(DESTINATION) and server.startswith("http"):
        yield from _behind_proxy(place, server)
        return
    root = resolve(place)
    yield from _in_bucket(root) if storage.is_s3(root) else _in_folder(Path(root))


def _in_folder(root: Path) -> Iterator[Artifact]:
    for folder, names, found in os.walk(root, onerror=_raise):
        names.sort()
        links = [name for name in names if Path(folder, name).is_symlink()]
        for name in sorted([*found, *links]):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
                yield Artifact(relative, 0, _refuse, f"{path}: {LEFT_OUT}")
            else:
                yield Artifact(relative, path.stat().st_size, partial(_open, path))


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _refuse() -> IO[bytes]:
    raise AssertionError("a link is not opened")


def _in_bucket(root: str) -> Iterator[Artifact]:
    for uri, size in storage.list_objects(root):
        yield Artifact(uri.removeprefix(root + "/"), size, partial(storage.open_input, uri))


def _behind_proxy(place: str, server: str) -> Iterator[Artifact]:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(place, tracking_uri=server)
    folders = [""]
    while folders:
        listed = repository.list_artifacts(folders.pop() or None)
        for found in sorted(listed, key=lambda each: each.path):
            if found.is_dir:
                folders.append(found.path)
            else:
                size = int(found.file_size or 0)
                yield Artifact(found.path, size, partial(_fetch, repository, found.path))


def _fetch(repository: Any, path: str) -> IO[bytes]:
    """Return the file, fetched into one without a name, which is removed when it is closed."""
    with tempfile.TemporaryDirectory(prefix="onerun-artifact-") as folder:
        local = Path(folder, "file")
        repository._download_file(path, str(local))
        return local.open("rb")


def below(place: str, path: str) -> str:
    """Return where a file of that path lies. Raises: ArchiveDamaged: outside of the place."""
    root = resolve(place)
    if not inside(path):
        raise ArchiveDamaged(f"{path!r} leads out of {place}: refused")
    if not storage.is_s3(root):
        target = Path(root, path)
        if not target.parent.resolve().is_relative_to(Path(root).resolve()) or target.is_symlink():
            raise ArchiveDamaged(f"{target} leads out of {place} through a link: refused")
    return storage.join(root, path)


def digest(uri: str, size: int) -> str | None:
    """Return the SHA-256 of a file; of another size a text that is no digest; None: no file."""
    found = storage.size(uri)
    if found is None:
        return None
    if found != size:
        return f"{found} bytes"
    with storage.open_input(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def write(uri: str, blocks: Iterable[bytes], sha256: str, work: Path) -> None:
    """Write a file whole or not at all. Raises: ArchiveDamaged: the content is not as expected."""
    temporary, seen = work / "artifact", hashlib.sha256()
    with storage.translated_errors(str(temporary)), temporary.open("wb") as file:
        for block in blocks:
            seen.update(block)
            file.write(block)
    if seen.hexdigest() != sha256:
        raise ArchiveDamaged(f"{uri}: the archive changed while it was restored")
    storage.put_file(temporary, uri)
    temporary.unlink()
