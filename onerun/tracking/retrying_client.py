"""MLflow's client with retries: which errors mean that the store does not answer now, and which waiting cannot help.

A call is repeated only where a repeated one changes nothing. What makes something new (`MAKES`) is tried once; the caller
looks first, within `call`, whether an earlier try whose answer was lost has made it.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from onerun import storage
from onerun.config.addresses import redact, redacted
from onerun.config.mistakes import Mistake, Mistakes
from onerun.domain.errors import TransientError
from onerun.retry import Unavailable, call_with_retry
from onerun.storage.errors import KEYS_REFUSED

if TYPE_CHECKING:
    from mlflow import MlflowClient

Answer = TypeVar("Answer")
MAKES = ("create_run", "create_logged_model", "create_model_version", "log_outputs")
OF_ARTIFACTS = re.compile("artifact|log_text|download")
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
UNAVAILABLE = (
    *("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED"),
    *("RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED"),
)
FULL = "database or disk is full"  # SQLite's words
BUSY = ("locked", "busy")  # SQLite's words for a database that another process writes to
WRONG_DATABASE = (
    "authentication failed",
    "Access denied",
    "does not exist",
    "no password supplied",
)
DOWNLOADS = "The following failures occurred while downloading"  # MLflow keeps only the messages of what went wrong
ABSENT = ("No such file", "NoSuchKey", "NoSuchBucket", "404", "No space left")


class RetryingClient:
    """An MlflowClient whose every call waits for a store that does not answer."""

    def __init__(self, make: "Callable[[], MlflowClient]") -> None:
        """`make`: called for each try, since opening a database is a part of asking it."""
        self._make = make

    def __getattr__(self, name: str) -> Any:
        from mlflow import MlflowClient

        if name in MAKES or not callable(getattr(MlflowClient, name, None)):
            return getattr(self._make(), name)

        def waited(*arguments: Any, **named: Any) -> Any:
            tries = count()
            who = None if OF_ARTIFACTS.search(name) else store()
            return call(lambda: self._once(name, next(tries), arguments, named), who)

        return waited

    def _once(
        self, name: str, before: int, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        """`before`: how many tries were made before this one; one of them may have deleted what is to be deleted."""
        from mlflow.exceptions import MlflowException

        try:
            return getattr(self._make(), name)(*arguments, **named)
        except MlflowException as error:
            if (
                before
                and name.startswith("delete_")
                and error.error_code == "RESOURCE_DOES_NOT_EXIST"
            ):
                return None
            raise


def retrying(make: "Callable[[], MlflowClient]") -> "MlflowClient":
    """Return a client whose every call waits for a store that does not answer."""
    return cast("MlflowClient", RetryingClient(make))


def call(function: Callable[[], Answer], who: str | None = None) -> Answer:
    """Call until MLflow answers. Raises: StoreUnreachable; Mistakes when the credentials are refused."""
    return call_with_retry(function, unavailable, who)


def store() -> str:
    """Return what MLflow's store is called in a sentence."""
    return f"MLflow at {redact(os.environ['MLFLOW_TRACKING_URI'])}"


def unavailable(error: Exception) -> Unavailable | None:
    """Return what does not answer; None for every other error. Raises: Mistakes when the credentials are refused."""
    for each in _chain(error):
        family = type(each).__module__.partition(".")[0]
        if family in CLASSIFIERS:
            found = CLASSIFIERS[family](each)
            if found is not None:
                return found
    return None


def _chain(error: BaseException) -> Iterator[Any]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = (
            found.__cause__
        )  # not its context: that may be an error which is being dealt with around this call


def _of_mlflow(error: Any) -> Unavailable | None:
    message, code = str(error), getattr(error, "error_code", "")
    status = re.match(r"API request to endpoint .*? failed with error code (\d+)", message)
    if code in REFUSED or (
        message.startswith(DOWNLOADS) and any(part in message for part in KEYS_REFUSED)
    ):
        raise _refused(message) from None
    if message.startswith(DOWNLOADS):
        return (
            None
            if code != "INTERNAL_ERROR" or any(part in message for part in ABSENT)
            else _unavailable(message)
        )
    is_answer = type(error).__name__ == "RestException" or message.startswith("API request to")
    if status and int(status[1]) < 500 and int(status[1]) not in (408, 429):
        return None
    return _unavailable(message) if is_answer and code in UNAVAILABLE else None


def _of_requests(error: Any) -> Unavailable | None:
    answer = getattr(error, "response", None)
    if answer is None:
        return _unavailable(str(error) or type(error).__name__)
    if answer.status_code in (401, 403):
        raise _refused(str(error)) from None
    return (
        _unavailable(str(error))
        if answer.status_code >= 500 or answer.status_code in (408, 429)
        else None
    )


def _of_database(error: Any) -> Unavailable | None:
    message = str(getattr(error, "orig", error))
    if FULL in message:
        raise TransientError(
            f"no space left on the disk of {store()}; free some and run again"
        ) from None
    if os.environ["MLFLOW_TRACKING_URI"].startswith("sqlite"):
        return _unavailable(message) if any(part in message for part in BUSY) else None
    lost = (
        getattr(error, "connection_invalidated", False)
        or type(error).__name__ == "OperationalError"
    )
    return (
        _unavailable(message)
        if lost and not any(part in message for part in WRONG_DATABASE)
        else None
    )


def _of_object_store(error: Any) -> Unavailable | None:
    return storage.unavailable(error)


CLASSIFIERS: dict[str, Callable[[Any], Unavailable | None]] = {
    "mlflow": _of_mlflow,
    "requests": _of_requests,
    "sqlalchemy": _of_database,
    "boto3": _of_object_store,
    "botocore": _of_object_store,
}


def _unavailable(message: str) -> Unavailable:
    return Unavailable(
        store(), message.rpartition("Caused by ")[2]
    )  # what stands before is how urllib3 came to it


def _refused(message: str) -> Mistakes:
    advice = (
        "look at MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )
    shown = redacted(" ".join(message.split()))[:300]
    return Mistakes([Mistake("", f"{store()} refuses the credentials ({shown}); {advice}")])
