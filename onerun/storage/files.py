"""Files by path or s3:// address: read, write, list, remove."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from onerun.storage.access import bucket_and_key, filesystem, is_s3, minio
from onerun.storage.buckets import list_objects
from onerun.storage.errors import translated_errors, with_retry

PARTIAL = ".partial"  # the end of the name of a local file while it is written


def join(root: str, *parts: str) -> str:
    """Return the path or address of a file below `root`."""
    if is_s3(root):
        return "/".join([root.rstrip("/"), *parts])
    return str(Path(root, *parts))


def exists(uri: str) -> bool:
    """Return whether there is a file or folder at `uri`."""
    if is_s3(uri):
        return with_retry(uri, lambda: bool(filesystem(uri).exists(uri)))
    return Path(uri).exists()


def size(uri: str) -> int | None:
    """Return the size of the file in bytes, or None without a file."""
    if not is_s3(uri):
        path = Path(uri)
        return path.stat().st_size if path.is_file() else None
    with translated_errors(uri):
        try:
            return int(filesystem(uri).size(uri))
        except FileNotFoundError:
            return None


def open_input(uri: str, cache: str = "readahead") -> IO[bytes]:
    """Return the file, open for reading at any position.

    Args:
        uri: Path or address.
        cache: How s3fs reads ahead; `none` suits many positions.

    Raises:
        Mistakes: It cannot be opened.
    """
    if is_s3(uri):
        return with_retry(uri, lambda: _open_s3(uri, cache))
    return with_retry(uri, lambda: Path(uri).open("rb"))


def _open_s3(uri: str, cache: str) -> IO[bytes]:
    file: Any = filesystem(uri).open(uri, "rb", block_size=8 * 2**20, cache_type=cache)
    fetch = file.cache.fetcher
    # every read retries, whichever library reads
    file.cache.fetcher = lambda start, end: with_retry(uri, lambda: fetch(start, end))
    return file  # type: ignore[no-any-return]


def read_bytes(uri: str) -> bytes:
    """Return the whole content of the file."""
    with translated_errors(uri), open_input(uri) as file:
        return file.read()


def write_bytes_atomically(uri: str, content: bytes) -> None:
    """Write the whole file or nothing; an earlier one is replaced."""
    if is_s3(uri):
        with_retry(uri, lambda: filesystem(uri).pipe_file(uri, content))
        return
    with translated_errors(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(uri) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power failure leaves the name with nothing in it


def put_file(local: Path, uri: str) -> None:
    """Copy a local file to `uri`, whole or not at all."""
    if is_s3(uri):
        with_retry(uri, lambda: filesystem(uri).put_file(str(local), uri))
        return
    with translated_errors(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _temporary_beside(uri) as temporary:
            shutil.copyfile(local, temporary)


def round_trip(root: str) -> None:
    """Write one small file below `root`, read it, delete it and the folders made for it.

    Raises:
        Mistakes: The store refuses.
        OSError: It came back changed.
    """
    made: list[Path] = []
    if not is_s3(root):
        made = [folder for folder in (Path(root), *Path(root).parents) if not folder.exists()]
    uri = join(root, f"pre-flight-{uuid.uuid4().hex}")
    content = b"written, read and deleted by a pre-flight check\n"
    write_bytes_atomically(uri, content)
    try:
        if read_bytes(uri) != content:
            raise OSError(f"what was written to {root} came back changed")
    finally:
        remove(uri)
        with suppress(OSError):  # another process writes there already
            for folder in made:
                folder.rmdir()


@contextmanager
def _temporary_beside(uri: str) -> Iterator[Path]:
    """Yield a temporary name in the same folder: moved over `uri` at the end, removed after a
    failure.
    """
    temporary = Path(f"{uri}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield temporary
        temporary.replace(uri)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def remove(uri: str) -> None:
    """Remove one file; a bucket with versions keeps it for a while."""
    with translated_errors(uri):
        if is_s3(uri):
            minio().remove_object(*bucket_and_key(uri))
        else:
            Path(uri).unlink(missing_ok=True)


def list_files(uri: str) -> list[str]:
    """Return the addresses of the files directly below a folder or prefix, sorted; empty when it
    does not exist.
    """
    if not is_s3(uri):
        return sorted(str(path) for path in Path(uri).glob("*") if path.is_file())
    if not exists(f"s3://{bucket_and_key(uri)[0]}"):
        return []
    below = uri.rstrip("/") + "/"
    return [found for found, _ in list_objects(uri) if "/" not in found.removeprefix(below)]
