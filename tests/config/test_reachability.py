"""Servers that are not there, refuse, or say nothing: told within seconds, against real sockets on this machine."""

import base64
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from onerun.config import reachability
from onerun.config.profile import check_profile
from onerun.config.reachability import TIMEOUT, unguarded
from settings.profile import PrefectProfile


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def server(status: int = 200, body: str = "{}", credentials: str = "") -> Iterator[str]:
    """A server that answers `status`, and 401 to anybody without the credentials."""
    expected = f"Basic {base64.b64encode(credentials.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = not credentials or self.headers.get("Authorization") == expected
            self.send_response(status if allowed else 401)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(
        target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def nobody() -> str:
    """Returns: an address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def problems(**fields: Any) -> list[str]:
    return [str(mistake) for mistake in check_profile(PrefectProfile(**fields))]


def test_the_default_profile_has_no_problem_and_nothing_is_written(tmp_path: Path) -> None:
    assert problems() == []
    assert list(tmp_path.iterdir()) == []


def test_all_that_nobody_answers_at_once(nobody: str) -> None:
    said = problems(tracking_uri=nobody, prefect_api_url=f"{nobody}/api", s3_endpoint_url=nobody)
    assert len(said) == 3
    assert all("refused" in line for line in said)
    assert "start `mlflow server` there, or unset it" in said[0]
    assert said[0].startswith("MLFLOW_TRACKING_URI: http://127.0.0.1:")


def test_servers_that_answer() -> None:
    with server() as url:
        assert (
            problems(
                tracking_uri=url,
                prefect_api_url=f"{url}/api",
                s3_endpoint_url=url,
                store="s3://b/p",
            )
            == []
        )


@pytest.mark.parametrize("status", [401, 403])
def test_wrong_credentials_say_which_variables(status: int) -> None:
    with server(status) as url:
        said = problems(tracking_uri=url, prefect_api_url=f"{url}/api")
    assert f"refuses the credentials ({status}); set MLFLOW_TRACKING_USERNAME" in said[0]
    assert f"refuses the credentials ({status}); set PREFECT_API_AUTH_STRING" in said[1]


def test_right_credentials_from_fields_or_address() -> None:
    with server(credentials="me:pa ss") as url:
        assert problems(tracking_uri=url, tracking_username="me", tracking_password="pa ss") == []
        assert problems(tracking_uri=url.replace("//", "//me:pa%20ss@")) == []
        assert problems(prefect_api_url=f"{url}/api", prefect_api_auth_string="me:pa ss") == []


def test_a_server_that_asks_nobody_for_the_password_that_is_set() -> None:
    with server() as opened, server(credentials="me:secret-word") as guarded:
        credentials = {"tracking_username": "me", "tracking_password": "secret-word"}
        for url in (opened, opened.replace("//", "//me:secret-word@")):
            profile = PrefectProfile(tracking_uri=url, prefect_api_url=f"{url}/api", **credentials)  # type: ignore[arg-type]
            (said,) = map(str, unguarded(profile))
            assert (
                said.startswith("MLFLOW_TRACKING_PASSWORD: is set, but")
                and "answers without it" in said
            )
            assert "secret-word" not in said
        found = unguarded(
            PrefectProfile(
                prefect_api_url=f"{opened}/api", prefect_api_auth_string=SecretStr("me:secret-word")
            )
        )
        assert [mistake.key for mistake in found] == ["PREFECT_API_AUTH_STRING"]
        found = unguarded(PrefectProfile(tracking_uri=guarded, **credentials))  # type: ignore[arg-type]
        assert (
            found
            == []
            == unguarded(PrefectProfile(tracking_uri=opened))
            == unguarded(PrefectProfile(**credentials))
        )  # type: ignore[arg-type]


def test_p7_wrong_credentials_are_not_repeated() -> None:
    with server(credentials="me:right") as url:
        said = problems(tracking_uri=url.replace("//", "//me:wrong-password@"))
    assert len(said) == 1
    assert "wrong-password" not in said[0]


def test_a_server_that_knows_other_host_names() -> None:
    with server(403, "Invalid Host header - possible DNS rebinding attack detected") as url:
        assert "--allowed-hosts 127.0.0.1" in problems(tracking_uri=url)[0]


def test_something_else_answers() -> None:
    with server(404) as url:
        said = problems(tracking_uri=url, prefect_api_url=f"{url}/apis")
    assert "is it an MLflow server?" in said[0]
    assert "end in /api?" in said[1]


def test_what_answers_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble() -> None:
            connection, _ = listening.accept()
            connection.recv(1000)
            connection.sendall(b"220 welcome\r\n")
            connection.close()

        threading.Thread(target=babble, daemon=True).start()
        said = problems(s3_endpoint_url=f"http://127.0.0.1:{listening.getsockname()[1]}")
    assert "cannot be reached" in said[0]


def test_silence_ends_with_our_patience() -> None:
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = problems(tracking_uri=url, prefect_api_url=f"{url}/api", s3_endpoint_url=url)
    assert len(said) == 3
    assert time.monotonic() - started < 2 * TIMEOUT  # all at once, and not one after another


def test_p1_whoever_waits_hears_of_refusals_and_not_of_silence(
    nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as busy,
        server(503) as starting,
        server(401) as refusing,
    ):
        url = f"http://127.0.0.1:{busy.getsockname()[1]}"
        silent = PrefectProfile(
            tracking_uri=starting,
            registry_uri=nobody,
            prefect_api_url=f"{url}/api",
            s3_endpoint_url=nobody,
        )
        with monkeypatch.context() as hurried:
            hurried.setattr(reachability, "TIMEOUT", 0.5)
            assert len(check_profile(silent)) == 4
            assert check_profile(silent, waits=True) == []
        refused = PrefectProfile(tracking_uri=refusing, prefect_api_url=f"{nobody}/api")
        assert [each.key for each in check_profile(refused, waits=True)] == ["MLFLOW_TRACKING_URI"]
    database = PrefectProfile(
        tracking_uri=f"postgresql+psycopg://{nobody.removeprefix('http://')}/mlflow"
    )
    assert check_profile(database) and not check_profile(database, waits=True)


def test_a_database_that_is_not_there(nobody: str) -> None:
    said = problems(
        tracking_uri=nobody.replace("http://", "postgresql://me:secret-word@") + "/mlflow"
    )
    assert "is the database up?" in said[0]
    assert "secret-word" not in said[0]


def test_sqlite_files(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database at all")
    (tmp_path / "empty.db").touch()
    assert "does not exist" in problems(tracking_uri="sqlite:///missing/mlflow.db")[0]
    assert "not an SQLite database" in problems(tracking_uri="sqlite:///text.db")[0]
    assert "not an SQLite database" in problems(tracking_uri=f"sqlite:///{tmp_path}")[0]
    assert "ends with the process" in problems(tracking_uri="sqlite://")[0]
    assert problems(tracking_uri="sqlite:///empty.db") == []


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = problems(work=str(tmp_path / "file" / "below"), store="/proc/onerun")
    assert "is a file, not a folder" in said[0]
    assert len(said) == 2 or not Path("/proc").is_dir()


@contextmanager
def without_rights() -> Iterator[None]:
    """root may look everywhere."""
    if os.geteuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "setresuid"), reason="rights are given up as on Linux")
def test_below_a_folder_that_may_not_be_looked_into(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    if os.geteuid():
        closed.chmod(0)
    profile = PrefectProfile(
        store=str(closed / "a" / "b"), tracking_uri=f"sqlite:///{closed}/a/mlflow.db"
    )
    with without_rights():
        said = {mistake.key: mistake.message for mistake in check_profile(profile)}
    assert said["ONERUN_STORE"].startswith("no permission to write in /")
    assert (
        "cannot be looked at" in said["MLFLOW_TRACKING_URI"]
        and "Permission denied" in said["MLFLOW_TRACKING_URI"]
    )
    closed.chmod(0o700)


def test_p7_a_password_that_was_not_encoded_is_not_told_in_pieces() -> None:
    for address in ("postgresql://me:pass/word@127.0.0.1/d", "http://me:pass/word@127.0.0.1:1"):
        (said,) = problems(tracking_uri=address)
        assert "percent-encode the password" in said and "me:***@127.0.0.1" in said
        assert "pass" not in said.replace("the password", "") and "word" not in said.replace(
            "password", ""
        )


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onerun.config.reachability.LEAST_SPACE", 10**18)
    assert "are free in" in problems()[0]
