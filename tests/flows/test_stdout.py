"""A training goes on when nobody reads its output any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOGS = """
import sys
from prefect.logging import get_logger
from prefect.logging.configuration import setup_logging
from flows.training.stdout import outlive_the_reader

setup_logging()
if {outlives}:
    outlive_the_reader()
sys.stdin.readline()
get_logger("engine").warning("nobody reads this")
print("nor this", flush=True)
print("nor that", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize(("outlives", "ends_well"), [(True, True), (False, False)])
def test_a_line_that_nobody_reads_ends_nothing(outlives: bool, ends_well: bool) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", LOGS.format(outlives=outlives)],
        cwd=Path(__file__).parents[2], env={**os.environ, "PREFECT_LOGGING_LEVEL": "INFO"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdin and writer.stdout and writer.stderr
    writer.stdout.close()
    writer.stderr.close()
    writer.stdin.write(b"\n")
    writer.stdin.close()
    assert (writer.wait(60) == 0) is ends_well
