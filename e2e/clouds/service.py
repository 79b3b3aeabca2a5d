"""The HTTP side that all emulated clouds share: one thread per connection, every request recorded, faults on demand.

Which request is a read, what it means and how a refusal looks is each cloud's own; nothing of that may come in here.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qsl, urlsplit


class Trouble(StrEnum):
    """What a service can be told to do wrong with the next requests it fits."""

    THROTTLED = "Throttled"
    """429, or what the cloud has for it, with the wait where the cloud gives one."""
    THROTTLED_SILENTLY = "ThrottledSilently"
    """The same without a word about how long."""
    UNAVAILABLE = "Unavailable"
    """A 5xx before anything is done."""
    ANSWER_LOST = "AnswerLost"
    """A write is done and the connection closed without an answer."""
    STALE = "Stale"
    """A read shows what was before the last write."""
    SLOW = "Slow"
    """Answered after `SLOW_SECONDS`."""
    OVERTAKEN = "Overtaken"
    """Another writer changes the object just before a write arrives."""


SLOW_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. Header names in lower case; `query` decoded, the last value of a name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `headers` exactly as given; a length is added."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the status of its answer; 0 = the connection was closed instead."""

    request: Request
    status: int
    seconds: float
    """Of the monotonic clock, when it came in."""


class Cloud(Protocol):
    """The meaning of a service."""

    def reads(self, request: Request) -> bool:
        """Whether a request only looks."""

    def answer(self, request: Request, trouble: Trouble | None) -> Answer:
        """Carry it out. `trouble` is what it has to do wrong; ANSWER_LOST and SLOW are not its business."""


class Service:
    """A cloud behind a port of one address. Start with `serving`; safe to ask from other threads."""

    def __init__(self, cloud: Cloud, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self.cloud = cloud
        self.exchanges: list[Exchange] = []
        self._troubles: list[Trouble] = []
        self._lasting: Trouble | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server = _server(self, address, port)

    @property
    def endpoint(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def fail(self, trouble: Trouble, *, times: int = 1) -> None:
        """Let the next requests that the trouble fits meet it, in order with what was asked for before."""
        with self._lock:
            self._troubles.extend([trouble] * times)

    def fail_always(self, trouble: Trouble | None) -> None:
        """Let every request that it fits meet it, until None."""
        with self._lock:
            self._lasting = trouble

    def writes(self) -> int:
        """How many requests wanted to change something."""
        return sum(not self.cloud.reads(one.request) for one in self.exchanges)

    @contextmanager
    def serving(self) -> Iterator[Service]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="cloud", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            for one in list(self._open):
                _shut(one)
            thread.join()

    def exchange(self, request: Request) -> Answer | None:
        """Answer one request and write it down. None = close the connection."""
        began = time.monotonic()
        trouble = self._trouble(request)
        if trouble is Trouble.SLOW:
            time.sleep(SLOW_SECONDS)
        answer = self.cloud.answer(request, trouble)
        lost = trouble is Trouble.ANSWER_LOST
        with self._lock:
            self.exchanges.append(Exchange(request, 0 if lost else answer.status, began))
        return None if lost else answer

    def _trouble(self, request: Request) -> Trouble | None:
        reads = self.cloud.reads(request)

        def fits(trouble: Trouble) -> bool:
            if trouble in (Trouble.ANSWER_LOST, Trouble.OVERTAKEN):
                return not reads
            return reads if trouble is Trouble.STALE else True

        with self._lock:
            if self._troubles and fits(self._troubles[0]):
                return self._troubles.pop(0)
            return self._lasting if self._lasting is not None and fits(self._lasting) else None

    def opened(self, connection: socket.socket) -> None:
        self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        self._open.discard(connection)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone, as a killed operator is, is no fault; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as they come


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # its other end was faster
        connection.shutdown(socket.SHUT_RDWR)


def _server(service: Service, address: str, port: int) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60
        disable_nagle_algorithm = True  # head and body go out apart; the second would wait 40 ms for the first's ACK

        def setup(self) -> None:
            super().setup()
            service.opened(self.connection)

        def finish(self) -> None:
            service.closed(self.connection)
            super().finish()

        def _any(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            request = Request(
                self.command,
                url.path,
                dict(parse_qsl(url.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
            )
            answer = service.exchange(request)
            if answer is None:
                self.close_connection = True
                return
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815 - the base class calls them so

        def log_message(self, format: str, *args: object) -> None:
            """Silent: what happened is in `exchanges`."""

    server = _Server((address, port), Handler)
    server.daemon_threads = True
    return server
