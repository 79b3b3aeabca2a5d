"""How the service says no: a code and a sentence, inside an answer of HTTP 200."""

from __future__ import annotations


class Refused(Exception):
    """`code` as the service's documents list them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
