"""The servers that tests use: an S3 server that somebody names is taken, unless it holds something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import servers

ASKS = """
import pathlib, pytest
from tests import servers
try:
    with servers.s3(pathlib.Path("/nowhere")) as endpoint:
        print(endpoint, servers.S3_KEY)
except pytest.skip.Exception as skipped:
    print(skipped)
"""


def answer(endpoint: str, **more: str) -> str:
    """Returns: what a test session hears that was started with these variables."""
    named = dict(
        zip(servers.S3_VARIABLES, (endpoint, servers.S3_KEY, servers.S3_SECRET), strict=True)
    )
    kept = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"}
    line = [sys.executable, "-c", ASKS]
    done = subprocess.run(
        line, cwd=servers.ROOT, env=kept | named | more, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_an_s3_server_is_taken_by_its_endpoint_variable_while_it_is_empty(tmp_path: Path) -> None:
    from minio import Minio

    with servers.s3(tmp_path / "d") as endpoint:
        assert answer(f"{endpoint}/") == f"{endpoint} {servers.S3_KEY}"
        Minio(
            endpoint.removeprefix("http://"), servers.S3_KEY, servers.S3_SECRET, secure=False
        ).make_bucket("somebodys")
        assert "holds buckets (somebodys, ...)" in answer(endpoint)
        assert "http:// address" in answer("https://127.0.0.1:9")
