"""What the processes of the stack have written."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deployments.stack.processes import Processes

LOOK = 0.5  # seconds between two looks for more


def show(
    names: Sequence[str],
    processes: Processes,
    lines: int,
    follow: bool,
    report: Callable[[str], None],
) -> None:
    """Show the last lines of each log; with `follow`, also new ones until interrupted."""
    shown = {name: _size(processes.log(name)) for name in names}
    for name in names:
        for line in processes.last_lines(name, lines):
            report(f"{name:<8} {line}")
    while follow:
        time.sleep(LOOK)
        for name in names:
            shown[name] = _more(processes.log(name), shown[name], name, report)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _more(path: Path, since: int, name: str, report: Callable[[str], None]) -> int:
    """Show what came after position `since`. Return where the last whole line ends."""
    if not path.exists():
        return 0
    with path.open("rb") as log:
        log.seek(since)
        whole, newline, _ = log.read().rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        report(f"{name:<8} {line}")
    return since + len(whole) + len(newline)
