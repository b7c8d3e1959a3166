"""Processes, looked at while they end."""

from pathlib import Path


def alive(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone, or gone while it was read
        return False


def family(pid: int) -> list[int]:
    """Returns: the process and all below it."""
    children = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += [int(each) for each in file.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended
            continue
    return [pid, *(below for child in children for below in family(child))]
