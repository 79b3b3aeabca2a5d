"""How the demo talks: every line with the time since the start, what is typed shown as typed, figures last.

It must not decide or measure anything.
"""

from __future__ import annotations

import time

WIDTH = 110


class Story:
    """Prints. `figures` collects what was measured, for the end."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.figures: list[tuple[str, str]] = []

    def chapter(self, title: str) -> None:
        print(f"\n\033[1m── {title} {'─' * max(0, WIDTH - len(title) - 4)}\033[0m", flush=True)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._begun:6.1f} s] {text}", flush=True)

    def typed(self, command: str) -> None:
        """A command a user would type."""
        self.say(f"$ {command}")

    def shown(self, text: str, *, limit: int = 40) -> None:
        """Output or a file, indented."""
        lines = text.rstrip().splitlines()
        for line in lines[:limit]:
            print(f"            {line}")
        if len(lines) > limit:
            print(f"            … {len(lines) - limit} more lines")
        print(end="", flush=True)

    def figure(self, what: str, value: str) -> None:
        self.figures.append((what, value))
        self.say(f"\033[1m{what}: {value}\033[0m")

    def end(self) -> None:
        self.chapter("What was measured")
        for what, value in self.figures:
            print(f"  {what:<64} {value}")
        print(f"  {'the whole story':<64} {time.monotonic() - self._begun:.0f} s", flush=True)
