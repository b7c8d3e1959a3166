"""How a command ends, whatever libraries print on the way."""

import json
import subprocess
import sys
from pathlib import Path

NOISY = """
import ctypes, os
from flows.endings import exit_code

def noisy():
    print("Python prints")
    ctypes.CDLL(None).puts(b"C prints")
    os.write(1, b"a file descriptor is written to")
    return {"status": "completed"}

raise SystemExit(exit_code(noisy, True, ""))
"""


def test_with_json_nothing_else_is_on_stdout() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, cwd=root, timeout=60)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"status": "completed"})
    for words in ("Python prints", "C prints", "a file descriptor"):
        assert words in done.stderr
