"""Commands run to their end, whose failure says what they said."""

import subprocess
from collections.abc import Sequence


class CommandFailed(Exception):
    """A command ended with another code than 0; the message carries what it wrote."""


def run(argv: Sequence[str], *, stdin: str | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(
            f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout
