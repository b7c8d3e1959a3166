"""Files by path or s3:// address, read and written alike."""

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
    """Returns: the path or address of a file below `root`."""
    return "/".join([root.rstrip("/"), *parts]) if is_s3(root) else str(Path(root, *parts))


def exists(uri: str) -> bool:
    """Whether there is a file or folder."""
    return (
        with_retry(uri, lambda: bool(filesystem(uri).exists(uri)))
        if is_s3(uri)
        else Path(uri).exists()
    )


def size(uri: str) -> int | None:
    """Returns: bytes of the file; None when there is none."""
    if not is_s3(uri):
        return Path(uri).stat().st_size if Path(uri).is_file() else None
    with translated_errors(uri):
        try:
            return int(filesystem(uri).size(uri))
        except FileNotFoundError:
            return None


def open_input(uri: str, cache: str = "readahead") -> IO[bytes]:
    """Returns: the file, open for reading at any position. `cache`: how s3fs reads ahead, `none` for many places.

    Raises: Mistakes when it cannot be opened.
    """
    return with_retry(uri, lambda: _opened_s3(uri, cache) if is_s3(uri) else Path(uri).open("rb"))


def _opened_s3(uri: str, cache: str) -> IO[bytes]:
    opened: Any = filesystem(uri).open(uri, "rb", block_size=8 * 2**20, cache_type=cache)
    fetch = opened.cache.fetcher
    opened.cache.fetcher = lambda start, end: with_retry(
        uri, lambda: fetch(start, end)
    )  # whoever reads it, waits
    return opened  # type: ignore[no-any-return]


def read_bytes(uri: str) -> bytes:
    """Returns: the whole content."""
    with translated_errors(uri), open_input(uri) as file:
        return file.read()


def write_bytes_atomically(uri: str, content: bytes) -> None:
    """The file is there whole or not at all; an earlier one is replaced."""
    if is_s3(uri):
        with_retry(uri, lambda: filesystem(uri).pipe_file(uri, content))
        return
    with translated_errors(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _beside(uri) as temporary, temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power failure leaves the name with nothing in it


def put_file(local: Path, uri: str) -> None:
    """Copies a local file to `uri`, whole or not at all."""
    if is_s3(uri):
        with_retry(uri, lambda: filesystem(uri).put_file(str(local), uri))
        return
    with translated_errors(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _beside(uri) as temporary:
            shutil.copyfile(local, temporary)


def round_trip(root: str) -> None:
    """Writes one small file below `root`, reads it, deletes it and folders made for it. Raises: Mistakes, OSError."""
    made = (
        []
        if is_s3(root)
        else [folder for folder in (Path(root), *Path(root).parents) if not folder.exists()]
    )
    uri, content = (
        join(root, f"pre-flight-{uuid.uuid4().hex}"),
        b"written, read and deleted by a pre-flight check\n",
    )
    write_bytes_atomically(uri, content)
    try:
        if read_bytes(uri) != content:
            raise OSError(f"what was written to {root} came back changed")
    finally:
        remove(uri)
        with suppress(OSError):  # somebody writes there already
            for folder in made:
                folder.rmdir()


@contextmanager
def _beside(uri: str) -> Iterator[Path]:
    """A temporary name in the same folder, moved over `uri` at the end, gone after a failure."""
    temporary = Path(f"{uri}.{uuid.uuid4().hex}{PARTIAL}")
    try:
        yield temporary
        temporary.replace(uri)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def remove(uri: str) -> None:
    """Removes one file; a bucket with versions keeps it for a while."""
    with translated_errors(uri):
        if is_s3(uri):
            minio().remove_object(*bucket_and_key(uri))
        else:
            Path(uri).unlink(missing_ok=True)


def list_files(uri: str) -> list[str]:
    """Returns: the addresses of the files directly below a folder or prefix, sorted; none when it does not exist."""
    if not is_s3(uri):
        return sorted(str(path) for path in Path(uri).glob("*") if path.is_file())
    if not exists(f"s3://{bucket_and_key(uri)[0]}"):
        return []
    below = uri.rstrip("/") + "/"
    return [found for found, _ in list_objects(uri) if "/" not in found.removeprefix(below)]
