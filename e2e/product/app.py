"""The application behind the VIP: says which pod it is, over HTTP, and greets every connection on a second port.

Runs in a pod from a ConfigMap, on the standard library alone. The greeting is the one octet that the lab's prober
takes for an answer.
"""

from __future__ import annotations

import os
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

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


class Greet(socketserver.BaseRequestHandler):
    """One octet: the pod's number, the last one of its address."""

    octet: ClassVar[bytes] = bytes([int(os.environ.get("POD_IP", "0.0.0.1").rsplit(".", 1)[1])])

    def handle(self) -> None:
        self.request.sendall(self.octet)


class Greeter(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


if __name__ == "__main__":
    threading.Thread(target=Greeter(("", GREETING_PORT), Greet).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", HTTP_PORT), Say).serve_forever()
