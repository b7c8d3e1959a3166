"""Where artifacts lie: local folders and S3, listed, read, written and compared; never outside the place itself."""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from onerun import storage
from onerun.archive.record_io import proxy
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.archives import inside
from onerun.domain.errors import ArchiveDamaged

PROXIED = "mlflow-artifacts:"
DESTINATION = "MLFLOW_ARTIFACTS_DESTINATION"  # as `mlflow server` calls it: where its proxy keeps what it is given
LEFT_OUT = "a link that leads elsewhere, or no file: left out"


@dataclass(frozen=True)
class Artifact:
    """One file of a place: its path there, its size, how to open it. `note` instead where it cannot be taken."""

    path: str
    size: int
    open: Callable[[], IO[bytes]]
    note: str = ""


def resolve(place: str) -> str:
    """Returns: a local path or an s3:// address. Raises: Mistakes for a place that is neither."""
    if place.startswith(PROXIED):
        destination = os.environ.get(DESTINATION)
        if not destination:
            raise Mistakes(
                [Mistake(DESTINATION, f"is not set: where does the server keep {place}?")]
            )
        return storage.join(
            resolve(destination), *[part for part in urlsplit(place).path.split("/") if part]
        )
    if storage.is_s3(place):
        return place.rstrip("/")
    if place.startswith("file:"):
        return unquote(urlsplit(place).path)
    if "://" in place or place.startswith("dbfs:"):
        raise Mistakes(
            [
                Mistake(
                    "",
                    f"{place}: artifacts can be archived from local folders, S3 and MLflow's proxy",
                )
            ]
        )
    return str(Path(place).absolute())


def files(place: str, server: str = "") -> Iterator[Artifact]:
    """Yields: every file of the place, in order; nothing where there is no such place (any more).

    Args: server: the MLflow server to ask for what lies behind its proxy.
    """
    if place.startswith(PROXIED) and not os.environ.get(DESTINATION) and server.startswith("http"):
        for path, size in proxy.listed(place, server):
            yield Artifact(path, size, lambda path=path: proxy.opened(place, path, server))  # type: ignore[misc]
        return
    resolved = resolve(place)
    yield from _far(resolved) if storage.is_s3(resolved) else _near(Path(resolved))


def _near(root: Path) -> Iterator[Artifact]:
    for folder, names, found in os.walk(root, onerror=_raise):
        names.sort()
        for name in sorted([*found, *(each for each in names if Path(folder, each).is_symlink())]):
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
                yield Artifact(relative, 0, _nothing, f"{path}: {LEFT_OUT}")
            else:
                yield Artifact(relative, path.stat().st_size, lambda path=path: path.open("rb"))  # type: ignore[misc]


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _nothing() -> IO[bytes]:
    raise AssertionError("a link is not opened")


def _far(root: str) -> Iterator[Artifact]:
    for uri, size in storage.list_objects(root):
        yield Artifact(uri.removeprefix(root + "/"), size, lambda uri=uri: storage.open_input(uri))  # type: ignore[misc]


def below(place: str, path: str) -> str:
    """Returns: where a file of that path lies. Raises: ArchiveDamaged when that is outside of the place."""
    resolved = resolve(place)
    if not inside(path):
        raise ArchiveDamaged(f"{path!r} leads out of {place}: refused")
    if not storage.is_s3(resolved):
        root, target = Path(resolved), Path(resolved, path)
        if not target.parent.resolve().is_relative_to(root.resolve()) or target.is_symlink():
            raise ArchiveDamaged(f"{target} leads out of {place} through a link: refused")
    return storage.join(resolved, path)


def digest(uri: str, size: int) -> str | None:
    """Returns: the SHA-256 of the file; None when there is none; another size gives a text that is no digest."""
    found = storage.size(uri)
    if found is None:
        return None
    if found != size:
        return f"{found} bytes"
    with storage.open_input(uri) as file:
        seen = hashlib.sha256()
        while block := file.read(2**20):
            seen.update(block)
        return seen.hexdigest()


def write(uri: str, blocks: Iterable[bytes], sha256: str, work: Path) -> None:
    """Writes a file whole or not at all. Raises: ArchiveDamaged when the content is not what it should be."""
    temporary, seen = work / "artifact", hashlib.sha256()
    with storage.translated_errors(str(temporary)), temporary.open("wb") as file:
        for block in blocks:
            seen.update(block)
            file.write(block)
    if seen.hexdigest() != sha256:
        raise ArchiveDamaged(f"{uri}: the archive changed while it was restored")
    storage.put_file(temporary, uri)
    temporary.unlink()
