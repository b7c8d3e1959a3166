"""The door to files: local folders and S3, the only place that imports s3fs.

Endpoint and keys of S3 come from the standard variables. Wrong keys are a mistake, told within seconds, and never a
fallback to something local (P7). An S3 that is silent is waited for.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from domain.errors import TransientError
from settings.addresses import redact
from settings.mistakes import Mistake, Mistakes
from tasks.patience import Silence, patiently

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

KEYS_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "403", "ExpiredToken")
THROTTLED = (
    *("SlowDown", "RequestTimeout", "TooManyRequests", "Throttl", "InternalError", "ServiceUnavailable"),
    "reached max retries",  # boto3's words where it keeps nothing else
)
CONNECT_SECONDS = 5
READ_SECONDS = 30
FAMILIES = ("boto", "aiobotocore", "aiohttp")
NOT_SILENT = ("Credential", "ParamValidation", "InvalidEndpoint", "NoRegion", "Profile", "SSL", "Certificate")

Answer = TypeVar("Answer")


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

    S3FileSystem.retries = 1  # its own loop counts tries; ours counts seconds
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
            "retries": {"total_max_attempts": 2, "mode": "standard"},
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
        if not is_s3(uri) or not type(error).__module__.startswith(FAMILIES):
            raise
        raise _mistake(_unusable(uri, error)) from error


def answered(uri: str, call: Callable[[], Answer]) -> Answer:
    """Returns: what the repeatable `call` returns, waiting for S3 while it is silent; explained as within `explained`.

    Raises: StoreUnreachable when the retry budget is spent.
    """
    with explained(uri):
        return patiently(call, silence, _store()) if is_s3(uri) else call()


def silence(error: Exception) -> Silence | None:
    """Returns: that S3 is silent; None for an error that waiting cannot help."""
    told = error.__cause__ or error.__context__ if type(error).__module__.startswith("boto3") else error.__cause__
    for each in (error, told):
        if isinstance(each, TimeoutError) or (each is not None and _is_silence(each)):
            return Silence(_store(), _first_line(error))
    return None


def _is_silence(error: BaseException) -> bool:
    if not type(error).__module__.startswith(FAMILIES):
        return False
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore's ClientError: S3 answered, with an error
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or str(answer.get("Error", {}).get("Code")).startswith(THROTTLED)
    if type(error).__name__ == "S3UploadFailedError":
        return any(word in str(error) for word in THROTTLED)
    return not any(word in type(error).__name__ for word in NOT_SILENT)


def _store() -> str:
    return f"S3 at {redact(endpoint() or 'Amazon')}"


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
    return answered(uri, lambda: bool(filesystem(uri).exists(uri))) if is_s3(uri) else Path(uri).exists()


def open_input(uri: str, cache: str = "readahead") -> IO[bytes]:
    """Returns: the file, open for reading at any position. `cache`: how s3fs reads ahead, `none` for many places.

    Raises: Mistakes when it cannot be opened.
    """
    return answered(uri, lambda: _opened_s3(uri, cache) if is_s3(uri) else Path(uri).open("rb"))


def _opened_s3(uri: str, cache: str) -> IO[bytes]:
    opened: Any = filesystem(uri).open(uri, "rb", block_size=8 * 2**20, cache_type=cache)
    fetch = opened.cache.fetcher
    opened.cache.fetcher = lambda start, end: answered(uri, lambda: fetch(start, end))  # whoever reads it, waits
    return opened  # type: ignore[no-any-return]


def read_bytes(uri: str) -> bytes:
    """Returns: the whole content."""
    with explained(uri), open_input(uri) as file:
        return file.read()


def write_bytes_atomically(uri: str, content: bytes) -> None:
    """The file is there whole or not at all; an earlier one is replaced."""
    if is_s3(uri):
        answered(uri, lambda: filesystem(uri).pipe_file(uri, content))
        return
    with explained(uri):
        Path(uri).parent.mkdir(parents=True, exist_ok=True)
        with _beside(uri) as temporary:
            temporary.write_bytes(content)


def put_file(local: Path, uri: str) -> None:
    """Copies a local file to `uri`, whole or not at all."""
    if is_s3(uri):
        answered(uri, lambda: filesystem(uri).put_file(str(local), uri))
        return
    with explained(uri):
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
