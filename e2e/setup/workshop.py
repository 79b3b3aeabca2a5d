"""Where the setup works, and how it runs a command: quietly, with a log, and showing that it is alive.

A step writes beside its result and renames, or writes its stamp last: interrupted anywhere, a repeat continues.
"""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ALIVE_SECONDS = 15.0
TAIL_LINES = 25


class StepFailed(Exception):
    """A command of a step did not succeed; the message carries the end of its log."""


@dataclass
class Workshop:
    """The checkout it works for and the cache that it fills."""

    checkout: Path
    cache: Path
    log: Path = field(init=False)
    doing: str = ""  # what a long step is at, for the lines that show that it is alive

    def __post_init__(self) -> None:
        self.log = self.cache / "logs" / "setup.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)

    @property
    def python(self) -> Path:
        """The virtual environment's interpreter."""
        return self.checkout / ".venv" / "bin" / "python"

    def pip(self, command: str) -> list[str | Path]:
        """The beginning of a command of the virtual environment's pip."""
        return [self.python, "-m", "pip", "--disable-pip-version-check", command, "--progress-bar=off"]

    def run(
        self, argv: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, where: Path | None = None
    ) -> None:
        """Runs a command that must succeed; what it says goes to the log."""
        words = [str(word) for word in argv]
        with self.log.open("ab") as log:
            start = log.tell()
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            done = subprocess.run(
                words, check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=where or self.checkout,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip
        if done.returncode:
            said = self.log.read_bytes()[start:].decode(errors="replace").splitlines()[-TAIL_LINES:]
            raise StepFailed("\n".join([*said, f"`{words[0]}` ended with {done.returncode}; more in {self.log}"]))

    def ask(self, argv: Sequence[str | Path]) -> str:
        """Standard output of a command that must succeed, without the end of its last line."""
        words = [str(word) for word in argv]
        done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=self.checkout)
        if done.returncode:
            raise StepFailed(f"`{' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def last_line(self) -> str:
        """The last thing that a command said."""
        try:
            lines = self.log.read_bytes()[-2000:].decode(errors="replace").split("\n")
        except FileNotFoundError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


@dataclass(frozen=True)
class Step:
    """One thing to have. `made` says whether it is there, as it would be made now; `make` makes it."""

    name: str
    made: Callable[[Workshop], bool]
    make: Callable[[Workshop], None]
    needs_network: bool = True


def take(step: Step, workshop: Workshop) -> None:
    """Has the step's thing made unless it is there, and says how long that took."""
    begun = time.monotonic()
    workshop.doing = ""
    if step.made(workshop):
        say(f"  {step.name}: there")
        return
    say(f"  {step.name} ...")
    over = threading.Event()
    alive = threading.Thread(target=_show_life, args=(step.name, workshop, begun, over), daemon=True)
    alive.start()
    try:
        step.make(workshop)
    finally:
        over.set()
        alive.join()
    say(f"  {step.name}: made in {time.monotonic() - begun:.0f} s")


def _show_life(name: str, workshop: Workshop, begun: float, over: threading.Event) -> None:
    while not over.wait(ALIVE_SECONDS):
        say(f"  {name}: {time.monotonic() - begun:.0f} s so far; {workshop.doing or workshop.last_line()[:80]}")


def say(line: str) -> None:
    print(line, flush=True)


def refuse(sentence: str) -> None:
    """Ends the program with one sentence."""
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def digest(*parts: str | bytes) -> str:
    """64 hexadecimal digits that change when any part does."""
    total = hashlib.sha256()
    for part in parts:
        piece = part if isinstance(part, bytes) else part.encode()
        total.update(len(piece).to_bytes(8, "big") + piece)
    return total.hexdigest()


def stamped(stamp: Path, key: str) -> bool:
    """Whether what the stamp stands for was made from `key`."""
    return stamp.exists() and stamp.read_text() == key
