"""How a command ends, whatever libraries print on the way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onerun.commands.exit import exit_code

NOISY = """
import ctypes, os
from onerun.commands.exit import exit_code

def noisy():
    print("Python prints")
    ctypes.CDLL(None).puts(b"C prints")
    os.write(1, b"a file descriptor is written to")
    return {"status": "completed"}

raise SystemExit(exit_code(noisy, True, ""))
"""


def test_with_json_nothing_else_is_on_stdout() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", NOISY], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert (done.returncode, json.loads(done.stdout)) == (0, {"status": "completed"})
    for words in ("Python prints", "C prints", "a file descriptor"):
        assert words in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("short", "ValueError: short"),
        ("first\n[SQL: INSERT ...]", "ValueError: first (--traceback shows all of it)"),
        (
            "(autoflush)\n(sqlite3) database or disk is full",
            "no space left on the disk of MLflow's store",
        ),
    ],
)
def test_a_library_s_error_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    def fail() -> dict[str, object]:
        raise ValueError(words)

    assert exit_code(fail, False, "") == 1
    told = capsys.readouterr().err
    assert told.startswith(said) and told.count("\n") == 1


FREEZES = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # called after those registered later
from onerun.commands.exit import exit_code
raise SystemExit(exit_code(dict, False, ""))
"""


def test_python_does_not_look_through_all_objects_once_more_when_it_ends() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FREEZES], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
