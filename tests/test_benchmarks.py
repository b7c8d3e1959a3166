"""The harness measures what it says: whole process trees, tables that are always the same, medians and ratios."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import data, tables
from benchmarks.jobs import JOBS

ROOT = Path(__file__).parents[1]
BURN = "import time\nwhile time.process_time() < {seconds}: pass"
ORPHAN = """
import subprocess, sys
code = "held = bytearray(150_000_000)\\n" + {burn!r}
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
"""


def meter(code: str, folder: Path) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.meter",
        str(folder / "result.json"),
        sys.executable,
        "-c",
        code,
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    measures: dict[str, float] = json.loads((folder / "result.json").read_text())
    return measures


def test_the_meter_counts_a_process_that_outlives_its_parent(tmp_path: Path) -> None:
    measures = meter(ORPHAN.format(burn=BURN.format(seconds=0.6)), tmp_path)
    assert measures["cpu"] > 0.6
    assert measures["peak"] > 150e6
    assert measures["lingering"] > 0.3


def test_the_meter_hands_the_exit_code_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.meter",
        str(tmp_path / "r"),
        sys.executable,
        "-c",
        "exit(7)",
    ]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 7


def test_a_table_is_always_the_same_whatever_its_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CHUNK", 1000)
    short = pq.read_table(data.table_of(1000, tmp_path))
    longer = pq.read_table(data.table_of(2500, tmp_path))
    assert longer.num_columns == 21
    assert longer.num_rows == 2500
    assert longer.slice(0, 1000).to_pydict() == short.to_pydict()
    assert 0.01 < longer.column("number_0").null_count / 2500 < 0.03
    assert longer.column("category_4").combine_chunks().null_count > 0


def test_a_limit_that_is_not_kept_is_shown() -> None:
    def runs(seconds: float) -> list[dict[str, object]]:
        printed = {"metrics": {"rmse": 1.0}, "seconds": {"train": seconds}}
        return [{"wall": seconds, "cpu": 1.0, "peak": 100e6, "printed": printed}]

    text = tables.section(JOBS["million"], {"product, server up": runs(3.0), "floor": runs(2.0)})
    assert f"| product, server up | wall ÷ floor | 1.50 | 1.05 | {tables.BROKEN} |" in text
    assert "| product, server up | cpu ÷ floor | 1.00 | 1.05 | yes |" in text
    assert "- floor: train 2.00" in text


def test_a_missing_table_is_one_sentence_and_no_server_is_started(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from benchmarks import jobs; jobs.CALIFORNIA = Path('nowhere.csv');"
        "import runpy, sys; sys.argv = ['measure', '--jobs', 'california', '--work', sys.argv[1]];"
        "runpy.run_module('benchmarks.measure', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, text=True, capture_output=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "the California housing table is missing" in done.stderr
    assert "--jobs million" in done.stderr and "Traceback" not in done.stderr
