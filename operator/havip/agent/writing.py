"""Files that another process reads: replaced whole, and only when their bytes differ."""

from __future__ import annotations

import os
from pathlib import Path, PurePath


def replace(path: PurePath, data: bytes) -> bool:
    """Whether `path` was written. The folder must exist; no fsync, it is memory."""
    target = Path(path)
    if current(target) == data:
        return False
    beside = target.with_name(f".{target.name}.new")
    beside.write_bytes(data)
    # The readers run as other users; nothing the agent writes for them is secret.
    beside.chmod(0o644)
    os.replace(beside, target)  # noqa: PTH105  # Path.replace says the same with a needless return value
    return True


def current(path: PurePath) -> bytes | None:
    """The bytes of the file, None when it is not there."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return None
