"""A proxy in front of a real HTTP server, which goes wrong when told to: refuses, hangs, answers 500, cuts, slows down.

Every request has a connection of its own (the proxy asks the server to close), so that a fault can begin at the request
it is planned for, and hit all that come while it lasts.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

How = Literal[
    "refuse",
    "hang",
    "500",
    "503",
    "cut the request",
    "lose the answer",
    "cut the answer",
    "slow",
    "forbid",
]
ERROR = b"HTTP/1.1 %s Planted\r\nContent-Type: text/plain\r\nContent-Length: 8\r\nConnection: close\r\n\r\nplanted\n"
SLOW = 20_000  # bytes a second
CUT = 20  # bytes that are missing of what is cut


@dataclass
class Fault:
    """What goes wrong, from the first request whose `METHOD path` matches `at` on."""

    how: How
    at: str = ""
    times: int | None = None  # requests that it hits; None: all, while it lasts
    seconds: float | None = None  # how long it lasts; None: until the proxy is healed
    begun: float = 0.0
    hits: int = 0

    def hit(self, request: str) -> bool:
        """Whether the request is hit."""
        now = time.monotonic()
        if not self.begun and re.search(self.at, request):
            self.begun = now
        over = self.hits == self.times or (
            self.seconds is not None and now - self.begun > self.seconds
        )
        if not self.begun or over:
            return False
        self.hits += 1
        return True


class Proxy:
    """Listens on a free port of its own and speaks to the server at `url`."""

    def __init__(self, url: str) -> None:
        self._server = (urlsplit(url).hostname, urlsplit(url).port)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.fault: Fault | None = None
        self.requests: list[str] = []  # `METHOD path`, those that were hit too
        self._closed, self._hanging = threading.Event(), set[socket.socket]()
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def plan(
        self, how: How, at: str = "", times: int | None = None, seconds: float | None = None
    ) -> Fault:
        """The fault to come."""
        self.fault = Fault(how, at, times, seconds)
        return self.fault

    def heal(self) -> None:
        """From now on nothing goes wrong; what hangs is cut off."""
        self.fault = None
        self._listen()
        for connection in list(self._hanging):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The end of it."""
        self._closed.set()
        self._listening.close()

    def _accept(self, listening: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:  # closed: refusing, or the end
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), _ended(connection):
            head = _head(connection)
            if not head:
                return
            request = " ".join(head.split(b"\r\n")[0].decode(errors="replace").split(" ")[:2])
            self.requests.append(request)
            fault = self.fault
            how = fault.how if fault and fault.hit(request) else None
            if how == "refuse":
                self._refuse(fault.seconds if fault else None)
            elif how == "hang":
                self._hanging.add(connection)
                while connection.recv(65536):
                    pass
                self._hanging.discard(connection)
            elif how in ("500", "503", "forbid"):
                _drained(connection, head)
                connection.sendall(ERROR % (b"403" if how == "forbid" else how.encode()))
            else:
                self._pass_on(connection, head, how)

    def _refuse(self, seconds: float | None) -> None:
        """Nobody listens any more, for so long."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        if seconds is not None:
            threading.Timer(seconds, self._listen).start()

    def _listen(self) -> None:
        if self._listening.fileno() == -1 and not self._closed.is_set():
            self._listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
            threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def _pass_on(self, connection: socket.socket, head: bytes, how: How | None) -> None:
        with _ended(socket.create_connection(self._server)) as server:
            if how == "cut the request":
                server.sendall((_closing(head) + _what_came(connection))[:-CUT])
                return
            server.sendall(_closing(head))
            threading.Thread(
                target=_pump, args=(connection, server, how == "slow"), daemon=True
            ).start()
            if how == "lose the answer":
                while server.recv(65536):
                    pass
            elif how == "cut the answer":
                connection.sendall(_head(server)[:-CUT])
            else:
                _pump(server, connection, how == "slow")


@contextmanager
def _ended(connection: socket.socket) -> Iterator[socket.socket]:
    """At the end of the block both sides are told; a thread that still reads from it does not keep it open."""
    with connection:
        try:
            yield connection
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _head(connection: socket.socket) -> bytes:
    """Returns: all until the end of the headers, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        head += chunk
    return head


def _closing(head: bytes) -> bytes:
    """Returns: the same request, after whose answer the server closes."""
    lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close"]) + head[len(b"\r\n".join(lines)) :]


def _drained(connection: socket.socket, head: bytes) -> None:
    """Takes the body in: a client that still writes would see a cut instead of the answer."""
    match = re.search(rb"(?i)content-length: *(\d+)", head)
    missing = int(match[1]) - len(head.partition(b"\r\n\r\n")[2]) if match else 0
    if b"100-continue" in head.lower():
        return
    connection.settimeout(5)
    while missing > 0:
        missing -= len(connection.recv(65536)) or missing


def _what_came(connection: socket.socket) -> bytes:
    connection.settimeout(0.2)
    with suppress(TimeoutError):
        return connection.recv(65536)
    return b""


def _pump(source: socket.socket, target: socket.socket, slowly: bool) -> None:
    with suppress(OSError):
        while chunk := source.recv(SLOW // 10 if slowly else 65536):
            target.sendall(chunk)
            if slowly:
                time.sleep(len(chunk) / SLOW)


@contextmanager
def in_front_of(url: str) -> Iterator[Proxy]:
    """Yields: a proxy to the server at `url`."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.heal()
        proxy.close()
