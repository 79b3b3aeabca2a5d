"""Commands run to their end, whose failure says what they said; and waiting for what they will say."""

import subprocess
import time
from collections.abc import Callable, Sequence

from e2e.cluster.control_plane import KubectlError, NotAnswered


class CommandFailed(RuntimeError):
    """A command ended with another code than 0; the message carries what it wrote."""


def run(argv: Sequence[str], *, stdin: str | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(
            f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def until(
    holds: Callable[[], bool], what: str, seconds: float, *, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Waits until it holds; a question that fails is a no. `what` completes "...: not so after 60 s".

    `meanwhile` is called after every no, and may raise to end a wait that has become pointless.
    """
    end = time.monotonic() + seconds
    complaint = ""
    while True:
        asked = time.monotonic()
        try:
            if holds():
                return
        except (CommandFailed, KubectlError, NotAnswered, KeyError) as error:
            complaint = f" ({error})"
        meanwhile()
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so after {seconds:.0f} s{complaint}")
        # On two cores a question competes with what it asks about: at most a third of the time.
        time.sleep(max(0.1, 2 * (time.monotonic() - asked)))
