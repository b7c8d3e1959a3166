"""The door to files: local folders and S3, the only place that imports s3fs.

Endpoint and keys of S3 come from the standard variables. Wrong keys and unreachable endpoints are mistakes, told within
seconds; never a fallback to something local (P7).
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from domain.errors import TransientError
from settings.mistakes import Mistake, Mistakes

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

KEYS_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "403", "ExpiredToken")
CONNECT_SECONDS = 5
READ_SECONDS = 60


def is_s3(uri: str) -> bool:
    """Whether `uri` lies in an object store."""
    return uri.startswith("s3://")


def endpoint() -> str | None:
    """Returns: the S3 endpoint of the environment; None: Amazon's own."""
    named = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next((os.environ[name] for name in named if os.environ.get(name)), None)


def filesystem(uri: str) -> "AbstractFileSystem":
    """Returns: the file system of `uri`, local or S3; one per endpoint and keys."""
    if is_s3(uri):
        return _s3(endpoint(), *(os.environ.get(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")))
    from fsspec.implementations.local import LocalFileSystem

    return LocalFileSystem()


@cache
def _s3(endpoint_url: str | None, key: str | None, secret: str | None) -> "AbstractFileSystem":
    from s3fs import S3FileSystem

    S3FileSystem.retries = 2  # its own loop; a refused connection is answered in seconds
    return S3FileSystem(
        key=key,
        secret=secret,
        token=os.environ.get("AWS_SESSION_TOKEN"),
        endpoint_url=endpoint_url,
        skip_instance_cache=True,
        use_listings_cache=False,  # others write while we read
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"max_attempts": 2, "mode": "standard"},
        },
    )


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Within the block, what the platform says about access, space and connections becomes a sentence for a person."""
    try:
        yield
    except OSError as error:
        told = _told(uri, error)
        if told is None:
            raise
        raise told from error
    except Exception as error:  # botocore's family: naming it would import it for local files too
        if not is_s3(uri) or not type(error).__module__.startswith(("boto", "aiobotocore", "aiohttp")):
            raise
        raise _mistake(_unusable(uri, error)) from error


def _told(uri: str, error: OSError) -> Exception | None:
    if isinstance(error, FileNotFoundError):
        return _mistake(f"{uri}: {'no such bucket or object' if is_s3(uri) else 'no such file or folder'}")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return _mistake(_refused(uri, error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "requested and" in str(error):  # NumPy says how far it came
        return TransientError(f"{uri}: no space left on the device; free some and run again")
    if is_s3(uri):
        return _mistake(f"{uri}: {_first_line(error)}; look at {_where()} and the bucket's name")
    return None


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("", message)])


def _where() -> str:
    return f"the endpoint {endpoint() or 'of Amazon (MLFLOW_S3_ENDPOINT_URL is not set)'}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _refused(uri: str, error: Exception) -> str:
    if is_s3(uri):
        return (
            f"{uri}: {_where()} refuses the credentials ({_first_line(error)}); "
            "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return f"{getattr(error, 'filename', None) or uri}: no permission ({_first_line(error)})"


def _unusable(uri: str, error: Exception) -> str:
    name = type(error).__name__
    if "Credentials" in name:
        return f"{uri}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if any(code in str(error) for code in KEYS_REFUSED):
        return _refused(uri, error)
    return f"{uri}: {_where()} does not answer ({_first_line(error)}); look at MLFLOW_S3_ENDPOINT_URL"


def join(root: str, *parts: str) -> str:
    """Returns: the path or address of a file below `root`."""
    return "/".join([root.rstrip("/"), *parts]) if is_s3(root) else str(Path(root, *parts))


def exists(uri: str) -> bool:
    """Whether there is a file or folder."""
    if not is_s3(uri):
        return Path(uri).exists()
    with explained(uri):
        return bool(filesystem(uri).exists(uri))


def open_input(uri: str, cache: str = "readahead") -> IO[bytes]:
    """Returns: the file, open for reading at any position. `cache`: how s3fs reads ahead, `none` for many places.

    Raises: Mistakes when it cannot be opened.
    """
    with explained(uri):
        if is_s3(uri):
            opened: Any = filesystem(uri).open(uri, "rb", block_size=8 * 2**20, cache_type=cache)
            return opened  # type: ignore[no-any-return]
        return Path(uri).open("rb")


def read_bytes(uri: str) -> bytes:
    """Returns: the whole content."""
    with explained(uri), open_input(uri) as file:
        return file.read()


def write_bytes_atomically(uri: str, content: bytes) -> None:
    """The file is there whole or not at all; an earlier one is replaced."""
    with explained(uri):
        if is_s3(uri):
            filesystem(uri).pipe_file(uri, content)
            return
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _beside(uri) as temporary:
            temporary.write_bytes(content)


def put_file(local: Path, uri: str) -> None:
    """Copies a local file to `uri`, whole or not at all."""
    with explained(uri):
        if is_s3(uri):
            filesystem(uri).put_file(str(local), uri)
            return
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _beside(uri) as temporary:
            shutil.copyfile(local, temporary)


@contextmanager
def _beside(uri: str) -> Iterator[Path]:
    """A temporary name in the same folder, moved over `uri` at the end, gone after a failure."""
    temporary = Path(f"{uri}.{uuid.uuid4().hex}.partial")
    try:
        yield temporary
        temporary.replace(uri)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def walk(uri: str) -> Iterator[tuple[str, int, int | None]]:
    """Yields: path below `uri`, bytes and last change (milliseconds since 1970) of every object. For object stores."""
    with explained(uri):
        files = filesystem(uri)
        root = uri.removeprefix("s3://").rstrip("/") + "/"
        for path, about in files.find(root, detail=True).items():
            changed = about.get("LastModified")
            yield path.removeprefix(root), int(about["size"] or 0), changed and int(changed.timestamp() * 1000)


def remove_tree(uri: str) -> None:
    """Removes every object below `uri`; nothing to remove is no mistake. For object stores."""
    with explained(uri):
        found = filesystem(uri).find(uri.rstrip("/") + "/")
        if found:
            filesystem(uri).rm(found)


def listed(uri: str) -> list[str]:
    """Returns: the addresses of the files directly below a folder or prefix, sorted; none when it does not exist."""
    if not is_s3(uri):
        return sorted(str(path) for path in Path(uri).glob("*") if path.is_file())
    with explained(uri):
        found = filesystem(uri).find(uri.rstrip("/") + "/", maxdepth=1)
        return sorted(f"s3://{path}" for path in found)


def remove_file(uri: str) -> None:
    """Removes a file; one that is gone already is no mistake."""
    with explained(uri), suppress(FileNotFoundError):
        if is_s3(uri):
            filesystem(uri).rm_file(uri)
        else:
            Path(uri).unlink()
