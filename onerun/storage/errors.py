"""Errors of a file system or S3 as messages for a person, and retries while S3 does not answer."""

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
    "reached max retries",  # boto3's message where it keeps nothing else
)
FAMILIES = ("boto", "aiobotocore", "aiohttp", "minio", "urllib3")
NOT_UNAVAILABLE = (
    "Credential",
    "ParamValidation",
    "InvalidEndpoint",
    "NoRegion",
    "Profile",
    "SSL",
    "Certificate",
    "Config",
)

Result = TypeVar("Result")


@contextmanager
def translated_errors(uri: str) -> Iterator[None]:
    """Translate errors of access, space and connection within the block into a message for a
    person.
    """
    try:
        yield
    except OSError as error:
        translated = _translate(uri, error)
        if translated is None:
            raise
        raise translated from error
    except Exception as error:  # botocore's family: naming it would import it for local files too
        if not is_s3(uri) or not type(error).__module__.startswith(FAMILIES):
            raise
        raise _mistake(_unusable_message(uri, error)) from error


def with_retry(uri: str, call: Callable[[], Result]) -> Result:
    """Return the result of the repeatable `call`, retried while S3 does not answer; errors are
    translated.

    Raises:
        StoreUnreachable: The retry budget is spent.
    """
    with translated_errors(uri):
        if is_s3(uri):
            return call_with_retry(call, unavailable, _service())
        return call()


def unavailable(error: Exception) -> Unavailable | None:
    """Return S3 as the unavailable service; None for an error that waiting cannot help."""
    cause = error.__cause__
    if cause is None and type(error).__module__.startswith("boto3"):
        cause = error.__context__
    for each in (error, cause):
        if isinstance(each, TimeoutError) or (each is not None and _shows_outage(each)):
            return Unavailable(_service(), _first_line(error))
    return None


def _shows_outage(error: BaseException) -> bool:
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
        return any(code in str(error) for code in THROTTLED)
    return not any(part in type(error).__name__ for part in NOT_UNAVAILABLE)


def _service() -> str:
    return f"S3 at {redact(endpoint() or 'Amazon')}"


def _translate(uri: str, error: OSError) -> Exception | None:
    if isinstance(error, FileNotFoundError):
        missing = "no such bucket or object" if is_s3(uri) else "no such file or folder"
        return _mistake(f"{uri}: {missing}")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return _mistake(_refused_message(uri, error))
    is_numpys = "requested and" in str(error)  # NumPy reports how many bytes it wrote
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or is_numpys:
        return TransientError(f"{uri}: no space left on the device; free some and run again")
    if is_s3(uri):
        return _mistake(f"{uri}: {_first_line(error)}; look at {_where()} and the bucket's name")
    return None


def _mistake(message: str) -> Mistakes:
    return Mistakes([Mistake("", message)])


def _where() -> str:
    named = endpoint() or "of Amazon (MLFLOW_S3_ENDPOINT_URL is not set)"
    return f"the endpoint {named}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _refused_message(uri: str, error: Exception) -> str:
    if is_s3(uri):
        return (
            f"{uri}: {_where()} refuses the credentials ({_first_line(error)}); "
            "look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return f"{getattr(error, 'filename', None) or uri}: no permission ({_first_line(error)})"


def _unusable_message(uri: str, error: Exception) -> str:
    name = type(error).__name__
    if "Credentials" in name:
        return f"{uri}: no S3 credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if any(code in str(error) for code in KEYS_REFUSED):
        return _refused_message(uri, error)
    return (
        f"{uri}: {_where()} does not answer ({_first_line(error)}); look at MLFLOW_S3_ENDPOINT_URL"
    )
