"""Runs product, floor and bare script in turns, and says what the product costs beside the others.

python -m benchmarks.measure --jobs california million --repeats 5 --write docs/performance.md
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import jobs, tables
from benchmarks.jobs import JOBS, QUIET, ROOT, Job

Results = dict[str, list[dict[str, Any]]]  # side -> one entry per repeat


def main() -> int:
    """Returns: the exit code: 0, or 1 when a limit was not kept and --strict was given."""
    asked = _arguments()
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    sections = []
    chosen = [JOBS[name] for name in asked.jobs]
    for job in chosen:
        job.need_table()
    with prefect_server(work) as url:
        for job in chosen:
            sides = [
                side
                for side in job.sides
                if not asked.sides or any(word in side for word in asked.sides)
            ]
            results = measure(job, sides, asked.repeats, work, url)
            sections.append(tables.section(job, results))
            print(f"\n{sections[-1]}\n", flush=True)
    if asked.write:
        asked.write.write_text(tables.page(sections, asked.repeats))
    return int(asked.strict and any(tables.BROKEN in section for section in sections))


def measure(job: Job, sides: list[str], repeats: int, work: Path, url: str) -> Results:
    """One warm-up each, which makes the champion; then in turns, so that a busy minute is everybody's."""
    for side in sides:
        _say(job, side, "warm-up", jobs.run(job, side, work, url))
    jobs.keep_prepared(job, work)
    results: Results = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in sides:
            jobs.restore_prepared(job, work)
            results[side].append(jobs.run(job, side, work, url))
            _say(job, side, f"{repeat + 1} of {repeats}", results[side][-1])
    return results


def _say(job: Job, side: str, which: str, result: dict[str, Any]) -> None:
    figures = (
        f"{result['wall']:6.1f} s wall {result['cpu']:6.1f} s CPU {result['peak'] / 1e6:6.0f} MB"
    )
    print(f"{job.name:17} {side:19} {which:8} {figures}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def prefect_server(work: Path) -> Iterator[str]:
    """A Prefect server that is up before anything is measured. Yields: its API."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    environment = {
        **os.environ,
        **QUIET,
        "PREFECT_HOME": str(work / "prefect-server"),
        "PREFECT_UI_ENABLED": "0",
    }
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        _wait(server, f"{url}/health")
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the Prefect server did not start")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    parser.add_argument(
        "--jobs", nargs="+", choices=list(JOBS), default=["california", "million", "ten-million"]
    )
    parser.add_argument(
        "--sides",
        nargs="+",
        help="only sides whose name holds one of these words: product floor bare",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--work",
        type=Path,
        default=ROOT / "build" / "bench",
        help="where tables and stores are kept",
    )
    parser.add_argument("--write", type=Path, help="also write the tables into this file")
    parser.add_argument(
        "--strict", action="store_true", help="exit code 1 when a limit is not kept"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FileNotFoundError as missing:
        sys.exit(str(missing))  # exit code 1, the sentence on stderr
