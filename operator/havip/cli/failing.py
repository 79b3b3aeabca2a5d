"""How a command ends when it cannot do what it was asked."""

from __future__ import annotations

DONE = 0
FAILED = 1
MISUSED = 2
"""The arguments, or a file they name, are not what the command takes."""

_SHOWN = 600


class Failed(Exception):
    """One line for the terminal, and the exit code."""

    def __init__(self, message: str, *, code: int = FAILED) -> None:
        super().__init__(plain(message)[:_SHOWN])
        self.code = code


def plain(text: object) -> str:
    """`text` on one line without control characters: what comes from a cluster must not steer a terminal."""
    words = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "?" for each in words)
