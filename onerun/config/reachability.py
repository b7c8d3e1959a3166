"""Whether a profile's servers answer and its folders can be written to, told within seconds and without their clients.

Nothing is written, and nothing heavy is imported: the question comes before any work (P5).
"""

import base64
import os
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake

if TYPE_CHECKING:
    from ssl import SSLContext

    from onerun.config.profile import Profile

Answers = queue.Queue[tuple[str, str | None]]  # name of the variable, what is wrong
PATIENCE = (
    10.0  # seconds, for all checks together; a laptop that has its hands full takes five to answer
)
LEAST_SPACE = 50_000_000  # bytes
NO_PORT = "its port is no number; percent-encode the password: / is %2F, @ is %40, : is %3A"
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class Silence(str):
    """What is said of somebody who does not answer, or not now: he may be starting, or have his hands full."""

    __slots__ = ()


def check_profile(profile: "Profile", waits: bool = False) -> list[Mistake]:
    """Ask all servers at once and look at the folders.

    Args: waits: whoever asks waits for servers as long as the retry budget; their silence now is no mistake.
    Returns: what does not answer, refuses, or cannot be written.
    """
    variables = profile.variables()
    asked = [name for name in CHECKS if name in variables]
    answers: Answers = queue.Queue()
    for name in asked:
        threading.Thread(target=_ask, args=(name, variables, answers), daemon=True).start()
    problems = dict(_within(answers, len(asked)))
    silent = f"does not answer within {PATIENCE:.0f} s; is the address right and the server up?"
    said = {
        name: problems.get(name, Silence(f"{redact(variables[name])} {silent}")) for name in asked
    }
    told = {
        name: problem
        for name, problem in said.items()
        if problem and not (waits and isinstance(problem, Silence))
    }
    return [Mistake(name, problem) for name, problem in told.items()]


def unguarded(profile: "Profile") -> list[Mistake]:
    """Asks servers without the password that the profile has for them. Returns: those that answer all the same."""
    variables = profile.variables()
    return [
        Mistake(
            password,
            f"is set, but {redact(variables[name])} answers without it: the server was started open",
        )
        for name, password in PASSWORDS.items()
        if password in variables
        and variables.get(name, "").startswith(("http://", "https://"))
        and CHECKS[name](_bare(variables[name]), {}) is None
    ]


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _ask(name: str, variables: Mapping[str, str], answers: Answers) -> None:
    try:
        said = CHECKS[name](variables[name], variables)
    except Exception as error:  # noqa: BLE001 -- in a thread nobody hears it, and it would be taken for a silence
        words = (
            error if isinstance(error, OSError) else type(error).__name__
        )  # others may repeat a piece of a password
        said = f"{redact(variables[name])} cannot be looked at ({words})"
    answers.put((name, said))


def _within(answers: Answers, number: int) -> Iterator[tuple[str, str | None]]:
    deadline = time.monotonic() + PATIENCE
    for _ in range(number):
        try:
            yield answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return


def _store(uri: str, variables: Mapping[str, str]) -> str | None:
    """MLflow's store: a server, a database, or an SQLite file."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in ("http", "https"):
        return _mlflow_server(uri, variables)
    if scheme == "sqlite":
        return _sqlite(uri.partition(":///")[2].partition("?")[0])
    return _dial(uri, DATABASE_PORTS[scheme]) if scheme in DATABASE_PORTS else None


def _mlflow_server(uri: str, variables: Mapping[str, str]) -> str | None:
    user, password = (
        variables.get("MLFLOW_TRACKING_USERNAME"),
        variables.get("MLFLOW_TRACKING_PASSWORD", ""),
    )
    token = variables.get("MLFLOW_TRACKING_TOKEN")
    authorization = _basic(f"{user}:{password}") if user else f"Bearer {token}" if token else None
    status, body = _get(
        f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1", authorization
    )
    if status is None:
        advice = "start `mlflow server` there, or unset it to use sqlite:///mlflow.db"
        return Silence(f"{redact(uri)} cannot be reached ({body}); {advice}")
    if status == 403 and "host" in body.lower():
        return f"{redact(uri)} refuses this host name; start it with --allowed-hosts {urlsplit(uri).hostname}"
    if status in (401, 403):
        advice = (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
        return f"{redact(uri)} refuses the credentials ({status}); {advice}"
    return (
        _kind(status)(f"{redact(uri)} answers {status}; is it an MLflow server?")
        if status >= 400
        else None
    )


def _sqlite(file: str) -> str | None:
    if file in ("", ":memory:"):
        return "a database in memory is gone with the process; name a file: sqlite:///mlflow.db"
    path = Path(file)
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist; make it, or name another file"
    if not path.exists():
        return _folder(str(path.parent), {})
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission to write {path}"
    if path.is_dir() or (path.stat().st_size and _first_bytes(path, 15) != b"SQLite format 3"):
        return f"{path} is not an SQLite database"
    return _folder(str(path.parent), {})  # its journal is written beside it


def _first_bytes(path: Path, number: int) -> bytes:
    with path.open("rb") as file:
        return file.read(number)


def _prefect(uri: str, variables: Mapping[str, str]) -> str | None:
    key, user = variables.get("PREFECT_API_KEY"), variables.get("PREFECT_API_AUTH_STRING")
    status, body = _get(
        f"{uri}/admin/version", _basic(user) if user else f"Bearer {key}" if key else None
    )
    if status is None:
        return Silence(
            f"{redact(uri)} cannot be reached ({body}); start it, or unset it for a temporary server"
        )
    if status in (401, 403):
        return f"{redact(uri)} refuses the credentials ({status}); set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
    if status < 400 or key:
        return None
    return _kind(status)(f"{redact(uri)} answers {status}; does the address end in /api?")


def _kind(status: int) -> type[str]:
    """A server, or what stands before it, that answers 500 and above may do better in a moment."""
    return Silence if status >= 500 else str


def _s3(uri: str, variables: Mapping[str, str]) -> str | None:
    """Any answer is a life sign; whether the keys are right, only a signed request can tell (tasks/storage.py)."""
    status, body = _get(uri, None)
    return (
        Silence(f"{redact(uri)} cannot be reached ({body}); is the object store up?")
        if status is None
        else None
    )


def _folder(folder: str, variables: Mapping[str, str]) -> str | None:
    """Whether `folder` is, or could be made, a writable folder with some space."""
    if "://" in folder:
        return None
    there = nearest(folder)
    if not there.is_dir():
        return f"{there} is a file, not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"no permission to write in {there}; name another folder"
    free = shutil.disk_usage(there).free
    return (
        f"only {free / 1e6:.0f} MB are free in {there}; make room, or name another folder"
        if free < LEAST_SPACE
        else None
    )


def nearest(folder: str) -> Path:
    """Return the folder, or else the first above it that is there, as far as may be seen from here."""
    above = (Path(folder), *Path(folder).parents)
    return next(path for path in above if os.path.exists(path))  # noqa: PTH110 -- Path.exists raises where it may not look


def _dial(uri: str, port: int) -> str | None:
    parts = urlsplit(uri)
    try:
        socket.create_connection(
            (parts.hostname or "localhost", parts.port or port), timeout=PATIENCE
        ).close()
    except ValueError:  # its words are a piece of the password
        return f"{redact(uri)}: {NO_PORT}"
    except OSError as error:
        return Silence(
            f"{redact(uri)} cannot be reached ({error.strerror or error}); is the database up?"
        )
    return None


def _basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def tls() -> "SSLContext | None":
    """Return how certificates are looked at; None: as Python does."""
    import ssl

    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS") == "true"
    return ssl._create_unverified_context() if insecure else None  # as MLflow does


def _get(url: str, authorization: str | None) -> tuple[int | None, str]:
    """Return status and the beginning of the body; no status, and why, when nobody answers."""
    from http.client import HTTPException, InvalidURL
    from urllib import error, request

    parts = urlsplit(url)
    if parts.username is not None:
        authorization = authorization or _basic(
            f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        )
        url = _bare(url)
    headers = {"User-Agent": "onerun"} | ({"Authorization": authorization} if authorization else {})
    try:
        with request.urlopen(
            request.Request(url, headers=headers), timeout=PATIENCE, context=tls()
        ) as answer:
            return int(answer.status), ""
    except error.HTTPError as refused:
        return refused.code, refused.read(500).decode(errors="replace")
    except InvalidURL:  # its words are a piece of the password
        return None, NO_PORT
    except (OSError, ValueError, HTTPException) as failure:  # not there; no such address; not HTTP
        return None, str(getattr(failure, "reason", failure))


CHECKS: dict[str, Callable[[str, Mapping[str, str]], str | None]] = {
    "MLFLOW_TRACKING_URI": _store,
    "MLFLOW_REGISTRY_URI": _store,
    "PREFECT_API_URL": _prefect,
    "MLFLOW_S3_ENDPOINT_URL": _s3,
    "ONERUN_WORK": _folder,
    "ONERUN_STORE": _folder,
}
PASSWORDS = {
    "PREFECT_API_URL": "PREFECT_API_AUTH_STRING",
    "MLFLOW_TRACKING_URI": "MLFLOW_TRACKING_PASSWORD",
}
