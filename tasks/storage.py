"""The door to files: local folders and S3, the only place that imports s3fs and minio.

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
    from minio import Minio

KEYS_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden", "403", "ExpiredToken")
THROTTLED = (
    *("SlowDown", "RequestTimeout", "TooManyRequests", "Throttl", "InternalError", "ServiceUnavailable"),
    "reached max retries",  # boto3's words where it keeps nothing else
)
FAMILIES = ("boto", "aiobotocore", "aiohttp", "minio", "urllib3")
CONNECT_SECONDS = 5
READ_SECONDS = 30
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


def size(uri: str) -> int | None:
    """Returns: bytes of the file; None when there is none."""
    if not is_s3(uri):
        return Path(uri).stat().st_size if Path(uri).is_file() else None
    with explained(uri):
        try:
            return int(filesystem(uri).size(uri))
        except FileNotFoundError:
            return None


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


def need_bucket(uri: str) -> bool:
    """Makes the bucket of an s3:// address where there is none. Returns: whether it was missing."""
    bucket = bucket_and_key(uri)[0]
    with explained(uri):
        if filesystem(uri).exists(bucket):
            return False
        filesystem(uri).mkdir(bucket)
        return True


def round_trip(root: str) -> None:
    """Writes one small file below `root`, reads it back and deletes it. Raises: Mistakes, OSError."""
    uri, content = join(root, f"pre-flight-{uuid.uuid4().hex}"), b"written, read and deleted by a pre-flight check\n"
    write_bytes_atomically(uri, content)
    try:
        if read_bytes(uri) != content:
            raise OSError(f"what was written to {root} came back changed")
    finally:
        remove(uri)


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
    if not exists(f"s3://{bucket_and_key(uri)[0]}"):
        return []
    below = uri.rstrip("/") + "/"
    return [found for found, _ in list_objects(uri) if "/" not in found.removeprefix(below)]


def _minio() -> "Minio":
    """Returns: a client for what s3fs does not do: listing page by page, buckets, versions, life cycles."""
    import urllib3
    from minio import Minio

    named = endpoint() or "https://s3.amazonaws.com"
    return Minio(
        named.partition("://")[2].rstrip("/"),
        access_key=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        session_token=os.environ.get("AWS_SESSION_TOKEN"),
        secure=named.startswith("https"),
        region=os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION"),
        http_client=urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS), retries=urllib3.Retry(2, redirect=0)
        ),
    )


def bucket_and_key(uri: str) -> tuple[str, str]:
    """Returns: the two parts of an s3:// address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.rstrip("/")


def list_objects(root: str) -> Iterator[tuple[str, int]]:
    """Yields: address and size of every object below the s3:// address, in order, a page at a time."""
    bucket, key = bucket_and_key(root)
    with explained(root):
        for found in _minio().list_objects(bucket, prefix=f"{key}/" if key else "", recursive=True):
            if not found.object_name.endswith("/"):  # what consoles write to show an empty folder
                yield f"s3://{bucket}/{found.object_name}", int(found.size)


def make_bucket(uri: str, expire_days: int) -> list[str]:
    """Makes the bucket of `uri` where there is none, keeping what is overwritten or deleted for `expire_days`.

    A bucket that is there is somebody's: it stays as it is.

    Returns: in words, what could not be had.
    """
    bucket = bucket_and_key(uri)[0]
    client = _minio()
    with explained(uri):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
            return _keep_versions(client, bucket, expire_days)
        if client.get_bucket_versioning(bucket).status != "Enabled":
            return [f"bucket {bucket} keeps no versions: what is deleted there is gone at once"]
    return []


def _keep_versions(client: "Minio", bucket: str, days: int) -> list[str]:
    from minio.commonconfig import ENABLED, Filter
    from minio.error import S3Error
    from minio.lifecycleconfig import (
        AbortIncompleteMultipartUpload,
        Expiration,
        LifecycleConfig,
        NoncurrentVersionExpiration,
        Rule,
    )
    from minio.versioningconfig import VersioningConfig

    rule = Rule(
        ENABLED,
        rule_filter=Filter(prefix=""),
        rule_id="onerun",
        expiration=Expiration(expired_object_delete_marker=True),
        noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=days),
        abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=7),
    )
    refused = []
    wishes: dict[str, Callable[[], Any]] = {
        "versions": lambda: client.set_bucket_versioning(bucket, VersioningConfig(ENABLED)),
        "a life cycle": lambda: client.set_bucket_lifecycle(bucket, LifecycleConfig([rule])),
    }
    for what, do in wishes.items():
        try:
            do()
        except S3Error as error:  # a key may be allowed to write objects and no more
            refused.append(f"bucket {bucket} was made, but {what} could not be set up ({error.code})")
    return refused


def upload(local: Path, uri: str) -> None:
    """Copies a local file of any size to an s3:// address, in parts, whole or not at all."""
    bucket, key = bucket_and_key(uri)
    with explained(uri):
        _minio().fput_object(bucket, key, str(local))


def remove(uri: str) -> None:
    """Removes one file; a bucket with versions keeps it for a while."""
    with explained(uri):
        if is_s3(uri):
            _minio().remove_object(*bucket_and_key(uri))
        else:
            Path(uri).unlink(missing_ok=True)
