"""A server's clock is asked as the server itself is: also behind a certificate that nobody signed."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from flows.checking.single_check import clock


class Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(403)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Thu, 01 Jan 2026 00:00:00 GMT"  # as its Date says

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def behind_tls(tmp_path: Path) -> Iterator[str]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    line = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run([*line, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_clock_behind_a_certificate_of_ones_own(
    behind_tls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        clock("clock", behind_tls)
    monkeypatch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
    finding = clock("clock", behind_tls)
    assert finding.state == "wrong" and "behind the clock here" in finding.detail, (
        "a refusal tells the time, too"
    )
