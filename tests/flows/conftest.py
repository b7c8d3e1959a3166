"""One Prefect server for all tests that need an engine."""

from collections.abc import Iterator

import pytest

from flows import temporary_server


@pytest.fixture(scope="session")
def prefect_server(environment: object) -> Iterator[str]:
    """Returns: the API's URL of a real Prefect server with an empty database."""
    server = temporary_server.start()
    server.wait(print)
    yield server.api_url
    server.stop()


@pytest.fixture
def prefect_api(prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server, set as Prefect's API for this test."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        yield prefect_server
