"""The election document as the agent left it. Reads it when it was replaced; what is not understood changes nothing.

inotify says when to look; that look is repeated on a slow timer, because a watch is lost when its folder is
mounted anew.
"""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from pathlib import Path

from havip.model.election import Election, read_election
from havip.model.refusal import LeftOut, Refused

LARGEST = 4 << 20
"""Bytes; 255 instances take some 150 kB."""

_CLOSE_WRITE, _MOVED_TO, _CREATE = 0x8, 0x80, 0x100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Read:
    """A document that was read, or why it was not (`election` None)."""

    election: Election | None
    left_out: tuple[LeftOut, ...] = ()
    error: str = ""


class DocumentFile:
    """The file that another process replaces atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> Read | None:
        """The document if it is another one than at the last call; None = it is the same, or there is none."""
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                seen = (status.st_ino, status.st_mtime_ns, status.st_size)
                if seen == self._seen:
                    return None
                self._seen = seen
                data = file.read(LARGEST + 1)
        except OSError:
            return None
        return read(data)


def read(data: bytes) -> Read:
    """Bytes of a document, typed. Never raises."""
    if len(data) > LARGEST:
        return Read(None, error=f"the election document has more than {LARGEST} bytes")
    try:
        election, left_out = read_election(json.loads(data))
    except Refused as refused:
        return Read(None, error=f"election document: {refused}"[:1000])
    except (ValueError, RecursionError):
        return Read(None, error="the election document is not JSON")
    return Read(election, left_out)


class FolderWatch:
    """Becomes readable when a file in the folder was written or moved there."""

    def __init__(self, folder: Path) -> None:
        self._descriptor: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _CLOSE_WRITE | _MOVED_TO | _CREATE) < 0:
            raise OSError(ctypes.get_errno(), f"inotify_add_watch {folder}")

    def fileno(self) -> int:
        return self._descriptor

    def drain(self) -> None:
        """Forgets what it was told; the file itself says what is new."""
        try:
            while os.read(self._descriptor, 1 << 16):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._descriptor)
