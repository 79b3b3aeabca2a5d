"""What a run has made on this machine, on disk before it is made, so that a later run can end what a killed one left.

A process is named by pid and start time, never by pid alone: the number may be somebody else's by now.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_FOLDER = Path(tempfile.gettempdir()) / "havip-lab"


def started_at(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot (proc_pid_stat(5), field 22); None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rsplit(")", 1)[1].split()[19])


def kill_exactly(pid: int, start: int) -> None:
    """SIGKILL to that very process, if it still is that one."""
    if started_at(pid) == start:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def delete_namespace(name: str) -> None:
    """End what runs in a network namespace of ours and remove it."""
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
    for word in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(word), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


class RunRecord:
    """One run's list of namespaces, processes and folders, appended to as they come."""

    def __init__(self, prefix: str) -> None:
        _FOLDER.mkdir(parents=True, exist_ok=True)
        self.path = _FOLDER / f"{prefix}.jsonl"
        self._file = self.path.open("w", encoding="utf-8")
        self._say(owner=os.getpid(), start=started_at(os.getpid()))

    def _say(self, **entry: object) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def namespace(self, name: str) -> None:
        self._say(namespace=name)

    def process(self, pid: int) -> None:
        start = started_at(pid)
        if start is not None:
            self._say(process=pid, start=start)

    def folder(self, path: Path) -> None:
        self._say(folder=str(path))

    def close(self) -> None:
        """End everything that is listed, in an order that leaves nobody to restart anybody, and forget it."""
        self._file.close()
        _undo(list(_entries(self.path)))
        self.path.unlink(missing_ok=True)


def _entries(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # the last line of a killed run may be half a line
            yield json.loads(line)


def _undo(entries: list[dict[str, object]]) -> None:
    for entry in entries:
        if "process" in entry:
            kill_exactly(int(str(entry["process"])), int(str(entry["start"])))
    for entry in entries:
        if "namespace" in entry:
            delete_namespace(str(entry["namespace"]))
    for entry in entries:
        if "folder" in entry:
            shutil.rmtree(str(entry["folder"]), ignore_errors=True)


def clean_up_after_killed_runs() -> list[str]:
    """End what runs whose owner is gone have left. Returns their records' names."""
    cleaned = []
    for path in sorted(_FOLDER.glob("*.jsonl")) if _FOLDER.exists() else []:
        try:
            entries = list(_entries(path))
        except FileNotFoundError:  # another run cleans up at the same time
            continue
        owner = next((entry for entry in entries if "owner" in entry), None)
        if owner is None or started_at(int(str(owner["owner"]))) == owner["start"]:
            continue
        _undo(entries)
        path.unlink(missing_ok=True)
        cleaned.append(path.stem)
    return cleaned
