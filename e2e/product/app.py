"""The application behind the VIP: says which pod it is, over HTTP, and greets every connection on a second port.

Runs in a pod from a ConfigMap, on the standard library alone. The greeting is the one octet that the lab's prober
takes for an answer.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP_PORT = 8080
GREETING_PORT = 9000


class Say(BaseHTTPRequestHandler):
    """`GET` anything: the pod's name."""

    def do_GET(self) -> None:  # the name http.server calls
        body = (os.environ["POD_NAME"] + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # the name http.server gives it
        """Probes come every millisecond."""


def greet(listener: socket.socket, octet: bytes) -> None:
    """Greets for ever, one connection after the other: a thread for each fell behind on a busy machine, and a full
    accept queue then made every greeting late."""
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.send(octet)


def main() -> None:
    octet = bytes([int(os.environ["POD_IP"].rsplit(".", 1)[1])])
    listener = socket.create_server(("", GREETING_PORT), backlog=1024)
    threading.Thread(target=greet, args=(listener, octet), daemon=True).start()
    ThreadingHTTPServer(("", HTTP_PORT), Say).serve_forever()


if __name__ == "__main__":
    main()
