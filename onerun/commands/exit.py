"""Every way a command can end: an exit code, a sentence on stderr and, with --json, one object on stdout."""

import contextlib
import ctypes
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from onerun.config.mistakes import Mistakes
from onerun.domain.errors import OnerunError, Terminated
from onerun.process_tuning import spare_time_and_memory

EXTRAS = {"prefect": "prefect", "psycopg": "postgres", "xgboost": "xgboost"}  # by what they bring


def exit_code(
    do: Callable[[], dict[str, Any]], as_json: bool, interrupted: str, traceback: bool = False
) -> int:
    """Do it. Return 0, or 2 for a mistake in what was asked, 130 when interrupted, 1 for everything else.

    Args:
        interrupted: the message after Ctrl-C.
        traceback: let an unexpected error through, for a person who wants to see all of it.
    """
    spare_time_and_memory()
    try:
        with stdout_for(as_json):
            result = do()
    except BaseException as error:  # noqa: BLE001  # what is not ours to end is raised again
        return code_of(error, as_json, interrupted, traceback)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


def stdout_for(as_json: bool) -> contextlib.AbstractContextManager[None]:
    """Return a context in which standard output is kept for the one object of --json, where that was asked for."""
    return _stdout_kept_for_json() if as_json else contextlib.nullcontext()


def code_of(error: BaseException, as_json: bool, interrupted: str, traceback: bool) -> int:
    """Say how the command ended, and return its exit code; raise again what ends a process otherwise."""
    if isinstance(error, Mistakes):
        return _ended(as_json, "mistake", "\n".join([str(error), *_notes(error)]), error.exit_code)
    if isinstance(error, Terminated):
        return _ended(as_json, "interrupted", "\n".join(_notes(error)) or interrupted, 143)
    if isinstance(error, KeyboardInterrupt):
        return _ended(as_json, "interrupted", "\n".join(_notes(error)) or interrupted, 130)
    if traceback or not isinstance(error, Exception):
        raise error
    # whatever a library raises becomes a sentence; --traceback lets it through
    return _ended(as_json, "failed", "\n".join([message_of(error), *_notes(error)]), 1)


def message_of(error: Exception) -> str:
    """Our own errors are written for a person; of others the first line, without SQL statements and the like."""
    if isinstance(error, OnerunError | Mistakes):
        return str(error)
    if "database or disk is full" in str(error):  # SQLite's words, somewhere in pages of SQL
        return "no space left on the disk of MLflow's store; free some and run again"
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        extra = EXTRAS[error.name]
        return f"{error.name} is not installed here: pip install 'onerun[{extra}]'"
    first, *more = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}" + (" (--traceback shows all of it)" if more else "")


def _notes(error: BaseException) -> list[str]:
    """Return what was found out about the error on its way here."""
    return list(getattr(error, "__notes__", ()))


@contextlib.contextmanager
def _stdout_kept_for_json() -> Iterator[None]:
    """Whatever libraries print within the block goes to stderr: Python's words and those of C code."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        ctypes.CDLL(None).fflush(
            None
        )  # C keeps what it prints into a pipe until its buffer is full
        os.dup2(kept, 1)
        os.close(kept)


def _ended(as_json: bool, status: str, message: str, code: int) -> int:
    print(message, file=sys.stderr)
    if as_json:
        print(json.dumps({"status": status, "error": message}, ensure_ascii=False))
    return code
