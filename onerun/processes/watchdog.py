"""Watches over a program for a caller that may be killed: `python -I -S watchdog.py GROUP`.

The caller holds the other end of stdin. While it lives, stdin stays open. When it closes without a word the
caller is gone, and the process group ends.
Standard library only, and run as a file: it starts in milliseconds.
"""

import os
import signal
import sys
import time

GRACE = 5.0  # seconds


def watch(group: int) -> None:
    """Returns when the caller says that it is done, or when the group was told to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it goes when the caller goes
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
