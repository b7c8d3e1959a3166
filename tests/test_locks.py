"""A lock is held by one process at a time, and a killed one gives it back."""

import subprocess
import sys
from pathlib import Path

import pytest

from onerun.processes.locks import exclusive_lock

HOLDER = """
import sys
from pathlib import Path
from onerun.processes.locks import exclusive_lock

with exclusive_lock(Path(sys.argv[1])) as held:
    held.write("mine")
    held.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_holder_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError), exclusive_lock(file, wait=False):
            pass
        assert file.read_text() == "mine", "who was refused changed nothing"
        holder.kill()
    with exclusive_lock(file, wait=False) as held:
        held.seek(0)
        assert held.read() == "mine"


def test_it_is_given_back_at_the_end_of_the_block(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), exclusive_lock(tmp_path / "lock"):
        raise ValueError("mine")
    with exclusive_lock(tmp_path / "lock", wait=False):
        pass


def test_an_error_of_the_block_is_not_taken_for_another_holder(tmp_path: Path) -> None:
    from onerun.store.lock import maintenance_lock

    with (
        pytest.raises(BlockingIOError, match="of the block"),
        maintenance_lock(tmp_path / "lock", "sqlite:///x.db"),
    ):
        raise BlockingIOError("of the block")


def test_a_lock_whose_file_is_removed_still_excludes(tmp_path: Path) -> None:
    """Eight threads with files of their own; a lock on a file without a name would let two in."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    inside, most, count = 0, 0, threading.Lock()

    def work(_: int) -> None:
        nonlocal inside, most
        with exclusive_lock(tmp_path / "lock", remove=True):
            with count:
                inside += 1
                most = max(most, inside)
            with count:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert most == 1
    assert list(tmp_path.iterdir()) == []
