"""Whether a profile's servers answer and its folders can be written to, asked within seconds and without their clients.

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from onerun.config.addresses import redact
from onerun.config.mistakes import Mistake, MistakeKind

if TYPE_CHECKING:
    from ssl import SSLContext

    from onerun.config.profile import Profile


@dataclass(frozen=True)
class AccessProblem:
    """Why a server or folder of the profile cannot be used."""

    message: str
    kind: MistakeKind = MistakeKind.WRONG


Variables = Mapping[str, str]
Check = Callable[[str, Variables], AccessProblem | None]
Answers = queue.Queue[tuple[str, AccessProblem | None]]  # name of the variable, what is wrong
# For all checks together; a busy laptop takes five to answer.
TIMEOUT = 10.0  # seconds
LEAST_SPACE = 50_000_000  # bytes
NOT_A_PORT = "its port is not a number; percent-encode the password: / is %2F, @ is %40, : is %3A"
DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_profile(profile: "Profile", waits: bool = False) -> list[Mistake]:
    """Ask all servers at once and look at the folders.

    Args:
        waits: all that follows waits for servers as long as the retry budget, so one that does not answer now is not a
            mistake.
    Returns: what does not answer, refuses, or cannot be written.
    """
    variables = profile.variables()
    checked = [name for name in CHECKS if name in variables]
    answers: Answers = queue.Queue()
    for name in checked:
        threading.Thread(target=_check, args=(name, variables, answers), daemon=True).start()
    answered = dict(_within(answers, len(checked)))
    problems = {name: answered.get(name, _timed_out(variables[name])) for name in checked}
    return [
        Mistake(name, problem.message, kind=problem.kind)
        for name, problem in problems.items()
        if problem and not (waits and problem.kind is MistakeKind.UNREACHABLE)
    ]


def unguarded(profile: "Profile") -> list[Mistake]:
    """Ask servers without the password that the profile has for them. Return those that answer all the same."""
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


def _timed_out(address: str) -> AccessProblem:
    question = "is the address right and the server up?"
    return _unreachable(f"{redact(address)} does not answer within {TIMEOUT:.0f} s; {question}")


def _unreachable(message: str) -> AccessProblem:
    """Return a problem that waiting may mend: the server may be starting, or busy."""
    return AccessProblem(message, MistakeKind.UNREACHABLE)


def _refused(message: str) -> AccessProblem:
    return AccessProblem(message, MistakeKind.REFUSED)


def _check(name: str, variables: Variables, answers: Answers) -> None:
    """Answer in any case: an error in a thread would be taken for a server that does not answer."""
    try:
        problem = CHECKS[name](variables[name], variables)
    except OSError as error:
        problem = AccessProblem(f"{redact(variables[name])} cannot be looked at ({error})")
    except Exception as error:  # noqa: BLE001 -- its message may repeat a piece of a password
        problem = AccessProblem(
            f"{redact(variables[name])} cannot be looked at ({type(error).__name__})"
        )
    answers.put((name, problem))


def _within(answers: Answers, number: int) -> Iterator[tuple[str, AccessProblem | None]]:
    deadline = time.monotonic() + TIMEOUT
    for _ in range(number):
        try:
            yield answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return


def _store(uri: str, variables: Variables) -> AccessProblem | None:
    """MLflow's store: a server, a database, or an SQLite file."""
    scheme = uri.partition(":")[0].partition("+")[0]
    if scheme in ("http", "https"):
        return _mlflow_server(uri, variables)
    if scheme == "sqlite":
        return _sqlite(uri.partition(":///")[2].partition("?")[0])
    if scheme in DATABASE_PORTS:
        return _dial(uri, DATABASE_PORTS[scheme])
    return None


def _mlflow_server(uri: str, variables: Variables) -> AccessProblem | None:
    user, token = variables.get("MLFLOW_TRACKING_USERNAME"), variables.get("MLFLOW_TRACKING_TOKEN")
    authorization = f"Bearer {token}" if token else None
    if user:
        authorization = _basic(f"{user}:{variables.get('MLFLOW_TRACKING_PASSWORD', '')}")
    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search?max_results=1"
    status, body = _get(address, authorization)
    if status is None:
        advice = "start `mlflow server` there, or unset it to use sqlite:///mlflow.db"
        return _unreachable(f"{redact(uri)} cannot be reached ({body}); {advice}")
    if status == 403 and "host" in body.lower():
        option = f"--allowed-hosts {urlsplit(uri).hostname}"
        return _refused(f"{redact(uri)} refuses this host name; start it with {option}")
    if status in (401, 403):
        advice = (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
        return _refused(f"{redact(uri)} refuses the credentials ({status}); {advice}")
    if status >= 400:
        return _answered(status, f"{redact(uri)} answers {status}; is it an MLflow server?")
    return None


def _sqlite(file: str) -> AccessProblem | None:
    if file in ("", ":memory:"):
        return AccessProblem(
            "a database in memory ends with the process; name a file: sqlite:///mlflow.db"
        )
    path = Path(file)
    if not path.parent.is_dir():
        return AccessProblem(
            f"the folder {path.parent} does not exist; make it, or name another file"
        )
    if not path.exists():
        return _folder(str(path.parent), {})
    if not os.access(path, os.R_OK | os.W_OK):
        return AccessProblem(f"no permission to write {path}")
    if path.is_dir() or (path.stat().st_size and _first_bytes(path, 15) != b"SQLite format 3"):
        return AccessProblem(f"{path} is not an SQLite database")
    return _folder(str(path.parent), {})  # its journal is written beside it


def _first_bytes(path: Path, number: int) -> bytes:
    with path.open("rb") as file:
        return file.read(number)


def _prefect(uri: str, variables: Variables) -> AccessProblem | None:
    key, user = variables.get("PREFECT_API_KEY"), variables.get("PREFECT_API_AUTH_STRING")
    authorization = f"Bearer {key}" if key else None
    if user:
        authorization = _basic(user)
    status, body = _get(f"{uri}/admin/version", authorization)
    if status is None:
        advice = "start it, or unset it for a temporary server"
        return _unreachable(f"{redact(uri)} cannot be reached ({body}); {advice}")
    if status in (401, 403):
        advice = "set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
        return _refused(f"{redact(uri)} refuses the credentials ({status}); {advice}")
    if status < 400 or key:
        return None
    return _answered(status, f"{redact(uri)} answers {status}; does the address end in /api?")


def _answered(status: int, message: str) -> AccessProblem:
    """A server, or what stands before it, that answers 500 and above may do better in a moment."""
    return _unreachable(message) if status >= 500 else AccessProblem(message)


def _s3(uri: str, variables: Variables) -> AccessProblem | None:
    """Any answer will do; whether the keys are right, only a signed request can tell (onerun/storage)."""
    status, body = _get(uri, None)
    if status is None:
        return _unreachable(f"{redact(uri)} cannot be reached ({body}); is the object store up?")
    return None


def _folder(folder: str, variables: Variables) -> AccessProblem | None:
    """Whether `folder` is, or could be made, a writable folder with some space."""
    if "://" in folder:
        return None
    there = nearest(folder)
    if not there.is_dir():
        return AccessProblem(f"{there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return AccessProblem(f"no permission to write in {there}; name another folder")
    free = shutil.disk_usage(there).free
    if free < LEAST_SPACE:
        megabytes = f"{free / 1e6:.0f} MB"
        return AccessProblem(
            f"only {megabytes} are free in {there}; free some space, or name another folder"
        )
    return None


def nearest(folder: str) -> Path:
    """Return the folder, or else the first above it that exists, as far as may be seen from here."""
    above = (Path(folder), *Path(folder).parents)
    return next(path for path in above if os.path.exists(path))  # noqa: PTH110 -- Path.exists raises where it may not look


def _dial(uri: str, port: int) -> AccessProblem | None:
    parts = urlsplit(uri)
    try:
        address = (parts.hostname or "localhost", parts.port or port)
        socket.create_connection(address, timeout=TIMEOUT).close()
    except ValueError:  # its message is a piece of the password
        return AccessProblem(f"{redact(uri)}: {NOT_A_PORT}")
    except OSError as error:
        reason = error.strerror or error
        return _unreachable(f"{redact(uri)} cannot be reached ({reason}); is the database up?")
    return None


def _basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def tls() -> "SSLContext | None":
    """Return how certificates are looked at; None: as Python does."""
    import ssl

    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS") == "true"
    return ssl._create_unverified_context() if insecure else None  # as MLflow does


def _get(url: str, authorization: str | None) -> tuple[int | None, str]:
    """Return status and the beginning of the body; no status, and why, when there is no answer."""
    from http.client import HTTPException, InvalidURL
    from urllib import error, request

    parts = urlsplit(url)
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = authorization or _basic(credentials)
        url = _bare(url)
    headers = {"User-Agent": "onerun"}
    if authorization:
        headers["Authorization"] = authorization
    question = request.Request(url, headers=headers)
    try:
        with request.urlopen(question, timeout=TIMEOUT, context=tls()) as answer:
            return int(answer.status), ""
    except error.HTTPError as refused:
        return refused.code, refused.read(500).decode(errors="replace")
    except InvalidURL:  # its message is a piece of the password
        return None, NOT_A_PORT
    except (OSError, ValueError, HTTPException) as failure:  # not there; no such address; not HTTP
        return None, str(getattr(failure, "reason", failure))


CHECKS: dict[str, Check] = {
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
