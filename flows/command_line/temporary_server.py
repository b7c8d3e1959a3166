"""Prefect's server for one command, when none is configured: a thread of the command's own process.

What server and client both import is in memory once. The listening socket is ours: the port is known and free from the
first moment, connections wait in its queue instead of being refused, and being slow is never being broken. The server
ends with its process, however that ends.
"""

import contextlib
import gc
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from onerun.config.mistakes import Mistake, Mistakes
from onerun.processes.locks import exclusive_lock

if TYPE_CHECKING:
    import uvicorn

VARIABLE = "ONERUN_TEMPORARY_SERVER"  # holds the API's address while a command has one of its own
SAY_AFTER = 3.0  # seconds
LONGEST_START = 600.0  # seconds; a first start on a busy machine migrates a whole database
LONGEST_STOP = 10.0  # seconds
LAST_WORDS = 2000  # characters of the server's errors that are shown


class ServerDied(Mistakes):
    """The temporary server ended instead of starting; the message carries its last words."""


class TemporaryServer:
    """A Prefect server that lives as long as this process, or until `stop`."""

    def __init__(self, server: "uvicorn.Server", listening: socket.socket) -> None:
        self._server, self._listening, self._words = server, listening, _Words()
        self.api_url = _api_of(listening)
        self._thread = threading.Thread(
            target=self._serve, name="temporary Prefect server", daemon=True
        )
        self._thread.start()

    def wait(self, say: Callable[[str], None]) -> None:
        """Wait until it answers, saying so when that takes long. Raises: ServerDied."""
        started = said = time.monotonic()
        while not self._server.started:
            now = time.monotonic()
            if not self._thread.is_alive() or now - started > LONGEST_START:
                raise ServerDied([Mistake("PREFECT_API_URL", self._told(now - started))])
            if now - said > SAY_AFTER:
                said = now
                say(
                    f"waiting for Prefect's temporary server ({now - started:.0f} s; a first start takes longest)"
                )
            self._thread.join(0.02)

    def stop(self) -> None:
        """End it; all it was told is in Prefect's database by then."""
        send_the_rest()
        self._server.should_exit = True
        self._thread.join(LONGEST_STOP)

    def _serve(self) -> None:
        """A start that fails is logged by the server, which then leaves with SystemExit: that ends a thread quietly."""
        log = logging.getLogger("uvicorn.error")
        log.addHandler(self._words)
        log.propagate = False
        with self._listening:
            try:
                self._server.run(sockets=[self._listening])
            except OSError as error:  # the folder of its database cannot be made
                log.error("%s: %s", type(error).__name__, error)

    def _told(self, waited: float) -> str:
        ended = "did not answer" if self._thread.is_alive() else "ended"
        advice = "start one yourself (`prefect server start`) and set this variable"
        return f"Prefect's temporary server {ended} after {waited:.0f} s; {advice}\n{self._words.text()}"


class _Words(logging.Handler):
    """Keeps the end of what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._kept = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._kept = f"{self._kept}{self.format(record)}\n"[-LAST_WORDS:]

    def text(self) -> str:
        """Return what was kept."""
        return self._kept


def start() -> TemporaryServer:
    """Load the server and start it, as the API of this process. Returns: while it comes up; `wait` before using it."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    os.environ["PREFECT_API_URL"] = os.environ[VARIABLE] = _api_of(
        listening
    )  # read when Prefect is first imported
    with _without_collecting():
        import uvicorn
        from prefect.server.api.server import create_app

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                with _one_start_at_a_time():
                    await super().startup(sockets)

        config = uvicorn.Config(create_app(ephemeral=True), log_config=None, log_level="error")
        return TemporaryServer(Server(config), listening)


def _api_of(listening: socket.socket) -> str:
    return f"http://127.0.0.1:{listening.getsockname()[1]}/api"


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Imports make only long-lived objects; looking through them meanwhile costs a tenth of the start."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _one_start_at_a_time() -> Iterator[None]:
    """Two servers that migrate one new database at once break it."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(home / "temporary-server.lock"):
        yield


def send_the_rest() -> None:
    """Prefect sends logs and events from threads; at exit these would try for a minute to reach a server long gone."""
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=10)
