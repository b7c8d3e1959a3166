"""Prefect's server for one command, when none is configured: a thread of the command's own process.

What server and client both import is in memory once. The listening socket is ours: the port is
known and free from the first moment, and connections wait in its queue instead of being refused,
so a slow start is not a failure. The server ends with its process, however that ends.
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
REPORT_AFTER = 3.0  # seconds
LONGEST_START = 600.0  # seconds; a first start on a busy machine migrates a whole database
LONGEST_STOP = 10.0  # seconds
SHOWN = 2000  # last characters of the server's errors that are shown


class ServerDied(Mistakes):
    """The temporary server ended instead of starting; the message holds the end of its log."""


class TemporaryServer:
    """A Prefect server that lives as long as this process, or until `stop`."""

    def __init__(self, server: "uvicorn.Server", listening: socket.socket) -> None:
        self._server, self._listening, self._errors = server, listening, _LogEnd()
        self.api_url = _api_of(listening)
        self._thread = threading.Thread(
            target=self._serve, name="temporary Prefect server", daemon=True
        )
        self._thread.start()

    def wait(self, report: Callable[[str], None]) -> None:
        """Wait until it answers, and report when that takes long. Raises: ServerDied."""
        started = reported = time.monotonic()
        while not self._server.started:
            now = time.monotonic()
            if not self._thread.is_alive() or now - started > LONGEST_START:
                raise ServerDied([Mistake("PREFECT_API_URL", self._failure(now - started))])
            if now - reported > REPORT_AFTER:
                reported = now
                report(
                    f"waiting for Prefect's temporary server ({now - started:.0f} s; "
                    "a first start takes longest)"
                )
            self._thread.join(0.02)

    def stop(self) -> None:
        """End it; all that was sent to it is in Prefect's database by then."""
        send_the_rest()
        self._server.should_exit = True
        self._thread.join(LONGEST_STOP)

    def _serve(self) -> None:
        """Run the server.

        It logs a start that fails and raises SystemExit, which ends a thread without a message.
        """
        log = logging.getLogger("uvicorn.error")
        log.addHandler(self._errors)
        log.propagate = False
        with self._listening:
            try:
                self._server.run(sockets=[self._listening])
            except OSError as error:  # the folder of its database cannot be made
                log.error("%s: %s", type(error).__name__, error)

    def _failure(self, waited: float) -> str:
        ended = "did not answer" if self._thread.is_alive() else "ended"
        return (
            f"Prefect's temporary server {ended} after {waited:.0f} s; start one yourself "
            f"(`prefect server start`) and set this variable\n{self._errors.text()}"
        )


class _LogEnd(logging.Handler):
    """Keep the end of what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._kept = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self._kept = f"{self._kept}{self.format(record)}\n"[-SHOWN:]

    def text(self) -> str:
        """Return what was kept."""
        return self._kept


def start() -> TemporaryServer:
    """Load the server and start it, as the API of this process.

    Return while it starts; call its `wait` before using it.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    # read when Prefect is first imported
    os.environ["PREFECT_API_URL"] = os.environ[VARIABLE] = _api_of(listening)
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
    """Switch the garbage collector off in the block.

    Imports make only long-lived objects; looking through them costs a tenth of the start.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def _one_start_at_a_time() -> Iterator[None]:
    """Hold a lock in the block: two servers that migrate one new database at once break it."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    home.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(home / "temporary-server.lock"):
        yield


def send_the_rest() -> None:
    """Wait until Prefect's threads have sent their logs and events.

    At exit they would try for a minute to reach a server that has ended.
    """
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        EventsWorker.drain_all(timeout=10)
        APILogWorker.drain_all(timeout=10)
