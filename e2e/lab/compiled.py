"""The lab's small C programs, built at first use and kept in the cache under the digest of their sources."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from pathlib import Path

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parents[1]
_HEADERS = ("record.h", "wire.h")


class Missing(RuntimeError):
    """Something of this machine that the lab needs is not there. Says what; it is never skipped."""


def cache_folder() -> Path:
    """Where built things are kept: HAVIP_CACHE, by default `.cache` in the checkout."""
    return Path(os.environ.get("HAVIP_CACHE") or _CHECKOUT / ".cache")


def checkout() -> Path:
    return _CHECKOUT


def compiled(name: str) -> Path:
    """The program built from `<name>.c`."""
    sources = [_HERE / f"{name}.c", *(_HERE / header for header in _HEADERS)]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = cache_folder() / "lab" / f"{name}-{digest}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
    try:
        subprocess.run(
            ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", unfinished, sources[0]], check=True
        )
    except FileNotFoundError:
        raise Missing("the lab's prober is built with gcc, which is not installed") from None
    unfinished.rename(program)
    return program
