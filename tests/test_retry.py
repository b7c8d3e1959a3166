"""What counts as an unavailable store, how long it is waited for, and the message afterwards."""

import logging
import os
from collections.abc import Iterator

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
    UNAUTHENTICATED,
    ErrorCode,
)
from sqlalchemy.exc import OperationalError

from onerun import retry
from onerun.config.budget import of_our_processes, of_programs
from onerun.config.mistakes import Mistakes
from onerun.domain.errors import StoreUnreachable, TransientError
from onerun.retry import Unavailable, call_with_retry, deadline
from onerun.tracking.retrying_client import unavailable
from onerun.training import attach
from settings.profile import PrefectProfile

SERVER = "http://me:hunter2-not-to-be-seen@127.0.0.1:1"
REFUSED = MlflowException(
    f"API request to {SERVER}/api/2.0/mlflow/runs/get failed with exception Connection refused"
)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "1s")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    retry.reset()
    yield
    retry.reset()


def http(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} of the artifacts", response=response)


def rest_error(code: int, message: str = "of the server") -> RestException:
    return RestException({"error_code": ErrorCode.Name(code), "message": message})


@pytest.mark.parametrize(
    ("error", "is_unavailable"),
    [
        (REFUSED, True),
        (rest_error(INTERNAL_ERROR), True),
        (rest_error(TEMPORARILY_UNAVAILABLE), True),
        (rest_error(RESOURCE_DOES_NOT_EXIST), False),
        (
            MlflowException(
                "API request to endpoint /x failed with error code 502 != 200. Response body: ''"
            ),
            True,
        ),
        (
            MlflowException(
                "API request to endpoint /x failed with error code 413 != 200. Response body: ''"
            ),
            False,
        ),
        (
            MlflowException(
                "API request to endpoint was successful but the response body was not JSON"
            ),
            True,
        ),
        (MlflowException("a check of MLflow's own, on this side"), False),
        (http(503), True),
        (http(404), False),
        (requests.exceptions.ChunkedEncodingError("cut"), True),
        (
            MlflowException(
                "The following failures occurred while downloading: Connection aborted"
            ),
            True,
        ),
        (
            MlflowException("The following failures occurred while downloading: 404 Not Found"),
            False,
        ),
        (KeyError("x"), False),
    ],
)
def test_what_counts_as_unavailable(error: Exception, is_unavailable: bool) -> None:
    assert (unavailable(error) is not None) == is_unavailable


@pytest.mark.parametrize("error", [rest_error(UNAUTHENTICATED), http(401), http(403)])
def test_refused_credentials_are_a_mistake(error: Exception) -> None:
    with pytest.raises(Mistakes, match="MLFLOW_TRACKING_PASSWORD") as raised:
        unavailable(error)
    assert "hunter2" not in str(raised.value)


def database(message: str) -> MlflowException:
    """Returns: what MLflow makes of an error of its database."""
    error = MlflowException(message, error_code=TEMPORARILY_UNAVAILABLE)
    error.__cause__ = OperationalError("SELECT 1", {}, Exception(message))
    return error


def test_a_database_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert unavailable(database("database is locked"))
    assert not unavailable(database("no such table: runs"))
    with pytest.raises(TransientError, match="no space left on the disk of MLflow at sqlite"):
        unavailable(database("database or disk is full"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me@db/mlflow")
    assert unavailable(database("server closed the connection unexpectedly"))
    assert not unavailable(database('password authentication failed for user "me"'))


class Store:
    """A store that does not answer the first calls."""

    def __init__(self, failures: int) -> None:
        self.failures, self.calls = failures, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise REFUSED
        return "answer"


def test_a_short_outage_is_waited_for_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    store = Store(2)
    with caplog.at_level(logging.WARNING, "onerun"):
        assert call_with_retry(store, unavailable) == "answer"
    assert store.calls == 3
    assert "waiting up to 1 s" in caplog.text
    assert "answers again" in caplog.text


def test_p7_a_long_outage_ends_with_what_was_tried_and_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store(1000)
    with pytest.raises(StoreUnreachable) as raised:
        call_with_retry(store, unavailable)
    message = str(raised.value)
    assert (
        f"(tried {store.calls} times; the retry budget is 1 s, ONERUN_RETRY_BUDGET sets it)"
        in message
    )
    assert store.calls > 1
    assert raised.value.retryable
    assert "Connection refused" in message
    assert "hunter2" not in f"{message} {raised.value.__cause__} {caplog.text}"


def test_one_outage_costs_the_budget_once() -> None:
    first, second = Store(1000), Store(1000)
    for store in (first, second):
        with pytest.raises(StoreUnreachable):
            call_with_retry(store, unavailable)
    assert first.calls > 2
    assert second.calls == 1
    retry.reset()
    assert call_with_retry(Store(1), unavailable) == "answer"


def test_a_call_that_does_not_wait_is_tried_once_and_starts_no_clock() -> None:
    store = Store(1)
    with deadline(0), pytest.raises(StoreUnreachable):
        call_with_retry(store, unavailable)
    assert store.calls == 1
    assert not retry._unavailable_since


def test_other_errors_pass_as_they_are() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        call_with_retry(fail, lambda error: None)
    with pytest.raises(StoreUnreachable, match="a service has not answered"):
        call_with_retry(fail, lambda error: Unavailable("a service", "nothing"))


def test_the_budget_in_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "10m")
    profile = PrefectProfile()
    assert profile.retry_budget == 600
    assert profile.variables()["ONERUN_RETRY_BUDGET"] == "600s"
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")  # what the user sets stays
    for set_by_others in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "PREFECT_CLIENT_MAX_RETRIES"):
        monkeypatch.delenv(set_by_others, raising=False)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    profile.apply()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert int(os.environ["PREFECT_CLIENT_MAX_RETRIES"]) == 9  # 2 + 4 + ... + 512 seconds
    assert PrefectProfile().retry_budget == 600


def test_a_program_of_the_users_waits_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONERUN_RETRY_BUDGET", "3m")
    for name, value in of_our_processes(180).items():
        monkeypatch.setenv(name, value)
    theirs = attach.environment("r", "e", {})
    assert {name: theirs[name] for name in of_programs(180)} == of_programs(180)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "99")
    assert attach.environment("r", "e", {})["AWS_MAX_ATTEMPTS"] == "99"


def test_a_mistake_in_the_settings_of_s3_is_not_an_outage() -> None:
    from botocore.exceptions import EndpointConnectionError, InvalidConfigError

    from onerun.storage import unavailable

    assert unavailable(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"))
    assert unavailable(InvalidConfigError(error_msg="Invalid CA bundle")) is None
