"""Prefect's server for one command, when none is configured.

It is started before anything heavy is imported, so that it comes up while the libraries load and the data is read. The
listening socket is ours: the port is known and free from the first moment, connections wait in its queue instead of
being refused, and being slow is never being broken. The server ends with its parent, however that ends.
"""

import contextlib
import fcntl
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from settings.mistakes import Mistake, Mistakes

VARIABLE = "ONERUN_TEMPORARY_SERVER"  # holds the API's address while a command has one of its own
SAY_AFTER = 3.0  # seconds
LONGEST_START = 600.0  # seconds; a first start on a busy machine migrates a whole database


class ServerDied(Mistakes):
    """The temporary server ended instead of starting; the message carries its last words."""


@dataclass(frozen=True)
class TemporaryServer:
    """A Prefect server that lives as long as this process."""

    process: subprocess.Popen[bytes]
    port: int
    errors: IO[bytes]

    @property
    def api_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, say: Callable[[str], None]) -> None:
        """Wait until it answers, saying so when that takes long. Raises: ServerDied."""
        started = time.monotonic()
        said = started
        while not self._answers():
            now = time.monotonic()
            if self.process.poll() is not None or now - started > LONGEST_START:
                raise ServerDied([Mistake("PREFECT_API_URL", self._last_words(now - started))])
            if now - said > SAY_AFTER:
                said = now
                say(f"waiting for Prefect's temporary server ({now - started:.0f} s; a first start takes longest)")

    def stop(self) -> None:
        """End it; all it was told is in Prefect's database by then."""
        _send_the_rest()
        self.process.terminate()  # asked first: it still writes down the last task's state
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()
        self.errors.close()
        if self.process.stdin:
            self.process.stdin.close()

    def _answers(self) -> bool:
        """One request: it waits in the socket's queue until the server takes it, or the second is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
            return False
        finally:
            connection.close()

    def _last_words(self, waited: float) -> str:
        code = self.process.poll()
        self.process.kill()
        self.errors.seek(0)
        words = self.errors.read().decode(errors="replace")[-2000:]
        ended = f"ended with exit code {code}" if code is not None else "did not answer"
        advice = "start one yourself (`prefect server start`) and set this variable"
        return f"Prefect's temporary server {ended} after {waited:.0f} s; {advice}\n{words}"


def start() -> TemporaryServer:
    """Start the server's process. Returns: at once; `wait` before using it."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the server; a pipe nobody reads would stall it
    quiet = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.temporary_server", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for the training, which then ends this server
            env={**os.environ, **quiet},
        )
        return TemporaryServer(process, listening.getsockname()[1], errors)


def _send_the_rest() -> None:
    """Prefect sends logs and events from threads; at exit these would try for a minute to reach a server long gone."""
    if "prefect" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=10)


def _serve(descriptor: int) -> None:
    """The server's own process: serve on the inherited socket until the parent's pipe closes."""
    import gc
    import threading

    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # imports make only long-lived objects; collecting meanwhile costs a tenth of the start
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            with _one_start_at_a_time():
                await super().startup(sockets)
            gc.enable()
            gc.freeze()

    config = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
    Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


@contextlib.contextmanager
def _one_start_at_a_time() -> Iterator[None]:
    """Two servers that migrate one new database at once break it."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "temporary-server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
