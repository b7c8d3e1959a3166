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


def exit_code(
    do: Callable[[], dict[str, Any]], as_json: bool, interrupted: str, traceback: bool = False
) -> int:
    """Do it. Returns: 0, or 2 for a mistake in what was asked, 130 when interrupted, 1 for everything else.

    Args:
        interrupted: what is said after Ctrl-C.
        traceback: let an unexpected error through, for whoever wants to see all of it.
    """
    spare_time_and_memory()
    try:
        with _stdout_kept_for_json() if as_json else contextlib.nullcontext():
            result = do()
    except Mistakes as mistakes:
        return _ended(
            as_json, "mistake", "\n".join([str(mistakes), *_notes(mistakes)]), mistakes.exit_code
        )
    except Terminated as stop:
        return _ended(as_json, "interrupted", "\n".join(_notes(stop)) or interrupted, 143)
    except KeyboardInterrupt as stop:
        return _ended(as_json, "interrupted", "\n".join(_notes(stop)) or interrupted, 130)
    except (
        Exception
    ) as error:  # whatever a library raises becomes a sentence; --traceback lets it through
        if traceback:
            raise
        return _ended(as_json, "failed", "\n".join([in_words(error), *_notes(error)]), 1)
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    return 0


def in_words(error: Exception) -> str:
    """Our own errors are written for a person; of others the first line, without SQL statements and the like."""
    if isinstance(error, OnerunError | Mistakes):
        return str(error)
    if "database or disk is full" in str(error):  # SQLite's words, somewhere in pages of SQL
        return "no space left on the disk of MLflow's store; free some and run again"
    first, *more = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {first}" + (" (--traceback shows all of it)" if more else "")


def _notes(error: BaseException) -> list[str]:
    """Returns: what was found out about the error on its way here."""
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


def _ended(as_json: bool, status: str, words: str, code: int) -> int:
    print(words, file=sys.stderr)
    if as_json:
        print(json.dumps({"status": status, "error": words}, ensure_ascii=False))
    return code
