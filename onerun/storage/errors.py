"""What a platform says about access, space and connections, in words for a person; and waiting while S3 is silent."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.errors import TransientError
from onerun.retry import Unavailable, call_with_retry
from onerun.storage.access import endpoint, is_s3

KEYS_REFUSED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "Forbidden",
    "403",
    "ExpiredToken",
)
THROTTLED = (
    *(
        "SlowDown",
        "RequestTimeout",
        "TooManyRequests",
        "Throttl",
        "InternalError",
        "ServiceUnavailable",
    ),
    "reached max retries",  # boto3's words where it keeps nothing else
)
FAMILIES = ("boto", "aiobotocore", "aiohttp", "minio", "urllib3")
NOT_SILENT = (
    "Credential",
    "ParamValidation",
    "InvalidEndpoint",
    "NoRegion",
    "Profile",
    "SSL",
    "Certificate",
    "Config",
)

Answer = TypeVar("Answer")


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
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


def with_retry(uri: str, call: Callable[[], Answer]) -> Answer:
    """Returns: what the repeatable `call` returns, waiting for S3 while it is silent; explained as within `explained`.

    Raises: StoreUnreachable when the retry budget is spent.
    """
    with translated_errors(uri):
        return call_with_retry(call, unavailable, _store()) if is_s3(uri) else call()


def unavailable(error: Exception) -> Unavailable | None:
    """Returns: that S3 is silent; None for an error that waiting cannot help."""
    told = (
        error.__cause__ or error.__context__
        if type(error).__module__.startswith("boto3")
        else error.__cause__
    )
    for each in (error, told):
        if isinstance(each, TimeoutError) or (each is not None and _is_silence(each)):
            return Unavailable(_store(), _first_line(error))
    return None


def _is_silence(error: BaseException) -> bool:
    if not type(error).__module__.startswith(FAMILIES):
        return False
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore's ClientError: S3 answered, with an error
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return (
            status >= 500
            or status == 429
            or str(answer.get("Error", {}).get("Code")).startswith(THROTTLED)
        )
    if type(error).__name__ == "S3UploadFailedError":
        return any(word in str(error) for word in THROTTLED)
    return not any(word in type(error).__name__ for word in NOT_SILENT)


def _store() -> str:
    return f"S3 at {redact(endpoint() or 'Amazon')}"


def _told(uri: str, error: OSError) -> Exception | None:
    if isinstance(error, FileNotFoundError):
        return _mistake(
            f"{uri}: {'no such bucket or object' if is_s3(uri) else 'no such file or folder'}"
        )
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return _mistake(_refused(uri, error))
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or "requested and" in str(
        error
    ):  # NumPy says how far it came
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
    return (
        f"{uri}: {_where()} does not answer ({_first_line(error)}); look at MLFLOW_S3_ENDPOINT_URL"
    )
