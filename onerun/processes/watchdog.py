"""End a program whose caller was killed: `python -I -S watchdog.py GROUP`.

The caller holds the other end of stdin and keeps it open while it lives. When stdin closes without
data, the caller is dead, and the process group is ended. Standard library only, and run as a file:
it starts in milliseconds.
"""

import os
import signal
import sys
import time

GRACE = 5.0  # seconds between SIGTERM and SIGKILL


def watch(group: int) -> None:
    """Wait until the caller is done; if it died instead, end the process group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the caller ends
    if sys.stdin.buffer.read(1):
        return
    try:
        os.killpg(group, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while time.monotonic() < end:
            time.sleep(0.1)
            os.killpg(group, 0)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    watch(int(sys.argv[1]))
